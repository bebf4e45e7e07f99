"""Runs as HTML. Jinja2 escapes everything; what models wrote is never marked as safe.

A page takes its style and its script from the same host, and nothing from elsewhere; a page that
stands alone (`plait.viewer.web.alone`) has them inside.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from plait.viewer.scale import compact
from plait.viewer.scene import Strand
from plait.viewer.tree import style_of
from plait.viewer.web import facts
from plait.viewer.web.journal import Try
from plait.viewer.web.picture import AXES, Axis, Picture, draw, length
from plait.viewer.web.source import Entry, Feedback, Filter, Listing
from plait.viewer.web.view import View
from plait.viewer.words import gist, one_line, seconds, way

LIVE_PARTS = ("head", "scales", "links", "story", "limits")
BUFFER = 400
"""Bits of a page that are sent at once; a row has about forty."""
MOST_LINES = 400
"""Lines of the story on a page."""
OUTCOMES = ("answered", "right", "wrong", "fallback", "budget", "failed", "cancelled", "running",
            "lost")
PERIODS = {"": "any time", "3600": "last hour", "86400": "last day", "604800": "last week"}
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069"
                      "\ufeff\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Places:
    """Where the pages lie. ``root`` has no slash at its end; None: the page stands alone."""

    root: str | None = ""

    def list(self, wanted: Mapping[str, str] | None = None) -> str:
        query = urlencode({k: v for k, v in (wanted or {}).items() if v})
        return f"{self.root}/" + (f"?{query}" if query else "")

    def run(self, key: str, **more: str) -> str:
        return self._at("runs", key, more)

    def thread(self, key: str) -> str:
        return self._at("viewer/thread", key, {})

    def live(self, key: str) -> str:
        return self._at("viewer/live", key, {})

    def export(self, key: str, kind: str, beside: str = "") -> str:
        return self._at("viewer/export", key, {"as": kind, "beside": beside})

    def static(self, name: str) -> str:
        return f"{self.root}/viewer/static/{name}"

    def _at(self, where: str, key: str, more: Mapping[str, str]) -> str:
        query = urlencode({k: v for k, v in more.items() if v})
        return f"{self.root}/{where}/{quote(key, safe='/')}" + (f"?{query}" if query else "")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A run with what belongs to its page."""

    entry: Entry
    view: View
    feedback: Sequence[Feedback] = ()
    beside: Sheet | None = None
    """A sequential run of the same question."""
    others: Sequence[Entry] = ()
    """Runs that it may be compared with."""
    opened: str = ""
    """The thread whose text is shown from the start."""


def run_page(sheet: Sheet, places: Places) -> Iterator[str]:
    """The page of one run in pieces, so that a browser can paint its head before it has all."""
    opened = sheet.opened if sheet.opened in sheet.view.journal.threads else ""
    stream = _template("run.html").stream(
        places=places, **run_parts(replace(sheet, opened=opened)),
        panel=thread_parts(sheet.view, opened) if opened else None,
        panels=_panels(sheet) if places.root is None else ())
    stream.enable_buffering(BUFFER)
    return stream


def alone(sheet: Sheet) -> str:
    """The page of one run with everything inside it: style, script, and all texts."""
    return "".join(run_page(sheet, Places(None)))


def run_parts(sheet: Sheet) -> dict[str, object]:
    """What the templates of a run's page are filled with."""
    view, beside = sheet.view, sheet.beside
    least: dict[Axis, int] = {a: length(beside.view, a) for a in AXES} if beside else {}
    picture = draw(view, least)
    return {
        "entry": sheet.entry, "scene": view.scene, "picture": picture,
        "opened": sheet.opened, "facts": facts.facts(view), "limits": facts.limits(view),
        "parts": facts.parts(view.scene.meter.metrics()), "story": view.story.lines[:MOST_LINES],
        "untold": max(0, len(view.story.lines) - MOST_LINES), "feedback": sheet.feedback,
        "others": sheet.others, "beside": beside,
        "base": _base(beside.view, picture) if beside else None,
        "against": facts.against(view, beside.view) if beside else ()}


def _base(base: View, picture: Picture) -> Picture:
    return draw(base, {axis: scale.length for axis, scale in picture.scales.items()})


def _panels(sheet: Sheet) -> list[dict[str, object]]:
    """The texts of all threads, for a page that cannot ask for them."""
    return [thread_parts(sheet.view, strand.name) for strand, _ in sheet.view.order()]


def thread_parts(view: View, name: str) -> dict[str, object]:
    """What the panel of one thread is filled with. ``name`` must be one of the run's."""
    strand = view.scene.strands[name]
    tries = view.journal.threads[name]
    lines = view.story.threads.get(name, [])
    return {"strand": strand, "tries": tries, "about": lines[:MOST_LINES],
            "shared": _shared(tries[-1]), "cached": _cached(tries)}


