"""The pages over HTTP, seen through Starlette's test client."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from html import unescape

import orjson
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from plait.core.events import (
    Answered,
    Appended,
    Asked,
    Decided,
    Ended,
    Event,
    Noted,
    Rewrote,
    RunEnded,
    RunStarted,
    Started,
    Wrote,
)
from plait.trace import encode_trace
from plait.viewer.web import Entry, Feedback, viewer_app
from tests.viewer.runs import HEADER, ROOT, whole_run
from tests.viewer.web.shelf import Shelf

EVIL = "<script>alert(1)</script>"
RUN = Entry("r1", "answered", "Make 92 from 46, 39, 29 and 20", "nano", "plait-nano", "native",
            "apr", True, None, 1_700_000_000.0, 4.0, 5, 11, 5)


def client_of(shelf: Shelf) -> TestClient:
    return TestClient(viewer_app(shelf))


@pytest.fixture
def shelf() -> Shelf:
    made = Shelf()
    made.put(RUN, whole_run())
    return made


def words(html: str) -> str:
    """What a page says, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_the_list_shows_each_run_with_its_outcome_and_numbers(shelf: Shelf) -> None:
    page = client_of(shelf).get("/")
    assert page.status_code == 200
    text = words(page.text)
    assert "1 run " in text
    assert "Make 92 from 46, 39, 29 and 20" in text
    assert "✓ right" in text
    assert "2023-11-14 22:13:20" in text
    assert 'href="/runs/r1"' in page.text


def test_filters_reach_the_source_and_stay_in_the_form(shelf: Shelf) -> None:
    page = client_of(shelf).get("/?text=make&method=native&model=plait-nano&outcome=right"
                                "&since=3600")
    wanted = shelf.asked[-1]
    assert (wanted.text, wanted.method, wanted.model, wanted.outcome) == (
        "make", "native", "plait-nano", "right")
    assert wanted.since is not None
    assert wanted.since > 1_700_000_000
    assert 'value="make"' in page.text
    assert "<option selected>native</option>" in page.text


@pytest.mark.parametrize("query", ["since=soon", "since=-1", "since=99999999999", "since=1e9",
                                   "unknown=1", "outcome=%3Cb%3E"])
def test_a_filter_that_makes_no_sense_restricts_nothing_that_it_should_not(
    shelf: Shelf, query: str
) -> None:
    assert client_of(shelf).get(f"/?{query}").status_code == 200
    wanted = shelf.asked[-1]
    assert (wanted.since, wanted.page) == (None, "")


def test_a_long_list_has_pages(shelf: Shelf) -> None:
    for number in range(120):
        shelf.put(replace(RUN, key=f"k{number}"), ())
    client = client_of(shelf)
    assert "page=50" in client.get("/").text
    middle = client.get("/?page=50&text=make").text
    assert "page=100" in middle
    assert "text=make" in re.findall(r'href="([^"]*)">older', middle)[0]
    assert "← newest" in middle
    assert "older →" not in client.get("/?page=100").text


def test_an_empty_list_says_how_to_get_runs() -> None:
    client = client_of(Shelf())
    assert "plait solve" in client.get("/").text
    assert "No run passes these filters" in client.get("/?text=x").text


def test_a_run_shows_question_answer_figures_story_and_a_row_a_thread(shelf: Shelf) -> None:
    text = words(client_of(shelf).get("/runs/r1").text)
    assert "46+46=92" in text
    assert "✓ checks out" in text
    assert "Critical path 5 tokens that had to be written one after the other" in text
    assert "0 starts 4 threads" in text
    assert "0 joins 4 threads: 3 no solution" not in text  # one found it, one failed
    assert "0 joins 4 threads: 2 no solution, 1 done, 1 failed" in text
    assert "node #0,3 is called twice" in text
    assert client_of(shelf).get("/runs/r1").text.count('role="treeitem"') == 5


def test_a_thread_shows_who_wrote_what_and_what_was_cached(shelf: Shelf) -> None:
    page = client_of(shelf).get("/viewer/thread/r1?thread=0").text
    assert re.findall(r'class="piece (\w+)', page) == ["prompt", "model", "runtime", "model"]
    assert "25 tokens read, 9 of them cached (36 %)" in words(page)
    whole = client_of(shelf).get("/runs/r1?thread=0").text
    assert 'aria-selected="true"' in whole
    assert "25 tokens read" in whole


