"""How long a decode step takes against how many threads are in it."""

from __future__ import annotations

import time
from collections.abc import Sequence as Row
from statistics import median

from plait.core import Sampling
from plait.engines.nano.batch import Batch, Sequence
from plait.engines.nano.tokens import Vocabulary
from plait.engines.nano.weights import Weights

_SHARED, _OWN = 96, 24
_SECONDS = 0.12
"""Time for one width."""
_STEPS = range(5, 40)


def measure_steps(
    weights: Weights, vocabulary: Vocabulary, widths: Row[int],
) -> dict[int, float]:
    """Seconds per decode step for each number of threads in ``widths``.

    The threads share 96 tokens of prompt and have some 30 of their own, as siblings of one fork.
    Each value is the median of 5 to 40 steps.
    """
    return {width: _measure(weights, vocabulary, width) for width in widths}


def _measure(weights: Weights, vocabulary: Vocabulary, width: int) -> float:
    window = weights.shape.window
    shared, own = min(_SHARED, window // 4), min(_OWN, window // 8)
    room = shared + own + _STEPS.stop + 4
    batch = Batch(weights, vocabulary, width * (room // 16 + 2), chunk=width * room)
    sampling = Sampling(max_tokens=_STEPS.stop + 2, ignore_eos=True)
    size = weights.shape.vocab
    for number in range(width):
        prefix = [k % size for k in range(shared)]
        batch.add(Sequence([*prefix, *((number + 7 * k) % size for k in range(own))], sampling))
    while batch.waiting or not all(s.writes for s in batch.running.values()):
        batch.step()
    times: list[float] = []
    end = time.perf_counter() + _SECONDS
    while len(times) < _STEPS.start or (len(times) < _STEPS.stop - 1 and time.perf_counter() < end):
        start = time.perf_counter()
        batch.step()
        if len(batch.running) < width:  # the window is full
            break
        times.append(time.perf_counter() - start)
    return median(times)