def _shared(last: Try) -> str:
    """Whose context a forked thread goes on from."""
    return last.started.parent or "" if last.started.family == "fork" else ""


def _cached(tries: Sequence[Try]) -> tuple[int, int]:
    """Tokens that the engine had to read for a thread, and how many it had cached."""
    answers = [call.answered for one in tries for call in one.calls if call.answered is not None]
    return sum(a.prompt for a in answers), sum(a.cached for a in answers)


def thread_fragment(view: View, name: str, places: Places, key: str) -> str:
    """The panel of one thread, to be put into a page."""
    return _template("thread.html").render(
        places=places, key=key, panel=thread_parts(view, name))


def changes(sheet: Sheet, places: Places, touched: Collection[str]) -> dict[str, object]:
    """What is new on the page of a run that goes on: parts by their ids, and the rows of
    threads that were touched or still run, each with the name of the row before it."""
    parts = run_parts(sheet)
    picture = parts["picture"]
    assert isinstance(picture, Picture)
    rows: list[tuple[str, str | None, str]] = []
    before: str | None = None
    for row in picture.rows:
        if row.strand.name in touched or row.strand.status is None:
            html = _template("row.html").render(places=places, row=row, **parts)
            rows.append((row.strand.name, before, html))
        before = row.strand.name
    return {
        "parts": {name: _template(f"{name}.html").render(places=places, **parts)
                  for name in LIVE_PARTS},
        "rows": rows, "lengths": {axis: picture.scales[axis].length for axis in AXES}}


def list_page(listing: Listing, wanted: Filter, asked: Mapping[str, str], places: Places) -> str:
    """The list of runs. ``asked``: the filter as it stands in the address."""
    return _template("list.html").render(places=places, **_listed(listing, wanted, asked))


def list_fragment(
    listing: Listing, wanted: Filter, asked: Mapping[str, str], places: Places
) -> str:
    """The lines of the list alone."""
    return _template("lines.html").render(places=places, **_listed(listing, wanted, asked))


def _listed(listing: Listing, wanted: Filter, asked: Mapping[str, str]) -> dict[str, object]:
    return {
        "listing": listing, "wanted": wanted, "asked": asked, "outcomes": OUTCOMES,
        "periods": PERIODS, "newest": {k: v for k, v in asked.items() if k != "page"},
        "methods": _choices(listing.methods, wanted.method),
        "models": _choices(listing.models, wanted.model)}


def _choices(known: Sequence[str], chosen: str) -> list[str]:
    """What a person may choose; what is chosen is among it, whatever it is."""
    return sorted({*known, *([chosen] if chosen else [])})


def message_page(title: str, text: str, places: Places) -> str:
    """A page that says one thing: what is not there, or cannot be shown."""
    return _template("message.html").render(places=places, title=title, text=text)


def visible(text: object) -> str:
    """Foreign text with its control and direction signs shown instead of obeyed."""
    def shown(found: re.Match[str]) -> str:
        code = ord(found[0])
        return chr(0x2400 + code) if code < 0x20 else f"⟨U+{code:04X}⟩"

    return _CONTROL.sub(shown, str(text))


def moment(at: float | None) -> str:
    """A time of day, in UTC."""
    if at is None:
        return ""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return ""


def tone(strand: Strand) -> str:
    """The class of a thread's state: what it looks like."""
    if strand.status is None:
        return "running"
    return {"no solution": "none", "no answer": "failed", "out of budget": "budget",
            "malformed": "failed"}.get(strand.state, strand.state)


@cache
def environment() -> Environment:
    """The templates, with the filters that they use."""
    made = Environment(loader=PackageLoader("plait.viewer.web"), autoescape=True,
                       undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {
        "visible": visible, "line": lambda text: one_line(str(text)), "gist": gist,
        "seconds": seconds, "moment": moment, "compact": compact, "tone": tone,
        "mark": lambda strand: style_of(strand)[0], "way": way}
    made.globals |= {"asset": asset, "policy": policy}
    return made


@cache
def _template(name: str) -> Template:
    return environment().get_template(name)


@cache
def asset(name: str) -> Markup:
    """The text of a file under ``static``: ours, so it goes into a page as it is."""
    return Markup((files("plait.viewer.web") / "static" / name).read_text(encoding="utf-8"))


def policy(places: Places) -> str:
    """The Content-Security-Policy of a page: style and script are ours, and nothing else loads."""
    if places.root is not None:
        return ("default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';"
                " form-action 'self'; base-uri 'none'")
    return (f"default-src 'none'; style-src 'sha256-{_hash('viewer.css')}';"
            f" script-src 'sha256-{_hash('viewer.js')}'; form-action 'none'; base-uri 'none'")


def _hash(name: str) -> str:
    return b64encode(sha256(asset(name).encode()).digest()).decode()