def test_text_that_a_rewrite_took_out_is_told_from_what_stayed(shelf: Shelf) -> None:
    shelf.put(RUN, [HEADER, ROOT, Asked(0, "0", 1, None), Wrote(1, "0", "keep this drop", 6),
                    Rewrote(2, "0", 2, " drop"), Appended(2, "0", "runtime", " instead", 1)])
    page = client_of(shelf).get("/viewer/thread/r1?thread=0").text
    assert re.findall(r'class="piece ([\w ]+)"', page) == ["model", "model gone", "runtime"]
    assert "keep this</pre>" in page
    assert "<pre> drop</pre>" in page


def test_a_retried_thread_shows_its_attempts(shelf: Shelf) -> None:
    shelf.put(RUN, [HEADER, ROOT, Started(1, "0.0", "0", "fork", "thread", 0),
                    Wrote(2, "0.0", "first try", 2),
                    Answered(2, "0.0", "error", 3, 0, 2, error="reset by peer"),
                    Started(3, "0.0", "0", "fork", "thread", 0, attempt=1),
                    Wrote(4, "0.0", "second try", 2), Ended(5, "0.0", "done", value="x")])
    text = words(client_of(shelf).get("/viewer/thread/r1?thread=0.0").text)
    assert text.index("Attempt 1") < text.index("first try") < text.index("Attempt 2")
    assert "the engine failed: reset by peer" in text
    assert "Goes on in the context of thread 0" in text


def test_decisions_verdicts_merges_and_the_fallback_are_told(shelf: Shelf) -> None:
    shelf.put(RUN, [
        HEADER, Decided(0, "0", "threshold", "plan", "long, and it has parts", ("tokens=900",)),
        ROOT, Started(0.1, "0.0", "0", "spawn", "judge", 0), Wrote(0.2, "0.0", "yes", 1),
        Ended(0.3, "0.0", "done", value="yes"), Noted(0.4, "0", "judge says wrong: no proof"),
        Noted(0.5, "0", "merge: vote, since answers are short"),
        Noted(0.6, "0", "falling back to sequential reasoning: no plan", warning=True),
        Ended(1, "0", "done", value="7"), RunEnded(1, "answered", "7", None, "plan", "no plan")])
    page = client_of(shelf).get("/runs/r1").text
    assert "the policy threshold chose plan: long, and it has parts" in page
    for tone, told in (("verify", "judge says wrong"), ("merge", "merge: vote"),
                       ("verify", "asks a judge"), ("fallback", "falling back")):
        assert re.search(rf'<li class="{tone}">.*{told}', page)
    assert "Parallel reasoning gave way to one thread: no plan" in words(page)


def test_the_budget_shows_what_was_used_of_it(shelf: Shelf) -> None:
    shelf.put(RUN, [replace(HEADER, limits=("total_tokens=22", "width=64")), *whole_run()[1:]])
    text = words(client_of(shelf).get("/runs/r1").text)
    assert "tokens of all threads 11 of 22" in text
    assert "threads at once 64" in text


def test_a_sequential_run_beside_it_has_its_own_rows_and_the_gains(shelf: Shelf) -> None:
    base: list[Event] = [
        replace(HEADER, method="sequential", protocol=None), ROOT, Asked(0, "0", 9, None),
        Wrote(8, "0", "long", 20), Answered(8, "0", "eos", 9, 0, 20),
        Ended(8, "0", "done", value="1"), RunEnded(8, "answered", "1", False, "sequential", None)]
    shelf.put(replace(RUN, key="base", method="sequential"), base)
    client = client_of(shelf)
    page = client.get("/runs/r1").text
    assert page == client.get("/runs/r1?beside=base").text
    assert '<option value="base" selected>' in page
    text = words(page)
    assert "Wall speedup 2.00×" in text
    assert "Token speedup 4.00×" in text
    assert "Answers right · wrong" in text
    assert page.count('role="treeitem"') == 6
    boxes = re.findall(r'class="of-time" viewBox="0 0 (\d+) 20"', page)
    assert set(boxes) == {"80000"}
    alone = client.get("/runs/r1?beside=").text
    assert "Wall speedup" not in alone
    assert '<option value="base">' in alone
    assert "Wall speedup" not in client.get("/runs/base").text
    shelf.put(replace(RUN, key="base", method="sequential", seconds=9.0), [Wrote(1, "0.7", "x", 1)])
    assert "Wall speedup" not in client.get("/runs/r1").text  # it cannot be read: nobody chose it
    assert client.get("/runs/r1?beside=base").status_code == 422


