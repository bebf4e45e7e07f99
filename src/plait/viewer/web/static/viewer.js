"use strict";
// The pages are whole without this file. It adds the keyboard, texts beside the timeline, the
// finding of threads, what moves while a run is live, and the choice of light or dark.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const remember = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private */ } };
  const recall = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
  const theme = recall("plait-theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;

  const $ = (id) => document.getElementById(id);
  const parse = (html) => document.createRange().createContextualFragment(html);

  function switchTheme() {
    const dark = root.dataset.theme ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    remember("plait-theme", root.dataset.theme);
  }

  // --- items that the arrows walk: rows of threads, or links of runs
  const items = () => [...document.querySelectorAll("#rows .row:not([hidden]), .runs .q a")];
  const rowOf = (name) => [...document.querySelectorAll("#rows .row")].find((r) => r.dataset.thread === name);
  const level = (row) => Number(row.getAttribute("aria-level"));

  function focusOn(item) {
    if (!item) return;
    for (const other of document.querySelectorAll("#rows .row[tabindex='0']")) other.tabIndex = -1;
    item.tabIndex = 0;
    item.focus();
    item.scrollIntoView({ block: "nearest" });
  }

  function step(key) {
    const all = items(), now = all.indexOf(document.activeElement);
    if (key === "Home") return all[0];
    if (key === "End") return all[all.length - 1];
    if (now < 0) return all.find((row) => row.getAttribute("aria-selected") === "true") || all[0];
    if (key === "ArrowDown") return all[now + 1];
    if (key === "ArrowUp") return all[now - 1];
    if (!all[now].classList.contains("row")) return null;
    const depth = level(all[now]);
    if (key === "ArrowRight") return all[now + 1] && level(all[now + 1]) > depth ? all[now + 1] : null;
    return all.slice(0, now).reverse().find((row) => level(row) < depth);
  }

  // --- the panel with a thread's text
  let shown = null;
  async function open(name, { quiet = false } = {}) {
    const row = rowOf(name), panel = $("panel");
    if (!row || !panel) return;
    const inside = [...document.querySelectorAll("template[data-panel]")].find((t) => t.dataset.panel === name);
    let html;
    if (!inside) {
      const answer = await fetch(`${$("board").dataset.threads}?thread=${encodeURIComponent(name)}`);
      if (!answer.ok) return;
      html = await answer.text();
    }
    const scroll = quiet ? panel.scrollTop : 0;
    panel.replaceChildren(inside ? inside.content.cloneNode(true) : parse(html));
    panel.hidden = false;
    panel.scrollTop = scroll;
    $("board").classList.add("open");
    shown = name;
    select(row);
    if (!quiet && !inside) history.replaceState(null, "", addressWith(name));
  }

  function select(row) {
    for (const old of document.querySelectorAll("#rows .row[aria-selected='true']")) old.setAttribute("aria-selected", "false");
    if (row) row.setAttribute("aria-selected", "true");
  }

  function close() {
    const panel = $("panel");
    if (!panel || panel.hidden) return false;
    const row = shown && rowOf(shown);
    panel.hidden = true;
    $("board").classList.remove("open");
    select(null);
    shown = null;
    if (location.protocol !== "file:") history.replaceState(null, "", addressWith(null));
    if (row) focusOn(row);
    return true;
  }

  function addressWith(thread) {
    const query = new URLSearchParams(location.search);
    if (thread === null) query.delete("thread"); else query.set("thread", thread);
    return location.pathname + (query.size ? `?${query}` : "");
  }

  // --- finding threads
  function find() {
    const wanted = $("find").value.toLowerCase(), lit = $("lit").checked;
    let count = 0;
    for (const row of document.querySelectorAll("#rows .row")) {
      const hit = (!lit || row.classList.contains("lit"))
        && (!wanted || row.textContent.toLowerCase().includes(wanted));
      row.hidden = !hit;
      count += hit;
    }
    const filtered = Boolean(wanted || lit);
    $("rows").classList.toggle("filtered", filtered);
    $("found").textContent = filtered ? `${count} found` : "";
  }

  // --- what moves
  function follow(address) {
    const source = new EventSource(address);
    source.addEventListener("change", (event) => change(JSON.parse(event.data)));
    source.addEventListener("over", () => { source.close(); setTimeout(() => location.reload(), 1000); });
  }

  function change(news) {
    for (const [id, html] of Object.entries(news.parts)) {
      const part = $(id), end = part.scrollTop + part.clientHeight > part.scrollHeight - 40;
      part.replaceChildren(parse(html));
      if (id === "story" && end) part.scrollTop = part.scrollHeight;
    }
    const focused = document.activeElement && document.activeElement.dataset.thread;
    const known = new Map([...document.querySelectorAll("#rows .row")].map((row) => [row.dataset.thread, row]));
    for (const [name, before, html] of news.rows) {
      const row = parse(html).querySelector(".row"), old = known.get(name);
      if (old) old.replaceWith(row);
      else if (before === null) $("rows").prepend(row);
      else known.get(before).after(row);
      known.set(name, row);
    }
    for (const axis of ["time", "tokens"]) {
      for (const svg of document.querySelectorAll(`#rows .row > svg.of-${axis}`)) svg.setAttribute("viewBox", `0 0 ${news.lengths[axis]} 20`);
    }
    find();
    if (focused && known.has(focused)) focusOn(known.get(focused));
    if (shown) {
      select(known.get(shown));
      if (news.rows.some(([name]) => name === shown)) open(shown, { quiet: true });
    }
  }

  async function refresh() {
    if (document.hidden || document.activeElement.closest("#lines")) return;
    const answer = await fetch(`${location.pathname.replace(/\/$/, "")}/viewer/list${location.search}`);
    if (answer.ok) $("lines").replaceChildren(parse(await answer.text()));
  }

  // --- wiring
  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input[type=search], select");
    if (event.key === "Escape") {
      if (typing) typing.blur(); else if (!$("help").open) close();
    } else if (typing) {
      if (event.key === "ArrowDown" && typing.type === "search") { event.preventDefault(); focusOn(items()[0]); }
    } else if (event.key === "?") { $("help").showModal();
    } else if (event.key === "/") { event.preventDefault(); $("find")?.focus();
    } else if (event.key === "a" && $("axis-time")) {
      const other = $($("axis-time").checked ? "axis-tokens" : "axis-time");
      other.checked = true;
      remember("plait-axis", other.value);
    } else if (/^(Arrow|Home$|End$)/.test(event.key) && !event.target.closest("#panel, .story, dialog, .switch")) {
      const item = step(event.key);
      if (item) { event.preventDefault(); focusOn(item); }
    }
  }

  function clicked(event) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const row = event.target.closest("#rows .row"), link = event.target.closest("[data-open]");
    if (row) { event.preventDefault(); focusOn(row); open(row.dataset.thread);
    } else if (link) { event.preventDefault(); focusOn(rowOf(link.dataset.open)); open(link.dataset.open);
    } else if (event.target.closest("[data-close]")) { event.preventDefault(); close(); }
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.addEventListener("keydown", pressed);
    document.addEventListener("click", clicked);
    $("theme").addEventListener("click", switchTheme);
    $("ask").addEventListener("click", () => $("help").showModal());
    if ($("rows")) {
      $("find").addEventListener("input", find);
      $("lit").addEventListener("change", find);
      for (const axis of ["time", "tokens"]) $(`axis-${axis}`).addEventListener("change", () => remember("plait-axis", axis));
      if (recall("plait-axis") === "tokens") $("axis-tokens").checked = true;
      const opened = document.querySelector("#rows .row[aria-selected='true']");
      for (const row of items()) row.tabIndex = -1;
      const first = opened || document.querySelector("#rows .row");
      if (first) first.tabIndex = 0;
      shown = opened ? opened.dataset.thread : null;
      if (opened) opened.scrollIntoView({ block: "nearest" });
    }
    if ($("filters")) {
      for (const select of document.querySelectorAll("#filters select")) select.addEventListener("change", () => $("filters").requestSubmit());
      setInterval(refresh, 3000);
    }
    if (document.body.dataset.live) follow(document.body.dataset.live);
  });
})();
