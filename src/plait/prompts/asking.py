"""One question to a model by a prompt: filled, sent, noted, and read behind the thoughts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from plait.core import Message, Outcome, Prompt, Request, Sampling, after_thinking
from plait.core.events import Role
from plait.interfaces import ChildSpec, Thread
from plait.prompts.library import Template


def make_spec(
    template: Template, values: Mapping[str, str], *, role: Role, label: str = "",
    before: tuple[Message, ...] = (), after: tuple[str, ...] = (),
    temperature: float | None = None,
) -> ChildSpec:
    """A child with a context of its own: ``before``, then ``template`` as a user's turn.

    ``after``: threads whose results are among the ``values``.
    """
    text = template.fill(values)
    return ChildSpec("spawn", prompt=Prompt(messages=(*before, Message("user", text))), role=role,
                     label=label or template.name, after=after, temperature=temperature)


def split(request: Request) -> tuple[tuple[Message, ...], str]:
    """What was said before the question, and the question. Prompts put the question into a turn
    of their own, so the conversation before it goes in front; what came after it is left out."""
    users = [k for k, m in enumerate(request.messages) if m.role == "user"]
    return request.messages[: users[-1]] if users else (), request.question


def note_prompt(thread: Thread, template: Template) -> None:
    """Write into the trace which prompt the next call is made with."""
    thread.note(f"prompt {template.version}")


async def ask(
    thread: Thread, template: Template, values: Mapping[str, str], *, role: Role,
    label: str = "", before: tuple[Message, ...] = (), sampling: Sampling | None = None,
) -> Outcome:
    """Ask once. The outcome's ``value`` is what follows the thoughts; without any, it is not ok.

    Never raises for what the model or the engine did.
    """
    note_prompt(thread, template)
    outcome = await thread.ask(make_spec(template, values, role=role, label=label, before=before),
                               sampling)
    return behind_thoughts(outcome)


def behind_thoughts(outcome: Outcome) -> Outcome:
    """``outcome`` with the answer that follows its thoughts as the value."""
    value = after_thinking(outcome.text)
    if outcome.ok and value is None:
        return replace(outcome, status="malformed", value=None, reason="it wrote no answer")
    return replace(outcome, value=value)


async def write_answer(thread: Thread) -> Outcome:
    """A child that writes one answer; its value is what follows the thoughts."""
    async with thread.write() as stream:
        async for _ in stream:
            pass
    if thread.finish in ("budget", "window", "length"):
        return Outcome("budget", thread.text, reason=f"it was cut off ({thread.finish})")
    return behind_thoughts(Outcome("done", thread.text))
