"""From logits to tokens, where the logits are: a vocabulary of 150,000 is not for the way home.

Draws what `plait.engines.nano.sampler` draws from the same logits and random numbers; the order of
the filters is temperature, top-k, top-p, min-p.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from plait.engines.batching import Draw

_FIRST = 1024
"""So many of the likeliest tokens hold the nucleus nearly always; sorting all takes far longer."""


def choose(logits: torch.Tensor, draws: Sequence[Draw]) -> torch.Tensor:
    """One token for each row of ``logits`` [rows, vocab]."""
    tokens = logits.argmax(1)
    rows = [k for k, draw in enumerate(draws) if draw.random is not None]
    if rows:
        tokens[rows] = _draw(logits[rows], [draws[k] for k in rows])
    return tokens


def log_probability(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """The log-probability of each row's token at temperature 1."""
    return logits.float().log_softmax(1).gather(1, tokens[:, None])[:, 0]


def _draw(logits: torch.Tensor, draws: Sequence[Draw]) -> torch.Tensor:
    def column(values: Sequence[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64, device=logits.device)[:, None]

    given = [d.sampling for d in draws]
    scores = logits.double()
    scores -= scores.amax(1, keepdim=True)
    scores /= column([s.temperature for s in given])
    weights = scores.exp()
    cut = [k for k, s in enumerate(given) if s.top_k or s.top_p < 1]
    if cut:
        part = weights[cut]
        least = _threshold(part, column([given[k].top_k for k in cut]),
                           column([given[k].top_p for k in cut]))
        weights[cut] = part.masked_fill(part < least, 0)
    weights.masked_fill_(weights < column([s.min_p for s in given]), 0)  # the likeliest has 1
    heights = weights.cumsum(1)
    points = column([d.random.random() for d in draws if d.random is not None])
    found = (heights <= points * heights[:, -1:]).sum(1)
    # a point that rounds up to the whole height belongs to the last token that can be drawn
    final = weights.shape[1] - 1 - (weights.flip(1) > 0).int().argmax(1)
    return torch.minimum(found, final)


def _threshold(weights: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """The smallest weight that is kept in each row (ties with it are kept as well): [rows, 1]."""
    vocab = weights.shape[1]
    found, sure = _look(weights, top_k, top_p, min(_FIRST, vocab))
    return found if sure else _look(weights, top_k, top_p, vocab)[0]


def _look(
    weights: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor, count: int
) -> tuple[torch.Tensor, bool]:
    """The threshold as the ``count`` largest weights of each row tell it, and whether they do."""
    falling = weights.topk(count).values
    beyond = torch.arange(count, device=weights.device) >= top_k
    falling = falling.masked_fill((top_k > 0) & beyond, 0)
    among = torch.where(top_k > 0, falling.sum(1, keepdim=True), weights.sum(1, keepdim=True))
    heights = falling.cumsum(1)
    inside = (heights - falling < top_p * among) & (falling > 0)
    last = (inside.sum(1, keepdim=True) - 1).clamp(min=0)
    by_count = (top_k > 0) & (top_k <= count)
    sure = bool((by_count | (heights[:, -1:] >= top_p * among)).all())
    return falling.gather(1, last), sure
