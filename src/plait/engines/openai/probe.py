"""Which server is it, and which model does it serve? Asked once, with a handful of cheap GETs.

What a server does not answer is unknown, never an error; except that there has to be a server at
all, that it has to let us in, and that it has to be clear which model is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plait.engines.openai.connect import Link
from plait.engines.openai.dialects import GENERIC, LLAMACPP, OWNERS, SGLANG, VLLM, Dialect
from plait.engines.openai.errors import NotThere, WrongKey
from plait.errors import EngineError, EngineOverloaded, EngineRefused, EngineUnreachable, UsageError

_MOST_NAMES = 12


@dataclass(frozen=True, slots=True)
class Server:
    """What is known of a server. ``eos``: the text of its end-of-text token, if it shows that."""

    dialect: Dialect
    model: str
    window: int | None = None
    slots: int | None = None
    eos: str | None = None
    has_template: bool = True
    """Its model has a chat template."""
    file: str = ""
    """Where a llama.cpp server has its model from."""
    saves_slots: bool = False
    """It is a llama.cpp server that lets its slots be saved and restored."""


async def find_out(link: Link, model: str | None, dialect: Dialect | None) -> Server:
    """Ask the server at ``link``. A given ``model`` or ``dialect`` is believed.

    Raises `EngineUnreachable` if nobody is there, `EngineRefused` for a wrong key and
    `UsageError` if the model has to be named.
    """
    cards = await _cards(link)
    if dialect is None:
        dialect = await _dialect(link, cards)
    name = model or _only_model(cards, link.where)
    card = next((c for c in cards if c.get("id") == name), {})
    window = _whole(card.get("max_model_len"))
    if dialect is LLAMACPP:
        return await _llamacpp(link, name)
    if dialect.tokenizes:
        return Server(dialect, name, window, has_template=await _has_template(link, name))
    return Server(dialect, name, window)


async def _cards(link: Link) -> list[Mapping[str, object]]:
    """The entries of ``/v1/models``; empty if the server has no such list."""
    try:
        reply = await link.patient_call("/v1/models")
    except (EngineUnreachable, EngineOverloaded, WrongKey):
        raise
    except EngineError:
        return []
    data = reply.get("data") if isinstance(reply, Mapping) else None
    return [c for c in data if isinstance(c, Mapping)] if isinstance(data, list) else []


async def _dialect(link: Link, cards: list[Mapping[str, object]]) -> Dialect:
    for card in cards:
        if found := OWNERS.get(str(card.get("owned_by", "")).lower()):
            return found
    if "total_slots" in await _try(link, "/props"):
        return LLAMACPP
    for path in ("/server_info", "/get_server_info"):
        if "model_path" in await _try(link, path):
            return SGLANG
    if set(await _try(link, "/version")) == {"version"}:
        return VLLM
    return GENERIC


def _only_model(cards: list[Mapping[str, object]], where: str) -> str:
    names = [str(c["id"]) for c in cards if "id" in c]
    if len(names) == 1:
        return names[0]
    if not names:
        raise UsageError(f"{where} does not list its models", hint="Name one with --model.")
    shown = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
    raise UsageError(f"{where} serves {len(names)} models: {shown}",
                     hint="Name one with --model.")


async def _llamacpp(link: Link, name: str) -> Server:
    props = await _try(link, "/props")
    settings = props.get("default_generation_settings")
    window = settings.get("n_ctx") if isinstance(settings, Mapping) else None
    eos = props.get("eos_token")
    return Server(
        LLAMACPP, name, _whole(window), _whole(props.get("total_slots")),
        eos=eos if isinstance(eos, str) and eos else None,
        has_template=bool(props.get("chat_template", True)),
        file=str(props.get("model_path", "")), saves_slots=await _can_copy(link))


async def _can_copy(link: Link) -> bool:
    """`saves_slots`; no where it cannot be told."""
    try:
        return await saves_slots(link)
    except EngineError:
        return False


async def saves_slots(link: Link) -> bool:
    """Does a llama.cpp server show its slots, and save and restore them? Asked by an action that
    there is none of: a server that was started without a path for slots does not even look at it,
    and no slot is touched. Raises `EngineError` if it cannot be told."""
    try:
        await link.call("/slots")
        await link.call("/slots/0?action=none", {})
    except NotThere:
        return False
    except EngineRefused:
        return True
    return False


async def _has_template(link: Link, model: str) -> bool:
    """A server whose model has no chat template refuses to tokenize a message."""
    messages = [{"role": "user", "content": "?"}]
    try:
        await link.call("/tokenize", {"model": model, "messages": messages})
    except NotThere:
        return True  # no such endpoint, which says nothing of templates
    except EngineRefused:
        return False
    except EngineError:
        return True
    return True


async def _try(link: Link, path: str) -> Mapping[str, object]:
    """The object at ``path``; empty if there is none."""
    try:
        reply = await link.call(path)
    except EngineError:
        return {}
    return reply if isinstance(reply, Mapping) else {}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
