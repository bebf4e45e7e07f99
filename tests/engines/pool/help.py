"""Replicas that all write the same texts, and a pool of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from plait.engines.pool import PoolEngine
from plait.engines.pool.ring import order
from plait.testing.upstream import Reply, Upstream

STORY = "Once there were three replicas <a> and none of them </a> was ever told of the others."
Body = Mapping[str, Any]


def rest_of(story: str, prompt: str) -> str:
    """What a model that always writes ``story`` after a line break has still to write."""
    begun = prompt.rpartition("\n")[2]
    return story.removeprefix(begun) if story.startswith(begun) else "nonsense"


def writer(story: str = STORY, **how: Any) -> Callable[[Body], Reply]:
    """A script: the rest of ``story``, whatever of it stands in the prompt."""
    return lambda body: Reply(rest_of(story, body["prompt"]), **how)


@asynccontextmanager
async def pooled(
    count: int = 3, script: Any = None, *, retries: int = 0, model: str | None = None,
    **settings: Any,
) -> AsyncIterator[tuple[dict[str, Upstream], PoolEngine]]:
    """``count`` upstreams by their address, with one vocabulary, and a pool of them."""
    settings.setdefault("dialect", "vllm")
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(Upstream(script or writer(), **settings))
                 for _ in range(count)]
        for other in found[1:]:  # replicas of one model have one tokenizer
            other._ids, other._words = found[0]._ids, found[0]._words
        pool = PoolEngine(",".join(u.url for u in found), model, retries=retries)
        stack.push_async_callback(pool.aclose)
        yield {u.url: u for u in found}, pool


def in_order(upstreams: Mapping[str, Upstream], session: str) -> list[Upstream]:
    """The upstreams as calls of ``session`` prefer them."""
    return [upstreams[name] for name in order(session, upstreams)]
