"""How many tokens a sequential answer will take, learned from past ones.

The logarithm of the tokens is fitted by least squares to what can be seen in a question before
anything is spent: how many words it has and how many numbers (`plait.policy.Expected`). A small
ridge on the two slopes keeps questions that are all of one form from giving wild ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plait.policy import Expected
from plait.policy.file import features

FEWEST = 8
"""Answers below which nothing is learned."""
RIDGE = 1e-2


def fit_expected(pairs: Sequence[tuple[str, int]]) -> Expected | None:
    """The fit to ``pairs`` of questions and tokens; None for fewer than `FEWEST` of them."""
    known = [(question, tokens) for question, tokens in pairs if tokens > 0]
    if len(known) < FEWEST:
        return None
    x = np.array([features(q) for q, _ in known], dtype=float)
    y = np.log([t for _, t in known])
    middle = x.mean(0)
    centred = x - middle
    slopes = np.linalg.solve(centred.T @ centred + RIDGE * len(known) * np.eye(2),
                             centred.T @ (y - y.mean()))
    constant = float(y.mean() - middle @ slopes)
    return Expected(round(constant, 4), round(float(slopes[0]), 4), round(float(slopes[1]), 4))
