"""Forks that cost no second prefill on a llama.cpp server: slots are saved and restored.

What goes where is decided by the book (`slots`); here it is carried out, with four calls:

    GET  /slots                             who is at work, has anything changed
    POST /completion  n_predict 0           read a trunk that no slot holds
    POST /slots/N?action=save               a trunk into a file of the server's
    POST /slots/N?action=restore            out of it into the slot of a sibling

Streams that begin together are found by waiting `GATHER_SECONDS` for each other. Nothing here can
fail a stream: where a call fails or takes too long the streams begin as they are, and read their
prompts. Where copies turn out not to hold, or to take longer than reading, none are made.

A file is restored only by the engine that has saved it, shortly after, and not once the server
was started anew: with another model the same tokens would have other contents, the one thing that
llama.cpp cannot see. For the same reason a file's name has the server's address and its model in
it. The server deletes no files, so the names are few and used again (`FILES`).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio

from plait.core import Chunk
from plait.engines.openai.connect import Link
from plait.engines.openai.errors import NotThere
from plait.engines.openai.probe import Server
from plait.engines.openai.slots import (
    LEAST,
    Claim,
    Placing,
    Slot,
    SlotBook,
    Then,
    Trunk,
    common,
    read_slots,
)
from plait.errors import EngineError

SLOT = "id_slot"
"""The field by which a request says its slot."""
GATHER_SECONDS = 0.003
"""A stream waits so long for siblings that begin with it."""
CALL_SECONDS = 5.0
"""A call that takes longer waits for somebody who took the slot in between."""
LOOK_SECONDS = 0.25
"""How often a server is asked whether other people's slots are free again."""
FILES, LANES = 4, 8
"""Files of one engine, and sets of files that engines on one server share by chance: the server
keeps at most ``FILES * LANES`` files a model."""
MOST_MISSES = 8
"""Copies in a row that the server did not use; then it keeps its memory in another way."""
MOST_REFUSED = 20
"""Copies that did not pay by the measured times, after which those are measured anew."""
OF_STOP = 4
"""Tokens of a stop, about, that a slot may hold without their being counted as generated."""
PAUSE_SECONDS = 600.0
"""For this long a server that does not use copies is left alone."""


