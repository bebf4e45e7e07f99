"""What only a server behind HTTP can be asked: its version, and fields of its own."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from plait.core import Finding
from plait.engines.openai import OpenAIEngine
from plait.engines.openai.probe import saves_slots
from plait.engines.openai.sse import Decoder
from plait.errors import EngineError
from plait.survey.asking import TEXT
from plait.survey.checks import Look


async def version(engine: OpenAIEngine) -> str:
    """What the server says of its version; empty where it does not."""
    for path, name in (("/version", "version"), ("/props", "build_info"),
                       ("/server_info", "version")):
        if isinstance(found := (await _object(engine, path)).get(name), str):
            return found
    return ""


async def continuous_usage(look: Look, engine: OpenAIEngine) -> Finding:
    """Does a stream say with each chunk how many tokens it has come to?"""
    options = {"include_usage": True, "continuous_usage_stats": True}
    body = {"model": engine.model, "stream": True, "max_tokens": 4, "stream_options": options}
    path, asked = ("/v1/completions", {"prompt": TEXT}) if look.asker.plain else (
        "/v1/chat/completions", {"messages": [{"role": "user", "content": TEXT}]})
    counts = 0
    decoder, at_end = Decoder(), False
    async with await engine.link.open(path, {**body, **asked}) as reply:
        while not at_end:
            data = await engine.link.read(reply)
            at_end = not data
            for event in decoder.feed(data) if data else decoder.close():
                counts += _counts(event.data)
    look.asker.generated += 4
    if counts > 1:
        return Finding(True, f"{counts} chunks said how many tokens there are")
    return Finding(False, "at most the last chunk says how many tokens there are")


def _counts(data: str) -> bool:
    """Does an object of a stream count its tokens?"""
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return isinstance(found, Mapping) and isinstance(found.get("usage"), Mapping)


async def slot_files(engine: OpenAIEngine) -> Finding:
    """May slots of llama.cpp be saved and restored, as forks do?"""
    if await saves_slots(engine.link):
        return Finding(True, "slots can be saved to a file and restored")
    return Finding(False, "slots cannot be saved")


async def _object(engine: OpenAIEngine, path: str) -> Mapping[str, object]:
    """The object at ``path``; empty if there is none."""
    try:
        found = await engine.link.call(path)
    except EngineError:
        return {}
    return found if isinstance(found, Mapping) else {}
