"""The viewer over the gateway's store, and who may look at it.

Where there are keys, only those of administrators open the pages, since they show everybody's
runs. A browser asks for a name and a password: any name, and the key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import cast

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from plait.core.events import Event
from plait.errors import TraceError, UsageError
from plait.server.errors import ApiError
from plait.server.exchange import Exchange
from plait.server.gateway import Gateway
from plait.server.redact import Texts
from plait.server.store import RunFilter, RunRecord, Store
from plait.viewer.web import Entry, Feedback, Filter, Listing, State, viewer_app
from plait.viewer.web.source import Source

STATES: tuple[State, ...] = ("answered", "budget", "failed", "cancelled", "running", "lost")
ALIKE = 50
"""Runs of one question that are looked at."""
_REALM = 'Basic realm="plait: any name, and an administrator\'s key", charset="UTF-8"'


class StoreSource:
    """The runs of a store, as the viewer wants them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def runs(self, wanted: Filter) -> Listing:
        """The runs that pass; looking for right or wrong answers reads on until there are
        enough."""
        outcome = wanted.outcome
        asked = RunFilter(
            state=outcome if outcome in STATES else "", model=wanted.model, method=wanted.method,
            fallback=True if outcome == "fallback" else None, since=wanted.since,
            contains=wanted.text)
        correct = {"right": True, "wrong": False}.get(outcome)
        entries: list[Entry] = []
        before = wanted.place
        while True:
            page = await self._store.runs(asked, limit=wanted.most, before=before)
            entries += [_entry(r) for r in page.runs if correct is None or r.correct is correct]
            before = page.next
            if before is None or correct is None or len(entries) >= wanted.most:
                break
        return Listing(entries, None if before is None else str(before),
                       methods=sorted({e.method for e in entries if e.method}),
                       models=sorted({e.model for e in entries if e.model}))

    async def entry(self, key: str) -> Entry | None:
        try:
            return _entry(await self._store.run(key))
        except UsageError:
            return None

    async def events(self, key: str) -> Sequence[Event]:
        try:
            return await self._store.trace(key)
        except UsageError as error:
            raise TraceError(str(error)) from None

    async def follow(self, key: str) -> AsyncIterator[Event]:
        try:
            async for event in self._store.follow(key):
                yield event
        except UsageError as error:
            raise TraceError(str(error)) from None

    async def alike(self, key: str) -> Sequence[Entry]:
        """The latest runs of the same question by the same model, sequential ones first."""
        try:
            record = await self._store.run(key)
        except UsageError:
            return ()
        if not record.question:
            return ()
        page = await self._store.runs(
            RunFilter(model=record.model, contains=record.question), limit=ALIKE)
        same = [r for r in page.runs if r.run != key and r.question == record.question
                and r.state not in ("running", "lost")]
        return [_entry(r) for r in sorted(same, key=lambda r: r.method != "sequential")]

    async def feedback(self, key: str) -> Sequence[Feedback]:
        try:
            said = await self._store.feedback(key)
        except UsageError:
            return ()
        return [Feedback(f.rating, f.label, f.comment, f.answer, f.coherent, f.at) for f in said]


def _entry(record: RunRecord) -> Entry:
    return Entry(
        record.run, record.state, record.question or "", record.engine, record.model,
        record.method, record.protocol, record.correct, record.fallback, record.started,
        record.seconds, record.threads or None, record.total_tokens, record.critical_path_tokens,
        record.rating, cast(Texts, record.texts))


def viewer_routes(gateway: Gateway) -> list[BaseRoute]:
    """The pages, guarded; none where nothing is stored."""
    if gateway.store is None:
        return []
    source: Source = StoreSource(gateway.store)
    pages = _Guarded(gateway, viewer_app(source))
    return [Route(path, pages) for path in ("/", "/runs/{key:path}", "/viewer/{rest:path}")]


class _Guarded:
    """``inside``, for administrators."""

    def __init__(self, gateway: Gateway, inside: ASGIApp) -> None:
        self._gateway = gateway
        self._inside = inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, most_bytes=0,
                            patience=self._gateway.settings.patience)
        try:
            key = self._gateway.keys.identify(exchange.headers, browser=True)
            if not key.admin:
                raise ApiError(403, "only an administrator's key opens the viewer")
        except ApiError as error:
            body = f"{error}\n".encode()
            await exchange.reply(error.status, body, {
                "content-type": "text/plain; charset=utf-8", "www-authenticate": _REALM})
            return
        await self._inside(scope, receive, send)
