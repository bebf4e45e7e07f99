"""Chat templates and tokenizers of servers: messages to text, text to ids and back."""

from __future__ import annotations

from collections.abc import Sequence

from plait.core import Message, Prompt
from plait.engines.openai.connect import Link
from plait.engines.openai.errors import NotThere
from plait.engines.openai.wire import messages_json
from plait.errors import EngineError, EngineRefused


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
