"""How a question is put to a model that was not made for one kind of question, and how its answer
is read.

    sequential, or any method of ours      the messages, which the engine puts in the chat template
    a protocol (ThreadWeaver, ...)         text in the model's chat template, since a protocol
                                           splices text
    apr                                    a countdown state, which is all that APR models know
    a model without a chat template        the bare question and a line break
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from plait.core import Message, Prompt, Request
from plait.core.reading import after_thinking
from plait.errors import EngineRefused, UsageError
from plait.interfaces import Opening
from plait.puzzles.countdown_text import CONDITION, parse, read_answer, render

APR_START = "Moving to Node"
GOAL = "Goal Reached"

Render = Callable[[Sequence[Message]], Awaitable[Prompt]]


async def make_opening(
    request: Request, protocol: str | None, has_template: bool, render_chat: Render
) -> Opening:
    """The opening of ``request``; ``render_chat`` puts messages into the model's template as text.

    Raises `UsageError` for what an APR model cannot be asked.
    """
    if protocol == "apr":
        return Opening(Prompt(apr_prompt(request.question)), read_apr_answer)
    messages = request.messages or (Message("user", request.prompt),)
    if has_template and protocol is None:
        return Opening(Prompt(messages=messages), after_thinking)
    if has_template:
        try:
            return Opening(await render_chat(messages), after_thinking)
        except EngineRefused:
            pass
    bare = "\n\n".join(m.content for m in messages)
    return Opening(Prompt(bare + "\n"), after_thinking)


def apr_prompt(question: str) -> str:
    """The countdown state that ``question`` is, or asks about, behind its condition if it has one
    (``Sub Call Budget: N `` or ``Token Budget: N ``)."""
    found = CONDITION.match(question)
    condition = found[0] if found else ""
    question = question[len(condition) :]
    if question.startswith(APR_START):
        return condition + question
    problem = parse(question)
    if problem is None:
        raise UsageError(
            "models of the protocol `apr` know countdown puzzles only",
            hint='Ask like "make 24 from 3, 5, 7, 9", or choose another protocol.')
    return condition + render(problem, "apr")


def read_apr_answer(text: str) -> str | None:
    """The steps of the solution, "no" if there is none; None if the search did not end."""
    if (answer := read_answer(text, "apr")) is not None:
        return answer
    path = text.rpartition(GOAL)[0].rpartition(GOAL)[2].strip()
    return path or None
