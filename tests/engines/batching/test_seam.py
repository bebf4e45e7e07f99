"""A batch over any arithmetic: what a `Forward` is asked, and what becomes of its errors."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence

import pytest

from plait.core import Chunk, Prompt, Sampling
from plait.engines.batching import Batch, BatchEngine, Block, Taken, Vocabulary
from plait.engines.batching import Sequence as Stepped
from plait.errors import EngineError, EngineOverloaded, EngineRefused
from tests.engines.nano.tiny import make_tokenizer

SIZE = 280


class Counting:
    """Writes the successor of the token before it. ``broken``: what its next step raises."""

    window = 50
    groups = 0

    def __init__(self) -> None:
        self.broken: Exception | None = None
        self.computed: list[int] = []
        """Tokens of each step."""

    def copy(self, source: Block, target: Block, tokens: int) -> None: ...

    def arrange(self, running: Collection[Stepped]) -> None: ...

    def leave(self, sequence: Stepped) -> None: ...

    def grow(self, sequence: Stepped) -> None: ...

    def promote(self, sequence: Stepped) -> None: ...

    def check(self, running: Collection[Stepped]) -> None: ...

    def run(
        self, running: Collection[Stepped], reading: list[tuple[Stepped, int]]
    ) -> list[Taken]:
        if self.broken is not None:
            error, self.broken = self.broken, None
            raise error
        writers = [s for s in running if s.writes]
        done = [s for s, count in reading if s.table.written + count == len(s.ids)]
        self.computed.append(len(writers) + sum(count for _, count in reading))
        return [(s, s.ids[-1] + 1, 0.0) for s in [*writers, *done]]


class CountingEngine(BatchEngine):
    def __init__(self, forward: Counting) -> None:
        vocabulary = Vocabulary(make_tokenizer(), SIZE, where="here", bos=0, eos={1})
        super().__init__(vocabulary, lambda: Batch(forward, vocabulary, 64, 4, 8), "counting",
                         checked=True)

    def read_prompt(self, prompt: Prompt) -> Sequence[int]:
        return prompt.ids or self.encode(prompt.text, opening=True)


@pytest.fixture
def forward() -> Counting:
    return Counting()


@pytest.fixture
def engine(forward: Counting) -> Iterator[CountingEngine]:
    engine = CountingEngine(forward)
    yield engine
    engine._worker.stop()


async def read(engine: CountingEngine, first: int, count: int = 5) -> list[Chunk]:
    prompt = Prompt(ids=tuple(range(first, first + 10)))
    async with engine.stream(prompt, Sampling(max_tokens=count, ignore_eos=True)) as stream:
        return [chunk async for chunk in stream]


@pytest.mark.anyio
async def test_streams_advance_together_and_read_what_is_new(
    engine: CountingEngine, forward: Counting
) -> None:
    found = await asyncio.gather(*(read(engine, first) for first in (10, 100, 10)))
    written = [[i for c in chunks for i in c.ids or ()] for chunks in found]
    assert written == [list(range(20, 25)), list(range(110, 115)), list(range(20, 25))]
    cached = [chunks[-1].usage.cached for chunks in found if chunks[-1].usage]
    assert cached == [0, 0, 9]
    assert sum(forward.computed) == 10 + 10 + 1 + 3 * 4
    assert len(forward.computed) < 12


@pytest.mark.anyio
async def test_an_error_of_the_engine_reaches_the_streams_as_it_is(
    engine: CountingEngine, forward: Counting
) -> None:
    forward.broken = EngineOverloaded("out of memory", hint="Give it less.")
    with pytest.raises(EngineOverloaded, match="out of memory") as caught:
        await read(engine, 10)
    assert caught.value.retryable
    forward.broken = ZeroDivisionError("no")
    with pytest.raises(EngineError, match="a step of the engine failed: ZeroDivisionError"):
        await read(engine, 10)
    assert (await read(engine, 10))[-1].finish == "length"


@pytest.mark.anyio
async def test_prompts_are_held_to_the_vocabulary_and_the_window(engine: CountingEngine) -> None:
    with pytest.raises(EngineRefused, match=r"outside 0 \.\. 279"):
        await read(engine, 275)
    with pytest.raises(EngineRefused, match="the window is 50 tokens and the cache holds 256"):
        engine.stream(Prompt(ids=(5,) * 50), Sampling())
