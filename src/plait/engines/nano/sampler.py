"""From logits to tokens.

See `plait.engines.batching.draw` for where the random numbers come from. The order of the filters
is that of vLLM: temperature, top-k, top-p, min-p.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plait.engines.batching import Draw
from plait.engines.nano.weights import Floats


def choose(logits: Floats, draws: Sequence[Draw]) -> list[int]:
    """One token for each row of ``logits`` [rows, vocab]."""
    tokens: list[int] = logits.argmax(axis=1).tolist()
    rows = [k for k, draw in enumerate(draws) if draw.random is not None]
    if rows:
        drawn = _draw(logits[rows], [draws[k] for k in rows])
        for row, token in zip(rows, drawn, strict=True):
            tokens[row] = token
    return tokens


def log_probability(logits: Floats, tokens: Sequence[int]) -> list[float]:
    """The log-probability of each row's token at temperature 1."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    found = wide[np.arange(len(tokens)), np.array(tokens)] - np.log(np.exp(wide).sum(axis=1))
    values: list[float] = found.tolist()
    return values


def _draw(logits: Floats, draws: Sequence[Draw]) -> list[int]:
    def column(name: str) -> NDArray[np.float64]:
        return np.array([getattr(d.sampling, name) for d in draws], np.float64)[:, None]

    scores = logits.astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    with np.errstate(over="ignore"):  # a temperature near 0 makes -inf of all but the likeliest
        scores /= column("temperature")
    weights = np.exp(scores)
    if any(d.sampling.top_k or d.sampling.top_p < 1 for d in draws):
        weights[weights < _threshold(weights, column("top_k"), column("top_p"))] = 0
    weights[weights < column("min_p")] = 0  # the likeliest token has weight 1
    heights = np.cumsum(weights, axis=1)
    points = np.array([d.random.random() for d in draws if d.random is not None])
    found = (heights <= points[:, None] * heights[:, -1:]).sum(axis=1)
    # a point that rounds up to the whole height belongs to the last token that can be drawn
    final = weights.shape[1] - 1 - (weights[:, ::-1] > 0).argmax(axis=1)
    tokens: list[int] = np.minimum(found, final).tolist()
    return tokens


def _threshold(
    weights: NDArray[np.float64], top_k: NDArray[np.float64], top_p: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The smallest weight that is kept in each row (ties with it are kept as well)."""
    falling = -np.sort(-weights, axis=1)
    places = np.arange(weights.shape[1])
    falling[(top_k > 0) & (places >= top_k)] = 0
    before = np.cumsum(falling, axis=1) - falling
    inside = (before < top_p * falling.sum(axis=1, keepdims=True)) & (falling > 0)
    kept = np.maximum(inside.sum(axis=1) - 1, 0)
    return np.take_along_axis(falling, kept[:, None], axis=1)
