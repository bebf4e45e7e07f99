"""How a question is put to the model behind a server, and how its answer is read.

    sequential, or any method of ours      the messages, through the server's own chat endpoint
    a protocol (ThreadWeaver, ...)         text in the model's chat template, rendered by the
                                           server, since a protocol splices text
    apr                                    a countdown state, which is all that APR models know
    a model without a chat template        the bare question and a line break
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from plait.core import Message, Prompt, Request
from plait.core.reading import after_thinking
from plait.engines.openai.connect import Link
from plait.engines.openai.errors import NotThere
from plait.engines.openai.probe import Server
from plait.engines.openai.wire import messages_json
from plait.errors import EngineError, EngineRefused, UsageError
from plait.interfaces import Opening
from plait.puzzles.countdown_text import CONDITION, parse, read_answer, render

APR_START = "Moving to Node"
GOAL = "Goal Reached"

Render = Callable[[Sequence[Message]], Awaitable[Prompt]]


async def make_opening(
    request: Request, protocol: str | None, server: Server, render_chat: Render
) -> Opening:
    """The opening of ``request``. Raises `UsageError` for what an APR model cannot be asked."""
    if protocol == "apr":
        return Opening(Prompt(apr_prompt(request.question)), read_apr_answer)
    messages = request.messages or (Message("user", request.prompt),)
    if server.has_template and protocol is None:
        return Opening(Prompt(messages=messages), after_thinking)
    if server.has_template:
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
    if (answer := read_answer(text)) is not None:
        return answer
    path = text.rpartition(GOAL)[0].rpartition(GOAL)[2].strip()
    return path or None


async def render_llamacpp(link: Link, messages: Sequence[Message]) -> Prompt:
    """``messages`` in the model's template, by llama.cpp. Raises `EngineError`."""
    reply = await link.call("/apply-template", {"messages": messages_json(messages)})
    text = reply.get("prompt") if isinstance(reply, dict) else None
    if not isinstance(text, str):
        raise EngineRefused(f"{link.where} does not apply chat templates")
    return Prompt(text)


async def render_tokens(link: Link, model: str, messages: Sequence[Message]) -> Prompt:
    """``messages`` in the model's template as ids and as text, by vLLM or SGLang.

    A server puts a begin-of-text token in front of every text prompt if the model has one; where
    the template begins with it as well, the text goes without. Raises `EngineError`.
    """
    ids = await tokenize(link, {
        "model": model, "messages": messages_json(messages), "add_generation_prompt": True})
    if not ids:
        raise EngineRefused(f"{link.where} does not apply chat templates")
    text = await detokenize(link, model, ids)
    again = await tokenize(link, {"model": model, "prompt": text})
    if again == [ids[0], *ids]:
        text = text.removeprefix(await detokenize(link, model, ids[:1]))
    return Prompt(text, tuple(ids))


async def tokenize(link: Link, body: dict[str, object]) -> list[int]:
    """The token ids that ``/tokenize`` gives. Raises `EngineError`, `NotThere` if it is something
    else that answers there."""
    reply = await link.call("/tokenize", body)
    tokens = reply.get("tokens") if isinstance(reply, dict) else None
    if not isinstance(tokens, list):
        raise NotThere(f"{link.where} does not say what the tokens are")
    return tokens


async def detokenize(link: Link, model: str, ids: Sequence[int]) -> str:
    """The text of ``ids``, special tokens included. Raises `EngineError`."""
    reply = await link.call(
        "/detokenize", {"model": model, "tokens": list(ids), "skip_special_tokens": False})
    text = (reply.get("prompt") or reply.get("text")) if isinstance(reply, dict) else None
    if not isinstance(text, str):
        raise EngineError(f"{link.where} does not say what its tokens mean")
    return text
