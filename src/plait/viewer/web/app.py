"""The pages as a Starlette application, to be served alone or within a gateway.

    GET /                      the list of runs; ?text= &method= &model= &outcome= &since= &page=
    GET /runs/KEY              one run; ?thread= opens a text, ?beside= another run's key
    GET /viewer/list           the lines of the list, for a page that is open
    GET /viewer/thread/KEY     one thread's text; ?thread=
    GET /viewer/live/KEY       what is new in a run that goes on, as server-sent events
    GET /viewer/export/KEY     ?as=html, perfetto or jsonl
    GET /viewer/static/NAME    style and script

Who may see runs is not decided here: whoever mounts the pages keeps strangers out.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from plait.core.events import Event
from plait.errors import TraceError
from plait.trace import encode_trace
from plait.viewer.web import pages
from plait.viewer.web.live import LiveResponse
from plait.viewer.web.pages import Places, Sheet
from plait.viewer.web.perfetto import perfetto
from plait.viewer.web.source import Entry, Filter, Source
from plait.viewer.web.view import View

KEPT = 8
"""Runs that are kept at hand."""
FRESH = 2.0
"""Seconds for which a run that goes on is shown as it was."""
STATIC = {"viewer.css": "text/css", "viewer.js": "text/javascript"}
_BASE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
         "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store"}


class NotHere(Exception):
    """There is no such run, or it cannot be shown."""

    def __init__(self, title: str, text: str, status: int) -> None:
        super().__init__(text)
        self.title, self.text, self.status = title, text, status


def viewer_app(source: Source, middleware: Sequence[Middleware] = ()) -> Starlette:
    """The pages over ``source``, to be mounted or served alone."""
    return Starlette(routes=viewer_routes(source), middleware=middleware)


def viewer_routes(source: Source) -> list[BaseRoute]:
    """The same as routes, for an application that has others besides."""
    viewer = Viewer(source)
    return [Route("/", viewer.list), Route("/viewer/list", viewer.lines),
            Route("/runs/{key:path}", viewer.run),
            Route("/viewer/thread/{key:path}", viewer.thread),
            Route("/viewer/live/{key:path}", viewer.live),
            Route("/viewer/export/{key:path}", viewer.export),
            Route("/viewer/static/{name}", viewer.static)]


class Viewer:
    """The handlers of the routes."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._views: OrderedDict[Entry, tuple[float, View]] = OrderedDict()

    async def list(self, request: Request) -> Response:
        wanted, asked = _wanted(request)
        listing = await self._source.runs(wanted)
        return _html(pages.list_page(listing, wanted, asked, _places(request)))

    async def lines(self, request: Request) -> Response:
        wanted, asked = _wanted(request)
        listing = await self._source.runs(wanted)
        return _html(pages.list_fragment(listing, wanted, asked, _places(request)))

    async def run(self, request: Request) -> Response:
        try:
            sheet = await self._sheet(request)
        except NotHere as error:
            return _sorry(request, error)
        page = await anyio.to_thread.run_sync(pages.run_page, sheet, _places(request))
        return StreamingResponse((part.encode("utf-8", "replace") for part in page),
                                 media_type="text/html", headers=_headers())

    async def thread(self, request: Request) -> Response:
        name = request.query_params.get("thread", "")
        try:
            entry, view = await self._view(request.path_params["key"])
            if name not in view.journal.threads:
                raise NotHere("No such thread", f"The run has no thread {name!r:.80}.", 404)
        except NotHere as error:
            return _sorry(request, error)
        return _html(pages.thread_fragment(view, name, _places(request), entry.key))

    async def export(self, request: Request) -> Response:
        kind = request.query_params.get("as", "")
        try:
            if kind == "jsonl":
                entry = await self._entry(request.path_params["key"])
                events = await self._events(entry)
                return _file(entry, kind, await anyio.to_thread.run_sync(encode_trace, events))
            sheet = await self._sheet(request)
        except NotHere as error:
            return _sorry(request, error)
        if kind == "perfetto":
            data = await anyio.to_thread.run_sync(perfetto, sheet.view)
            return _file(sheet.entry, "json", data)
        if kind == "html":
            page = await anyio.to_thread.run_sync(pages.alone, replace(sheet, opened=""))
            return _file(sheet.entry, kind, page.encode("utf-8", "replace"))
        return _sorry(request, NotHere("Nothing of that kind",
                                       "Say as=html, as=perfetto or as=jsonl.", 400))

    async def live(self, request: Request) -> Response:
        try:
            entry = await self._entry(request.path_params["key"])
        except NotHere as error:
            return _sorry(request, error)
        return LiveResponse(entry, self._source.follow(entry.key), _places(request), _BASE)

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            return _sorry(request, NotHere("Nothing here", "There is no such file.", 404))
        return Response(pages.asset(name), media_type=STATIC[name],
                        headers=_BASE | {"Cache-Control": "no-cache"})

    async def _sheet(self, request: Request) -> Sheet:
        """The run that is asked for, with what belongs to its page. Raises `NotHere`.

        A sequential run of the same question stands beside it unless another, or none, is chosen.
        """
        query = request.query_params
        entry, view = await self._view(request.path_params["key"])
        others = await self._source.alike(entry.key)
        if "beside" in query:
            beside = Sheet(*await self._view(query["beside"])) if query["beside"] else None
        else:
            beside = await self._baseline(entry, others)
        feedback = await self._source.feedback(entry.key)
        return Sheet(entry, view, feedback, beside, others, query.get("thread", ""))

    async def _baseline(self, entry: Entry, others: Sequence[Entry]) -> Sheet | None:
        """The sequential run that nobody had to choose, if there is one that can be read."""
        fit = [other for other in others[:1] if other.method == "sequential" != entry.method
               and other.model == entry.model and other.state in ("answered", "budget")]
        if not fit:
            return None
        try:
            return Sheet(*await self._view(fit[0].key))
        except NotHere:  # whoever chooses it is told why
            return None

    async def _entry(self, key: str) -> Entry:
        entry = await self._source.entry(key)
        if entry is None:
            raise NotHere("No such run", f"There is no run {key!r:.120} here (any more).", 404)
        return entry

    async def _events(self, entry: Entry) -> Sequence[Event]:
        try:
            return await self._source.events(entry.key)
        except TraceError as error:
            raise NotHere("This trace cannot be read", str(error), 422) from error

    async def _view(self, key: str) -> tuple[Entry, View]:
        """A run, built once as long as its entry stays the same; one that goes on every `FRESH`
        seconds. Raises `NotHere`."""
        entry, now = await self._entry(key), time.monotonic()
        built, view = self._views.get(entry, (0.0, None))
        if view is None or (entry.state == "running" and now - built > FRESH):
            events = await self._events(entry)
            try:
                view = await anyio.to_thread.run_sync(View, events)
            except TraceError as error:
                raise NotHere("This trace cannot be shown", str(error), 422) from error
            self._views[entry] = now, view
        self._views.move_to_end(entry)
        while len(self._views) > KEPT:
            self._views.popitem(last=False)
        return entry, view


