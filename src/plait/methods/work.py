"""What every worker of a directed method does: write, be read, be checked, and if need be write
again, alone.

A worker's context is either the engine's own opening, continued (a model that knows one task, or
one that is driven in a wire format), or a prompt of the set, for models that chat. Its answer is
what follows its thoughts. A part that is empty, cut off or rejected by the verifier is written
again as often as `Work.retries` says; its siblings are not disturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from plait.context import Notes, Window, write_on
from plait.core import Chunk, Outcome, Part, Plan, Request, Sampling, after_thinking
from plait.core.answers import LONGEST, read_value
from plait.interfaces import ChildSpec, Method, Opening, Thread, Verifier
from plait.merge import Confidence
from plait.prompts import Prompts

AGAIN = 0.7
"""The temperature of another try where the first was greedy: greedy, it would say the same."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the workers of one run have in common.

    ``own``: they continue the engine's own opening, and are read as it says. ``inner``: the
    method by which each of them works, None to just write. ``confidence``: keep the
    log-probabilities of what they write. ``window``: the effective window of those that are asked
    in a prompt of ``prompts``; None: the engine's.
    """

    request: Request
    plan: Plan
    opening: Opening
    prompts: Prompts
    verifier: Verifier | None = None
    retries: int = 0
    confidence: bool = False
    own: bool = False
    inner: Method | None = None
    window: int | None = None

    async def write_part(self, thread: Thread, label: str, task: str = "") -> Part:
        """The part that ``thread`` writes: checked, and not ok if every try failed.

        Engine errors pass through; the scheduler tries the whole thread again.
        """
        part = await self._try(thread, label, task, again=False)
        for _ in range(self.retries):
            if part.usable:
                break
            why = part.fault or "a verifier rejected it"
            thread.note(f"written again, since {why}", warning=True)
            thread.rewrite(0)
            part = await self._try(thread, label, task, again=True)
        return part

    async def write_all(
        self, root: Thread, specs: Sequence[tuple[ChildSpec, str]],
        each: Callable[[Part], None] = lambda part: None,
    ) -> list[Part]:
        """One part for each of ``specs``, in their order, written side by side below ``root``.

        With each spec stands its task, empty where that is the request. ``each`` is called with
        a part once it is there. The part of a thread that was lost says why.
        """
        found: dict[str, Part] = {}
        children = []
        for spec, task in specs:

            async def body(thread: Thread, label: str = spec.label, task: str = task) -> Outcome:
                part = found[thread.name] = await self.write_part(thread, label, task)
                each(part)
                return as_outcome(part)

            children.append(root.start(spec, body))
        outcomes = await root.wait(children)
        return [
            found.get(child.name, Part("", label=spec.label, ok=False, thread=child.name,
                                       reason=outcome.reason if outcome else ""))
            for (spec, _), child, outcome in zip(specs, children, outcomes, strict=True)]

    async def _try(self, thread: Thread, label: str, task: str, *, again: bool) -> Part:
        part = replace(await self._write(thread, again), label=label, task=task,
                       thread=thread.name)
        if self.verifier is None or not part.ok:
            return part
        verdict = await self.verifier.verify(thread, self.request, part)
        if verdict.ok is not None or verdict.reason:
            word = {True: "right", False: "wrong", None: "unclear"}[verdict.ok]
            reason = f": {verdict.reason}" if verdict.reason else ""
            thread.note(f"{self.verifier.name} says {word}{reason}")
        return replace(part, verdict=verdict)

    async def _write(self, thread: Thread, again: bool) -> Part:
        if self.inner is not None:
            outcome = await self.inner.run(thread, self.request, self.plan, self.opening)
            if not outcome.ok or outcome.value is None:
                return Part("", ok=False, reason=outcome.reason or f"it ended {outcome.status}")
            return Part(outcome.value, short_value(outcome.value))
        confidence = Confidence()

        def take(chunk: Chunk) -> None:
            confidence.feed(chunk.logprobs or ())

        sampling = self._sampling(again)
        if self.own or self.window is None:
            async with thread.write(sampling=sampling) as stream:
                async for chunk in stream:
                    take(chunk)
            text = thread.text
        else:
            window = Window.within(self.window, thread.room.window)
            text = await write_on(thread, window, Notes.of(self.prompts), sampling=sampling,
                                  on_chunk=take)
        if thread.finish not in ("eos", "stop"):
            return Part("", ok=False, reason=f"it was cut off ({thread.finish})")
        answer = (self.opening.read if self.own else after_thinking)(text)
        if answer is None:
            return Part("", ok=False, reason="it wrote no answer")
        return Part(answer, short_value(answer), confidence=confidence.value)

    def _sampling(self, again: bool) -> Sampling:
        sampling = self.request.sampling
        if self.confidence:
            sampling = replace(sampling, logprobs=True)
        if again and sampling.temperature == 0:
            sampling = replace(sampling, temperature=AGAIN)
        return sampling


async def check_merged(
    verifier: Verifier | None, thread: Thread, request: Request, outcome: Outcome,
    parts: Sequence[Part],
) -> Outcome:
    """``outcome``, checked if it is something that a merge has written. One of the ``parts`` that a
    merge has chosen was checked before."""
    chosen = outcome.thread and any(outcome.thread == part.thread for part in parts)
    if verifier is None or not outcome.ok or outcome.value is None or chosen:
        return outcome
    verdict = await verifier.verify(
        thread, request, Part(outcome.value, label="the answer", thread=outcome.thread))
    if verdict.ok is False:
        return replace(outcome, status="malformed", verified=False, reason=(
            f"verification rejected the merged answer: {verdict.reason or verifier.name}"))
    return replace(outcome, verified=verdict.ok)


def short_value(answer: str) -> str | None:
    """What can be voted on in an answer: its short value, or all of it where it is short."""
    value = read_value(answer)
    return value if value is not None or len(answer) > LONGEST else answer


def as_outcome(part: Part) -> Outcome:
    """A part as the outcome of the thread that wrote it."""
    if not part.ok:
        return Outcome("malformed", part.text, reason=part.reason)
    return Outcome("done", part.text, part.text)
