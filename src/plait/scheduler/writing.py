"""One `Thread.write`: from the right to write, over the engine's stream, to the books.

Order of the rights: live context tokens of the run, then a slot of the runtime, then a lease of
tokens. Whoever waits for a slot holds no lease, so tokens are never locked up by a thread that
does not run. All three are given back in `_close`, however the stream ends.

A lease is a *share* of what is left when many threads want the same tokens. A thread that has
used up its share and is not done asks again (`_Grant.renewable`): the engine continues from a
prompt that it has in its cache, and threads that need little leave their part to those that need
much; a stop that lies across two such requests is found by `Seam`. Inside a call of a tool there is
no asking again, since no server continues one: it ends cut off, and whoever reads it sees that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING

import anyio

from plait.core import Chunk, Finish, Sampling, Stops, Usage
from plait.core.events import Answered, Asked, Noted, Wrote
from plait.core.seam import Seam
from plait.errors import EngineError, EngineOverloaded, EngineUnreachable
from plait.scheduler.admission import Slot
from plait.scheduler.ledger import Lease
from plait.scheduler.purse import Hold

if TYPE_CHECKING:
    from plait.scheduler.thread import ScheduledThread


LAST_WORD_SECONDS = 0.05
"""Wait for an engine's word on a text that has come to its stop."""


@dataclass(frozen=True, slots=True)
class Grant:
    """How many tokens a stream may generate (None: what the engine allows), and why no more."""

    tokens: int | None
    ends: Finish = "length"
    what: str = ""
    renewable: bool = False