def _wanted(request: Request) -> tuple[Filter, dict[str, str]]:
    """The filter of an address, and its parameters. What makes no sense does not restrict."""
    known = ("text", "method", "model", "outcome", "since", "page")
    asked = {k: v for k, v in request.query_params.items() if k in known and v}
    since = asked.get("since", "")
    return Filter(
        asked.get("method", ""), asked.get("model", ""), asked.get("outcome", ""),
        asked.get("text", ""),
        time.time() - int(since) if re.fullmatch(r"[0-9]{1,9}", since) else None,
        asked.get("page", "")), asked


def _places(request: Request) -> Places:
    return Places(request.scope.get("root_path", "").rstrip("/"))


def _headers() -> dict[str, str]:
    rules = pages.policy(Places()) + "; frame-ancestors 'none'"
    return _BASE | {"Content-Security-Policy": rules}


def _html(text: str, status: int = 200) -> Response:
    return HTMLResponse(text.encode("utf-8", "replace"), status, headers=_headers())


def _sorry(request: Request, error: NotHere) -> Response:
    return _html(pages.message_page(error.title, error.text, _places(request)), error.status)


def _file(entry: Entry, ending: str, data: bytes) -> Response:
    """A file to be saved. Its name has nothing in it that a header or a file system minds."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", entry.key).strip("-.")[-80:] or "run"
    return Response(data, media_type="application/octet-stream", headers=_BASE | {
        "Content-Disposition": f'attachment; filename="plait-{name}.{ending}"'})
