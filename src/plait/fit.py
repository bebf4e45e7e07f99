"""Does what is served fit the wire format that is to be driven? What does not is a warning.

A model was trained with a format's tags as single tokens, and on contexts up to a length. A server
may serve another tokenizer, hide special tokens from the text (then no tag is ever seen), or stop
earlier. None of this is an error: the run goes on, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from plait.core import Sampling
from plait.errors import EngineError, UsageError
from plait.interfaces import Engine, Served
from plait.protocols import Facts

_SHOWN = 4
"""Tags that a warning names."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What is known. ``tags``: tokens of each tag (None: the server does not tell)."""

    tags: dict[str, int | None]
    window: int | None
    trained: int | None
    warnings: tuple[str, ...]


async def examine(engine: Engine, facts: Facts, sampling: Sampling | None = None) -> Fit:
    """How the model behind ``engine`` fits the format of ``facts``. Never raises for the engine.

    Costs one short request a tag, once an engine. ``sampling``: of the request, which may hide
    special tokens by itself.
    """
    counts = await _counts(engine, facts.tokens)
    capabilities = engine.capabilities  # known only now, if this was the first look at a server
    warnings: list[str] = []
    if facts.name not in capabilities.protocols:  # an engine knows its own model best
        warnings += _cut_tags(facts, counts)
        warnings += _short(facts, capabilities.window)
    warnings += _hidden(facts, capabilities.shows_special, sampling or Sampling())
    return Fit(counts, capabilities.window, facts.trained_context, tuple(warnings))


async def _counts(engine: Engine, tags: tuple[str, ...]) -> dict[str, int | None]:
    local = [engine.encode(tag) for tag in tags]
    if all(ids is not None for ids in local):
        return {tag: len(ids or ()) for tag, ids in zip(tags, local, strict=True)}
    if not isinstance(engine, Served):
        return dict.fromkeys(tags)
    try:
        return dict(zip(tags, await engine.token_counts(tags), strict=True))
    except (EngineError, UsageError):  # the run meets the same, and says it
        return dict.fromkeys(tags)


def _cut_tags(facts: Facts, counts: dict[str, int | None]) -> list[str]:
    cut = [f"{tag} is {count}" for tag, count in counts.items() if count is not None and count != 1]
    if not cut:
        return []
    more = f" and {len(cut) - _SHOWN} more" if len(cut) > _SHOWN else ""
    return [f"models of {facts.title} have its tags as single tokens, the served model does not"
            f" ({', '.join(cut[:_SHOWN])}{more} tokens): it may be another model, or its tokenizer"
            " lacks them"]


def _short(facts: Facts, window: int | None) -> list[str]:
    longest = facts.trained_context
    if window is None or longest is None or window >= longest:
        return []
    return [f"models of {facts.title} were trained on up to {longest} tokens, the engine's window"
            f" is {window}: answers may be cut off"]


def _hidden(facts: Facts, shown: bool, sampling: Sampling) -> list[str]:
    if not facts.tokens:
        return []
    if sampling.extra.get("skip_special_tokens"):
        return [f"the request hides special tokens (`skip_special_tokens`), and the tags of"
                f" {facts.title} may be such: what is hidden starts no thread"]
    if not shown:
        return [f"this kind of server is not known to show special tokens, and the tags of"
                f" {facts.title} may be such: what it hides starts no thread"]
    return []