def test_a_run_that_goes_on_is_shown_as_it_is_now(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plait.viewer.web.app.FRESH", 0.0)
    client = client_of(shelf)
    for size in (6, 9):
        shelf.put(replace(RUN, state="running"), whole_run()[:size])
        assert client.get("/runs/r1").text.count('role="treeitem"') == (1 if size == 6 else 2)


def test_feedback_is_shown_and_redaction_is_said_plainly(shelf: Shelf) -> None:
    shelf.put(replace(RUN, texts="off", question="", rating=-1.0),
              [replace(HEADER, question=""), ROOT, Asked(0, "0", 9, None), Wrote(1, "0", "", 4),
               Ended(1, "0", "done", value=""),
               RunEnded(1, "answered", "", None, "native", None)],
              Feedback(-1.0, "wrong", "the sum is off", "46*2=92", False, 1_700_000_100.0))
    client = client_of(shelf)
    text = words(client.get("/runs/r1").text)
    assert "Redacted. No text of this run was kept" in text
    assert "rated -1" in text
    assert "the sum is off" in text
    assert "It should have been: 46*2=92" in text
    assert "its actions contradicted each other" in text
    assert "text not kept" in client.get("/viewer/thread/r1?thread=0").text
    assert "a question that was not kept" in client.get("/").text
    shelf.put(replace(RUN, texts="redact"), whole_run())
    assert "What looked private was replaced" in client.get("/runs/r1").text


@pytest.mark.parametrize(("path", "status", "said"), [
    ("/runs/none", 404, "There is no run"), ("/viewer/thread/r1?thread=9", 404, "no thread"),
    ("/viewer/thread/none?thread=0", 404, "There is no run"), ("/viewer/live/none", 404, "no run"),
    ("/viewer/export/r1?as=pdf", 400, "as=html"), ("/viewer/static/app.py", 404, "no such file"),
    ("/runs/r1?beside=none", 404, "There is no run")])
def test_what_is_not_there_is_said_with_its_status(
    shelf: Shelf, path: str, status: int, said: str
) -> None:
    page = client_of(shelf).get(path)
    assert page.status_code == status
    assert said in page.text


def test_events_that_make_no_sense_are_an_error_that_says_so(shelf: Shelf) -> None:
    shelf.put(RUN, [HEADER, Wrote(1, "0.7", "x", 1)])
    page = client_of(shelf).get("/runs/r1")
    assert page.status_code == 422
    assert "appears in the trace before it started" in page.text


def evil_run() -> list[Event]:
    return [RunStarted(0, EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, 0, (f"{EVIL}=1", "total_tokens=x")),
            Decided(0, "0", EVIL, EVIL, EVIL, (EVIL,)), ROOT,
            Appended(0, "0", "prompt", EVIL, 1), Asked(0, "0", 1, None), Wrote(1, "0", EVIL, 1),
            Answered(1, "0", "error", 1, 0, 1, error=EVIL),
            Started(1, f"0.{EVIL}", "0", "spawn", "thread", 0, label=EVIL),
            Wrote(2, f"0.{EVIL}", f"{EVIL}\x1b[2J\u202e&quot;'\"`${{7*7}}{{{{7*7}}}}</pre>", 1),
            Rewrote(2, f"0.{EVIL}", 1, "</pre>"), Noted(2, "0", EVIL, warning=True),
            Ended(2, f"0.{EVIL}", "failed", EVIL, EVIL), Ended(3, "0", "done", value=EVIL),
            RunEnded(3, "budget", EVIL, False, EVIL, EVIL)]


def assert_harmless(html: str) -> None:
    """Nothing of what strangers wrote became a tag, and no script is in the page itself."""
    assert "<script>alert" not in html
    assert "</pre></pre>" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html
    tags = set(re.findall(r"<([a-z0-9]+)[\s>]", html))
    assert "img" not in tags
    assert re.findall(r"\son\w+=", re.sub(r'"[^"]*"', '""', html)) == []


def test_hostile_texts_names_and_filters_stay_text_everywhere() -> None:
    shelf = Shelf()
    key = f"{EVIL}/a/\"'&?#x"
    shelf.put(Entry(key, "budget", EVIL, EVIL, EVIL, EVIL, EVIL, False, EVIL, note=EVIL),
              evil_run(), Feedback(1.0, EVIL, EVIL, EVIL))
    client = client_of(shelf)
    listed = client.get("/", params={"text": EVIL, "method": EVIL, "since": EVIL}).text
    assert_harmless(listed)
    (address,) = re.findall(r'<td class="q"><a href="([^"]+)"', listed)
    page = client.get(address)
    assert page.status_code == 200
    assert_harmless(page.text)
    panel = client.get(address.replace("/runs/", "/viewer/thread/"), params={"thread": f"0.{EVIL}"})
    assert panel.status_code == 200
    assert_harmless(panel.text)
    assert "␛[2J" in panel.text
    assert "{{7*7}}" in panel.text  # never taken for a template
    for kind in ("html", "perfetto", "jsonl"):
        file = client.get(address.replace("/runs/", "/viewer/export/"), params={"as": kind})
        assert file.status_code == 200
        assert re.fullmatch(r'attachment; filename="plait-[A-Za-z0-9._-]+"',
                            file.headers["content-disposition"])
    assert_harmless(client.get("/runs/" + EVIL).text)


def test_every_page_has_a_strict_policy_and_takes_nothing_from_elsewhere(shelf: Shelf) -> None:
    client = client_of(shelf)
    for path in ("/", "/viewer/list", "/runs/r1", "/runs/none", "/viewer/thread/r1?thread=0"):
        page = client.get(path)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"
        assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", page.text)
        assert " style=" not in page.text


def test_pages_mounted_below_a_path_lead_to_each_other_there(shelf: Shelf) -> None:
    client = TestClient(Starlette(routes=[Mount("/see", viewer_app(shelf))]))
    page = client.get("/see/").text
    assert 'href="/see/runs/r1"' in page
    addresses = re.findall(r'(?:href|src|data-threads)="(/[^"#]*)', client.get("/see/runs/r1").text)
    assert len(addresses) > 8
    for address in addresses:
        assert address.startswith("/see/")
        path = address if "/viewer/thread/" not in address else f"{address}?thread=0"
        assert client.get(path.replace("&amp;", "&")).status_code == 200


def test_a_file_to_take_along_has_everything_in_it_and_asks_for_nothing(shelf: Shelf) -> None:
    page = client_of(shelf).get("/viewer/export/r1?as=html").text
    assert page.count("<template data-panel=") == 5
    assert "script-src 'sha256-" in unescape(page)
    assert not re.findall(r"\b(?:src|href)=\"[^#\"]", page)
    assert "46+46=92" in page


def test_the_exported_trace_is_the_trace(shelf: Shelf) -> None:
    assert client_of(shelf).get("/viewer/export/r1?as=jsonl").content == encode_trace(whole_run())


def sent(text: str) -> list[tuple[str, object]]:
    """The server-sent events of a body."""
    found = re.findall(r"event: (\w+)\ndata: (.*)\n\n", text)
    return [(kind, orjson.loads(data)) for kind, data in found]


def steps(events: Sequence[Event], size: int) -> list[Sequence[Event]]:
    return [events[i:i + size] for i in range(0, len(events), size)]


def test_a_live_run_sends_what_is_new_and_says_when_it_is_over(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plait.viewer.web.live.TICK", 0.01)
    monkeypatch.setattr("plait.viewer.web.live.EASE", 0)
    shelf.put(replace(RUN, state="running"), whole_run()[:6])
    shelf.steps["r1"] = steps(whole_run(), 6)
    client = client_of(shelf)
    assert 'data-live="/viewer/live/r1"' in client.get("/runs/r1").text
    answer = client.get("/viewer/live/r1")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = sent(answer.text)
    assert [kind for kind, _ in events] == ["change"] * (len(events) - 1) + ["over"]
    known: list[str] = []
    for _, news in events[:-1]:
        for name, before, html in news["rows"]:
            assert f'data-thread="{name}"' in html
            if name not in known:
                known.insert(0 if before is None else known.index(before) + 1, name)
    assert known == ["0", "0.0", "0.1", "0.2", "0.3"]
    assert "46+46=92" in events[-2][1]["parts"]["head"]


def test_a_live_run_that_cannot_be_followed_ends_with_the_reason(shelf: Shelf) -> None:
    shelf.steps["r1"] = [[HEADER, Wrote(1, "0.7", "x", 1)]]
    (last,) = sent(client_of(shelf).get("/viewer/live/r1").text)
    assert last[0] == "over"
    assert "before it started" in last[1]
