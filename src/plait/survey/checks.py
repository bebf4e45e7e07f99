"""Checks that any engine can be put to: each tries one thing, with few tokens.

A check takes the `Look` so far and gives a `Finding`. What an engine refuses it cannot do: a check
lets `EngineRefused` and `UsageError` pass, and whoever runs it takes them for a "no".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

from plait.core import Finding, Message, Prompt, Sampling
from plait.engines.openai import OpenAIEngine
from plait.errors import EngineRefused
from plait.interfaces import Served
from plait.survey.asking import TEXT, Asker, Reply
from plait.survey.speed import Prefill

SPECIAL = ("<|im_start|>", "<|start_header_id|>", "<start_of_turn>", "<|user|>", "<|assistant|>",
           "[INST]", "<Thread>", "<Parallel>", "<Plan>", "<think>")
"""Special tokens that models may have; those that no wire format is made of come first, since
plait asks llama.cpp for those of its formats by name."""
WORD = "zq17"
"""What no model says unless a schema makes it."""
SCHEMA = {"type": "object", "properties": {"kind": {"enum": [WORD]}}, "required": ["kind"],
          "additionalProperties": False}
CLEAN = r"(?<=[ -~])[!-~]{1,3}"
"""Text that a model may be stopped at: behind half a character servers may read over a stop."""
SOME_IDS = (5, 6, 7, 8)
"""Any model has so many tokens."""
LARGEST_TRIED = 32_768
"""Windows up to this many tokens are tried: should the server take what is too long after all, it
has to read it."""


@dataclass
class Look:
    """What the checks of one engine know of each other. ``greedy``: an answer of temperature 0 to
    the asker's question. ``special``: text and id of a special token of the model, if one is
    found. ``slots``: streams served at once, as far as known. ``frees``: a stream that is left
    frees its slot. ``nonce``: makes prompts new to every cache."""

    asker: Asker
    greedy: Reply
    nonce: str
    slots: int | None = None
    prefill: Prefill | None = None
    special: tuple[str, int] | None = None
    frees: bool | None = None


async def text_prompts(look: Look) -> Finding:
    """Are prompts taken as text, which wire formats need?"""
    if look.asker.plain:
        return Finding(True, "a text is continued")
    return Finding(False, "it takes chats only")


async def chat(look: Look) -> Finding:
    """Are messages taken, in the chat template of the model?"""
    if not look.asker.engine.capabilities.chat:
        return Finding(False, "its model has no chat template")
    await look.asker.ask(Prompt(messages=(Message("user", TEXT),)), Sampling(max_tokens=1))
    return Finding(True, "messages are answered")


async def id_prompts(look: Look) -> Finding:
    """Are prompts taken as token ids?"""
    engine = look.asker.engine
    if not isinstance(engine, Served) and not engine.capabilities.token_ids:
        return Finding(False, "it takes text only")
    ids = (look.greedy.ids or ())[:8] or SOME_IDS
    reply = await look.asker.ask(Prompt(ids=tuple(ids)), Sampling(max_tokens=1))
    if reply.usage.estimated:
        return Finding(None, "taken, but it does not count what it read")
    read = reply.usage.prompt
    if read not in (len(ids), len(ids) + 1):  # a begin-of-text token may come in front
        return Finding(False, f"{len(ids)} ids were read as {read} tokens")
    return Finding(True, f"{len(ids)} ids were read as {read} tokens")


async def output_ids(look: Look) -> Finding:
    """Does the answer come with its token ids?"""
    found = look.greedy
    if found.ids is None:
        return Finding(False, "chunks come without the ids of all their tokens")
    return Finding(True, f"{len(found.ids)} ids for {found.tokens} tokens")


async def logprobs(look: Look) -> Finding:
    """Are log probabilities given?"""
    reply = await look.asker.ask(look.asker.question, Sampling(max_tokens=4, logprobs=True))
    if not reply.logprobs:
        return Finding(False, "asked for, but none came")
    return Finding(True, f"{reply.logprobs} for {reply.tokens} tokens")


async def stop_strings(look: Look) -> Finding:
    """Does an answer end at a string?"""
    text, most = look.greedy.text, look.greedy.tokens
    places = [m for m in re.finditer(CLEAN, text) if text.index(m[0]) > 0]
    if not places:
        return Finding(None, "the model wrote nothing to stop at")
    stop = places[len(places) // 2][0]
    reply = await look.asker.ask(look.asker.question, Sampling(max_tokens=most, stop=(stop,)))
    if reply.finish == "stop" and reply.text.endswith(stop):
        return Finding(True, f"ended at {stop!r}")
    if stop in reply.text:
        return Finding(False, f"went on past {stop!r}")
    return Finding(None, "the same question was answered differently")


async def stop_ids(look: Look) -> Finding:
    """Does an answer end at a token id?"""
    ids = look.greedy.ids or ()
    middle = ids[len(ids) // 2 :]
    if middle:
        stop, extra = middle[0], {}
    elif look.special is not None:
        stop, extra = look.special[1], _forced(look.special[1])
    else:
        stop, extra = SOME_IDS[0], {}
    sampling = Sampling(max_tokens=max(2, len(ids)), stop_ids=(stop,), extra=extra)
    reply = await look.asker.ask(look.asker.question, sampling)
    if reply.finish == "stop":
        return Finding(True, f"ended at token {stop}")
    if not middle and not extra:
        return Finding(None, "taken, but no token of the model is known to stop at")
    if reply.text == look.greedy.text or extra:
        return Finding(False, f"went on past token {stop}")
    return Finding(None, "the same question was answered differently")


async def special_shown(look: Look) -> Finding:
    """Are special tokens in the text?"""
    look.special = await _find_special(look.asker)
    if look.special is None:
        return Finding(None, "no special token of the model is known")
    text, token = look.special
    reply = await look.asker.ask(
        look.asker.question, Sampling(max_tokens=2, extra=_forced(token)))
    if text in reply.text:
        return Finding(True, f"{text} is in the text")
    if not reply.text.strip() or set(reply.ids or ()) == {token}:
        return Finding(False, f"{text} was written but is not in the text")
    return Finding(None, f"it could not be made to write {text}")


async def special_stops(look: Look) -> Finding:
    """Does an answer end at the text of a special token?"""
    if look.special is None:
        return Finding(None, "no special token of the model is known")
    text, token = look.special
    reply = await look.asker.ask(
        look.asker.question, Sampling(max_tokens=3, stop=(text,), extra=_forced(token)))
    if reply.finish == "stop" and reply.stop == text:
        return Finding(True, f"ended at {text}")
    if text in reply.text or not reply.text.strip():
        return Finding(False, f"went on past {text}")
    return Finding(None, f"it could not be made to write {text}")


async def json_schema(look: Look) -> Finding:
    """Is a reply held to a JSON schema?"""
    asker = look.asker
    chats = asker.engine.capabilities.chat
    prompt = Prompt(messages=(Message("user", "Say hello."),)) if chats else asker.question
    reply = await asker.ask(prompt, Sampling(max_tokens=48, schema=SCHEMA))
    try:
        if orjson.loads(reply.text) == {"kind": WORD}:
            return Finding(True, "the reply is of the schema")
    except orjson.JSONDecodeError:
        pass
    if reply.finish == "length" and WORD in reply.text:
        return Finding(True, "the reply is of the schema, as far as it came")
    return Finding(False, "the reply is not of the schema")


async def prefix_cache(look: Look) -> Finding:
    """Is a long prompt read only once?"""
    found = look.prefill
    if found is None:
        return Finding(None, "no long prompt was answered")
    times = f"first token after {_ms(found.warm)} in place of {_ms(found.cold)}"
    if found.cached > found.tokens // 2:
        return Finding(True, f"{found.cached} of {found.tokens} tokens, {times}")
    if found.warm < found.cold / 2:
        return Finding(True, times)
    if found.cold < 2 * look.greedy.first:
        return Finding(None, f"{found.tokens} tokens are read too quickly to see it")
    return Finding(False, f"the second time it takes as long: {times}")


async def cache_report(look: Look) -> Finding:
    """Does it say how many tokens of a prompt it had in its cache?"""
    if look.prefill is not None and look.prefill.cached:
        return Finding(True, f"{look.prefill.cached} tokens were said to be cached")
    if (await prefix_cache(look)).holds:
        return Finding(False, "the cache was used, but nothing is said of it")
    return Finding(None, "nothing was seen to be cached")


async def cache_salt(look: Look) -> Finding:
    """Does a salt keep the caches of users apart?"""
    found = look.prefill
    if found is None or not found.cached:
        return Finding(None, "without a report of the cache it does not show")
    salted = Sampling(max_tokens=1, extra={"cache_salt": look.nonce})
    reply = await look.asker.ask(found.prompt, salted)
    if reply.usage.cached > found.tokens // 2:
        return Finding(False, f"with a salt, {reply.usage.cached} tokens were cached all the same")
    return Finding(True, "with a salt, nothing was cached")


async def window(look: Look) -> Finding:
    """Is the context as long as the engine says?"""
    asker = look.asker
    said = asker.engine.capabilities.window
    if said is None:
        return Finding(None, "it does not say")
    if said > LARGEST_TRIED:
        return Finding(None, f"it says {said:,} tokens; too many to try")
    text = f"{look.nonce} {'one two three four five ' * said}"[: int(1.3 * said * asker.chars)]
    try:
        reply = await asker.ask(asker.put(text), Sampling(max_tokens=1))
    except EngineRefused:
        return Finding(True, f"{said:,} tokens; more are refused")
    if reply.finish == "window":
        return Finding(True, f"{said:,} tokens; more are refused")
    if reply.usage.estimated:
        return Finding(None, f"it says {said:,} tokens, and does not count what it reads")
    read = reply.usage.prompt
    if read > said:
        return Finding(False, f"it says {said:,} tokens, but read {read:,}")
    return Finding(None, f"it says {said:,} tokens; {read:,} were read")


async def _find_special(asker: Asker) -> tuple[str, int] | None:
    """A special token of the model: a text that no tokenizer makes one token of by itself."""
    for text in SPECIAL:
        ids = asker.engine.encode(text)
        if ids is None and isinstance(asker.engine, OpenAIEngine):
            ids = await asker.engine.token_ids(text)
        if ids is None and isinstance(asker.engine, Served):
            return None
        if ids is not None and len(ids) == 1:
            return text, ids[0]
    return None


def _forced(token: int) -> dict[str, object]:
    """Fields that make a model write nothing but ``token``."""
    return {"logit_bias": {str(token): 100}}


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.1f} ms"
