"""Periodic resets: a thread that outgrows its window writes what it knows and starts clean.

    prompt | thoughts ... | "write down what you know" | state      the window is full
    prompt | "what you know" state | thoughts go on ...             after the reset

Thoughts may be dropped for their state; an answer that is being written may not. With ``keep``
what was written before a reset stays part of the text, and its last lines stay in sight.

It stays the same thread, so budgets, causal clock and place in the tree go on. What the reset
removed is kept in the trace, marked as a reset: it was not wasted, the state came out of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from plait.context.window import Window
from plait.core import CHARS, Chunk, Sampling
from plait.core.reading import END_THINK as CLOSE
from plait.core.reading import THINK as OPEN
from plait.interfaces import Thread
from plait.prompts import Prompts

MOST_RESETS = 16
"""A model that never comes to an end is stopped after so many."""


@dataclass(frozen=True, slots=True)
class Notes:
    """What is said at a reset: ``ask`` asks for the state, ``resume`` stands behind it."""

    ask: str
    resume: str

    @classmethod
    def of(cls, prompts: Prompts) -> Notes:
        """As the set ``prompts`` says it."""
        return cls(f"\n\n{prompts['state'].fill({})}\n", f"\n\n{prompts['resume'].fill({})}\n\n")


async def write_on(
    thread: Thread, window: Window, notes: Notes, *, keep: bool = False,
    sampling: Sampling | None = None, on_chunk: Callable[[Chunk], None] | None = None,
    state: Callable[[], str] | None = None,
) -> str:
    """Let the model write to its end within ``window``; what it wrote since the last reset, or
    with ``keep`` all of it, states excepted.

    ``on_chunk`` gets the chunks as they come, states excepted. ``state`` may give the state itself,
    with what is to be done behind it, so that the model is not asked for it; "" leaves it to the
    model. Where a reset came in the middle of thoughts, the text begins with an opening tag of
    thoughts again. ``thread.finish`` says how it ended; ``length`` also means that it was given up
    after `MOST_RESETS`.
    Raises `EngineError` if the engine fails.
    """
    start = since = len(thread.text)
    thinking = False
    kept = ""
    for resets in range(MOST_RESETS + 1):
        limit = window.left(thread.held, thread.count(notes.ask))
        full = thread.held + limit
        async with thread.write(limit=limit, sampling=sampling) as stream:
            async for chunk in stream:
                if on_chunk is not None:
                    on_chunk(chunk)
        written = thread.text[since:]
        kept += written if keep else ""
        if not (thread.finish == "length" and thread.held >= full) and thread.finish != "window":
            break
        if resets == MOST_RESETS:
            thread.note(f"given up after {MOST_RESETS} resets of its context", warning=True)
            break
        thinking = not keep and (thinking or OPEN in written) and CLOSE not in written
        tail = kept[-window.state * CHARS :] if keep else ""
        known = state() if state is not None else ""
        if known:
            thread.rewrite(start, known, reset=True)
            thread.note("went on in a clean context with what is known so far")
        elif not await _start_clean(thread, window, notes, start, thinking, tail):
            break
        since = len(thread.text)
    if keep:
        return kept
    return (OPEN if thinking and since > start else "") + thread.text[since:]


async def _start_clean(
    thread: Thread, window: Window, notes: Notes, start: int, thinking: bool, tail: str
) -> bool:
    """Have the state written, and put it, with ``tail`` behind it, in the place of everything
    since ``start``. False if the budget or the engine's window had no room for it."""
    thread.append(notes.ask)
    at = len(thread.text)
    async with thread.write(limit=window.state) as stream:
        async for _ in stream:
            pass
    state = thread.text[at:].replace(OPEN, "").replace(CLOSE, "").strip()
    if not state and thread.finish in ("budget", "window"):
        return False
    opened = OPEN + "\n" if thinking else ""
    thread.rewrite(start, f"{opened}{state}{notes.resume}{tail}", reset=True)
    thread.note("wrote down what it knows and went on in a clean context")
    return True