class Forks:
    """The slots of one server, for all streams of one engine."""

    def __init__(self, link: Link, server: Server) -> None:
        self._link = link
        self._model = server.model
        place = f"{link.where} {server.model} {server.file}".encode()
        name = f"plait-{hashlib.blake2b(place, digest_size=6).hexdigest()}"
        lane = random.randrange(LANES)
        self._rates = Rates()
        self._book = SlotBook(server.slots or 0, [f"{name}-{lane}-{n}.bin" for n in range(FILES)],
                              self._rates.pays)
        self._changed = anyio.Event()
        self._unplaced = 0
        self._planning = False
        self._looked = float("-inf")
        self._misses = 0
        self._off_until = float("-inf")

    @property
    def book(self) -> SlotBook:
        """What is where."""
        return self._book

    @asynccontextmanager
    async def place(self, text: str, session: str) -> AsyncIterator[Stay]:
        """A slot for a stream with the prompt ``text`` of the run ``session``.

        Waits until one is free, in turns with other runs.
        """
        if anyio.current_time() < self._off_until:
            yield Stay()
            return
        if not self._unplaced:
            self._changed = anyio.Event()  # the old one may belong to an event loop that is over
        claim = self._book.ask(text, session)
        stay = Stay(claim)
        try:
            await self._settle(claim)
            stay.began = anyio.current_time()
            yield stay
        finally:
            self._leave(claim, stay)

    async def _settle(self, claim: Claim) -> None:
        """Wait until ``claim`` may begin; look, plan and carry out what falls to it on the way."""
        self._unplaced += 1
        try:
            await anyio.sleep(GATHER_SECONDS)
            while not claim.placed:
                if claim.placing is None:
                    await self._plan()
                if claim.placing is not None and claim.placing.driver is claim:
                    await self._carry_out(claim.placing)
                elif not claim.placed:
                    await self._news()
        finally:
            self._unplaced -= 1

    def _leave(self, claim: Claim, stay: Stay) -> None:
        """Give the slot back, with what it holds now; or the place in the queue."""
        self._book.release(claim, *stay.left())
        if claim.placing is not None and claim.placing.driver is claim:
            self._book.done(claim.placing, "wait")  # cancelled before it was carried out
        self._judge(stay)
        self._notify()

    def _notify(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def _news(self) -> None:
        """Wait until something has changed; or for a while, where others may have gone."""
        changed = self._changed
        with anyio.move_on_after(LOOK_SECONDS if self._book.crowded else None):
            await changed.wait()

    async def _plan(self) -> None:
        """Give out the free slots, one caller at a time: it plans for all that wait."""
        if self._planning or self._book.full:
            return
        self._planning = True
        try:
            await self._look()
        except BaseException:
            self._notify()  # somebody else has to do it
            raise
        finally:
            self._planning = False
        waiting = len(self._book.waiting)
        self._book.plan(anyio.current_time())
        if len(self._book.waiting) < waiting:
            self._notify()

    async def _look(self) -> None:
        """See which slots are at work, unless that has just been done."""
        now = anyio.current_time()
        if self._book.crowded and now < self._looked + LOOK_SECONDS / 2:
            return
        self._looked = now
        try:
            with anyio.move_on_after(CALL_SECONDS):
                self._book.see(read_slots(await self._link.call("/slots")))
        except EngineError:
            self._book.forget()

    # --- copies --------------------------------------------------------------------------------

    async def _carry_out(self, placing: Placing) -> None:
        """Make the trunk and copy it; then everybody may begin. Ends the placing."""
        then: Then = "wait"
        try:
            with anyio.CancelScope() as patience:
                await self._copy(placing, patience)
            # Too long: the slot is somebody else's by now, so that no slot is better than this one.
            then = "anywhere" if patience.cancelled_caught else "here"
        finally:
            self._book.done(placing, then)
            self._notify()

    async def _copy(self, placing: Placing, patience: anyio.CancelScope) -> None:
        """Fill the slots of a placing, as far as the server lets us."""
        trunk = placing.trunk
        if trunk is None:
            return
        try:
            if placing.cold and placing.source is not None:
                await self._read(placing.source, trunk)
            if placing.source is not None:
                patience.deadline = anyio.current_time() + CALL_SECONDS
                await self._save(placing.source, trunk)
                self._notify()
            while not (trunk.ready or trunk.lost):
                await self._changed.wait()
            if trunk.ready and not trunk.lost:
                patience.deadline = anyio.current_time() + CALL_SECONDS
                await self._restore(placing, trunk)
        except NotThere:
            self._off_until = anyio.current_time() + PAUSE_SECONDS
        except EngineError:
            self._book.forget()  # what ails the server, the streams will be told

    async def _read(self, slot: Slot, trunk: Trunk) -> None:
        """Let the server read a trunk."""
        began = anyio.current_time()
        reply = await self._link.call("/completion", {
            "model": self._model, "prompt": trunk.text, "n_predict": 0, "cache_prompt": True,
            "id_slot": slot.number})
        fresh = len(trunk.text) - common(slot.text, trunk.text)
        self._rates.read(fresh, anyio.current_time() - began)
        trunk.tokens = _number(reply, "tokens_evaluated")
        if slot.holder is not None:
            slot.holder.read = _number(reply.get("timings"), "prompt_n")

    async def _save(self, slot: Slot, trunk: Trunk) -> None:
        """Let the server save a trunk. It is lost if the slot holds less than it should."""
        began = anyio.current_time()
        tokens = await self._act(slot, "save", trunk, "n_saved")
        self._rates.saved(len(trunk.text), anyio.current_time() - began)
        if tokens == 0 or tokens < trunk.tokens:
            self._book.forget()
        self._book.ready(trunk, tokens)

    async def _restore(self, placing: Placing, trunk: Trunk) -> None:
        """Copy a trunk into the slots of those that need it, all at once."""
        async def copy(claim: Claim) -> None:
            assert claim.slot is not None
            try:
                tokens = await self._act(claim.slot, "restore", trunk, "n_restored")
            except EngineError:
                return  # no room for it in the server's memory: this one reads its prompt
            if tokens == trunk.tokens:
                self._book.filled(claim, trunk)

        began = anyio.current_time()
        wanted = [claim for claim in placing.copies if not claim.gone]
        async with anyio.create_task_group() as group:
            for claim in wanted:
                group.start_soon(copy, claim)
        self._rates.restored(len(trunk.text) * len(wanted), anyio.current_time() - began)

    async def _act(self, slot: Slot, action: str, trunk: Trunk, count: str) -> int:
        reply = await self._link.call(
            f"/slots/{slot.number}?action={action}", {"model": self._model, "filename": trunk.file})
        return _number(reply, count)

    def _judge(self, stay: Stay) -> None:
        """Learn from a stream how long reading takes, and whether the server uses what was copied
        for it. If it never does, leave it alone."""
        self._rates.read(*stay.reading)
        used = stay.used_copy
        if used is None:
            return
        self._misses = 0 if used else self._misses + 1
        if self._misses >= MOST_MISSES:
            self._misses = 0
            self._off_until = anyio.current_time() + PAUSE_SECONDS


class Stay:
    """A stream in its slot; without one (``claim`` None) it is the server's to choose."""

    def __init__(self, claim: Claim | None = None) -> None:
        self._claim = claim
        self._texts: list[str] = []
        self._last: Chunk | None = None
        self.began = 0.0
        self._first = 0.0

    @property
    def fields(self) -> dict[str, object]:
        """What the request says of it."""
        slot = self._claim.slot if self._claim is not None else None
        return {} if slot is None else {SLOT: slot.number}

    def saw(self, chunk: Chunk) -> Chunk:
        """The stream has come so far. A trunk that was read for it beforehand was not cached."""
        if self._last is None:
            self._first = anyio.current_time()
        self._texts.append(chunk.text)
        self._last = chunk
        read = self._claim.read if self._claim is not None else 0
        if chunk.usage is None or not read:
            return chunk
        cached = max(0, chunk.usage.cached - read)
        return replace(chunk, usage=replace(chunk.usage, cached=cached))

    def left(self) -> tuple[str, tuple[int, int] | None]:
        """What the slot holds now, and of how many tokens at least and at most; empty where a
        stream that was left has perhaps not read its prompt."""
        if self._claim is None or self._last is None:
            return "", None
        usage = self._last.usage
        text = "".join((self._claim.text, *self._texts))
        return text, (usage.prompt, usage.prompt + usage.generated + OF_STOP) if usage else None

    @property
    def reading(self) -> tuple[int, float]:
        """Characters of the prompt that were not cached, and the seconds to the first chunk."""
        usage = self._last.usage if self._last is not None else None
        if self._claim is None or usage is None or usage.estimated or not usage.prompt:
            return 0, 0.0
        fresh = len(self._claim.text) * (usage.prompt - usage.cached) // usage.prompt
        return fresh if fresh >= LEAST else 0, self._first - self.began

    @property
    def used_copy(self) -> bool | None:
        """Did the server find at least half of what was copied for it? None: nobody can tell."""
        claim = self._claim
        usage = self._last.usage if self._last is not None else None
        if claim is None or not claim.copied or usage is None or usage.estimated:
            return None
        return 2 * usage.cached * len(claim.text) >= usage.prompt * claim.expected


class Rates:
    """How long reading and copying take on this server, as measured on the way."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._read: float | None = None
        self._save: float | None = None
        self._restore: float | None = None
        self._refused = 0

    def read(self, characters: int, seconds: float) -> None:
        """So much was read, in such a time."""
        self._read = _mean(self._read, characters, seconds)

    def saved(self, characters: int, seconds: float) -> None:
        """So much was saved."""
        self._save = _mean(self._save, characters, seconds)

    def restored(self, characters: int, seconds: float) -> None:
        """So much was restored, over all slots."""
        self._restore = _mean(self._restore, characters, seconds)

    def pays(self, characters: int, copies: int) -> bool:
        """Is copying quicker than reading? What was never measured is tried, and what did not pay
        is tried again after a while."""
        if characters < LEAST:
            return False
        if self._read is None or self._save is None or self._restore is None:
            return True
        if self._save + copies * self._restore < copies * self._read:
            return True
        self._refused += 1
        if self._refused == MOST_REFUSED:
            self._forget()
        return False


def _mean(old: float | None, characters: int, seconds: float) -> float | None:
    """Seconds a character, the latest ones counting most."""
    if characters <= 0:
        return old
    new = seconds / characters
    return new if old is None else 0.7 * old + 0.3 * new


def _number(reply: Any, name: str) -> int:
    value = reply.get(name) if isinstance(reply, Mapping) else None
    return value if type(value) is int else 0