class Writing:
    """The stream that `Thread.write` gives: an async context manager and its own iterator."""

    def __init__(
        self, thread: ScheduledThread, until: Stops, limit: int | None, sampling: Sampling
    ) -> None:
        self._thread = thread
        self._until = until
        self._left = limit
        self._sampling = sampling
        self._seam = Seam(until.strings + sampling.stop)
        self._grant = Grant(0)
        self._lease: Lease | None = None
        self._hold: Hold | None = None
        self._usage: Usage | None = None
        self._source: AsyncIterator[Chunk] | None = None
        self._request: AbstractAsyncContextManager[AsyncIterator[Chunk]] | None = None
        self._live = 0
        self._slot: Slot | None = None
        self._asked_at = 0.0
        self._written = 0
        self._estimated = False
        self._called = False
        self._at_stop = False
        self._by: tuple[str, ...] = ()
        self._done = False

    async def __aenter__(self) -> Writing:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._source is not None and kind is None and self._at_stop:
                await self._hear_out()
        finally:
            if self._source is not None:
                self._record("left")
                self._thread.finish = "left"
            await self._close()

    def __aiter__(self) -> Writing:
        return self

    async def __anext__(self) -> Chunk:
        while not self._done:
            if self._source is None and not await self._open():
                self._finish(self._grant.ends, self._grant.what)
                return Chunk(finish=self._grant.ends)
            found = await self._next()
            lease = self._lease
            if found.finish is None and lease is not None and lease.ends_before(found.tokens):
                await self._leave()
            elif (chunk := await self._take(found)) is not None:
                return chunk
        raise StopAsyncIteration

    async def _open(self) -> bool:
        """Get the rights and make the request; False if there is nothing left to spend."""
        thread, run = self._thread, self._thread.run
        self._grant = thread.grant(self._left)
        if self._grant.tokens == 0:
            return False
        try:
            live = thread.context.tokens + (self._grant.tokens or 0)
            await run.live.acquire(live)
            self._live = live
            self._slot = await run.limiter.acquire(run.id, thread.claim())
            run.held_back(thread, self._slot)
            asked, self._grant = self._grant, thread.grant(self._left)  # siblings may have spent
            if asked.tokens is not None and self._grant.tokens is not None:
                self._grant = min(asked, self._grant, key=lambda g: g.tokens or 0)
            if self._grant.tokens == 0:
                await self._close()
                return False
            self._lease = run.ledger.lend(thread.account, self._grant.tokens)
            self._usage = None
            self._hold = run.purse.hold(
                run.price_of(thread.engine), thread.context.tokens, self._grant.tokens)
            sampling = replace(
                self._sampling,
                max_tokens=self._grant.tokens,
                stop=self._until.strings + self._sampling.stop,
                stop_ids=self._until.ids + self._sampling.stop_ids,
                seed=thread.next_seed(self._sampling),
                session=run.id,
            )
            self._asked_at = run.time()
            self._written = 0
            self._by = ()
            run.emit(Asked(run.now(), thread.name, thread.context.tokens, self._grant.tokens))
            request = thread.engine.stream(thread.context.prompt(), sampling)
            try:
                self._source = await request.__aenter__()
            except EngineError as error:
                self._failed(error)
                raise
            self._request = request
        except BaseException:
            await self._close()
            raise
        return True

    async def _next(self) -> Chunk:
        assert self._source is not None
        try:
            chunk = await anext(self._source)
        except StopAsyncIteration:
            error = EngineUnreachable("the engine's stream ended without saying why")
            self._failed(error)
            await self._close()
            raise error from None
        except EngineError as error:
            self._failed(error)
            await self._close()
            raise
        return chunk

    async def _take(self, chunk: Chunk) -> Chunk | None:
        """Book a chunk; None if there is nothing in it for the reader."""
        thread, run = self._thread, self._thread.run
        self._note_writers(chunk.by)
        if across := self._seam.take(chunk.text):
            chunk = self._cut(chunk, *across)
        if chunk.tokens or chunk.text or chunk.calls:
            if self._written == 0:
                run.limiter.succeeded(run.time() - self._asked_at)
            if self._slot is not None:
                run.limiter.wrote(self._slot, chunk.tokens)
            self._written += chunk.tokens
            self._at_stop = chunk.text.endswith(self._until.strings + self._sampling.stop)
            self._estimated |= chunk.estimated
            if self._left is not None:
                self._left -= chunk.tokens
            self._spend(chunk.tokens)
            text = chunk.text
            if chunk.calls:
                self._called = True
                text += "".join(delta.shown for delta in chunk.calls)
            thread.context.write(text, chunk.ids, chunk.tokens)
            thread.tokens += chunk.tokens
            run.emit(Wrote(run.now(), thread.name, text, chunk.tokens, chunk.estimated))
        if chunk.finish is None:
            return chunk if chunk.text or chunk.tokens or chunk.calls else None
        self._record(chunk.finish, chunk)
        self._usage = chunk.usage
        await self._close()
        finish, what = chunk.finish, "the context window"
        if finish == "length":
            if self._grant.renewable and not self._called:
                self._seam.cross()
                return replace(chunk, finish=None) if chunk.text or chunk.tokens else None
            finish, what = self._grant.ends, self._grant.what
        self._finish(finish, what)
        return replace(chunk, finish=finish)

    def _note_writers(self, by: tuple[str, ...]) -> None:
        if by and by != self._by:
            self._by = by
            if len(by) > 1:
                self._thread.note(f"{by[-2]} broke off in the middle of the text; {by[-1]} goes on"
                                  " with it", warning=True)

    def _spend(self, tokens: int) -> None:
        if self._lease is not None:
            self._lease.spend(tokens)
        if self._hold is not None:
            self._hold.spend(tokens)

    async def _hear_out(self) -> None:
        """The reader leaves at a stop, where the engine has ended too: what it says of the tokens,
        and of how many it had cached, is on its way."""
        assert self._source is not None
        with anyio.move_on_after(LAST_WORD_SECONDS):
            try:
                chunk = await anext(self._source)
            except (StopAsyncIteration, EngineError):
                return
            if chunk.finish is not None and not chunk.text:
                await self._take(chunk)

    async def _leave(self) -> None:
        """The text goes on beyond a lease that others got a part of: ask again. The chunk that
        shows it is dropped; one that ends the text would have been taken."""
        self._record("left")
        await self._close()
        self._seam.cross()
        if self._called:
            self._finish("budget", "total tokens")

    def _cut(self, chunk: Chunk, end: int, stop: str) -> Chunk:
        """``chunk`` as an engine would have sent it that had seen all of ``stop``."""
        ids = chunk.ids
        if ids is not None and end < len(chunk.text):
            again = self._thread.engine.encode(chunk.text[:end])
            ids = None if again is None else tuple(again)
        return replace(chunk, text=chunk.text[:end], ids=ids, finish="stop", stop=stop)

    def _finish(self, finish: Finish, what: str) -> None:
        self._done = True
        thread = self._thread
        thread.finish = finish
        if finish in ("budget", "window"):
            thread.run.emit(Noted(
                thread.run.now(), thread.name, f"stopped by the limit on {what}", warning=True))

    def _record(self, finish: Finish, last: Chunk | None = None, error: str = "") -> None:
        thread, run = self._thread, self._thread.run
        usage = last.usage if last else None
        if usage is None:  # left or broken off: counted here, exactly where chunks count exactly
            guessed = self._estimated or not thread.engine.capabilities.exact_counts
            run.emit(Answered(run.now(), thread.name, finish, thread.context.tokens - self._written,
                              0, self._written, guessed, error, self._by))
        else:
            run.emit(Answered(run.now(), thread.name, finish, usage.prompt, usage.cached,
                              usage.generated, usage.estimated, error,
                              self._by))

    def _failed(self, error: EngineError) -> None:
        thread, run = self._thread, self._thread.run
        if isinstance(error, EngineOverloaded):
            run.limiter.overloaded(error.retry_after)
        else:
            run.limiter.failed()
        self._record("error", error=str(error))
        thread.finish = "error"
        self._done = True

    async def _close(self) -> None:
        """Leave the request and give everything back. Never waits for the engine."""
        run = self._thread.run
        request, self._request, self._source = self._request, None, None
        try:
            if request is not None:
                with anyio.CancelScope(shield=True):
                    await request.__aexit__(None, None, None)
        finally:
            if self._lease is not None:
                run.ledger.settle(self._lease)
                self._lease = None
            if self._hold is not None:
                self._hold.close(self._usage)
                self._hold = None
            if self._slot is not None:
                slot, self._slot = self._slot, None
                run.limiter.release(slot)
            run.live.release(self._live)
            self._live = 0
