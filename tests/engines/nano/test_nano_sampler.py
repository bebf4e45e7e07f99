"""From logits to tokens."""

from __future__ import annotations

import numpy as np
import pytest

from plait.core import Sampling
from plait.engines.batching import Draw
from plait.engines.nano.sampler import choose, log_probability

LOGITS = np.log(np.array([[0.5, 0.25, 0.15, 0.1]], np.float32))


def shares(sampling: Sampling, count: int = 2000) -> list[float]:
    """How often each of the four tokens is drawn."""
    draw = Draw.of(sampling)
    drawn = [choose(LOGITS, [draw])[0] for _ in range(count)]
    return [drawn.count(k) / count for k in range(4)]


def test_without_temperature_the_likeliest_token_is_taken() -> None:
    assert choose(LOGITS, [Draw.of(Sampling())]) == [0]
    assert choose(LOGITS, [Draw.of(Sampling(temperature=5, top_k=1, seed=1))]) == [0]
    assert choose(LOGITS, [Draw.of(Sampling(temperature=1e-320, seed=1))]) == [0]


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    found = shares(Sampling(temperature=1, seed=3))
    assert found == pytest.approx([0.5, 0.25, 0.15, 0.1], abs=0.04)


@pytest.mark.parametrize(("settings", "kept"), [
    ({"top_k": 2}, {0, 1}), ({"top_p": 0.7}, {0, 1}), ({"top_p": 0.5}, {0}),
    ({"min_p": 0.29}, {0, 1, 2}), ({"top_k": 3, "top_p": 0.8}, {0, 1}), ({"top_p": 1e-9}, {0}),
])
def test_filters_keep_the_likeliest_tokens(settings: dict[str, float], kept: set[int]) -> None:
    found = shares(Sampling(temperature=1, seed=5, **settings), 300)  # type: ignore[arg-type]
    assert {k for k, share in enumerate(found) if share} == kept


def test_what_is_drawn_does_not_depend_on_the_company() -> None:
    def row(seed: int) -> Draw:
        return Draw.of(Sampling(temperature=1, seed=seed))

    alone, company, mixed = row(9), [row(k) for k in range(3)], row(9)
    logits = np.repeat(LOGITS, 5, axis=0)
    greedy = Draw.of(Sampling())
    for _ in range(50):
        expected = choose(LOGITS, [alone])[0]
        assert choose(logits, [company[0], greedy, mixed, *company[1:]])[2] == expected


def test_log_probabilities_are_those_of_the_model() -> None:
    found = log_probability(np.repeat(LOGITS, 2, axis=0), [1, 3])
    assert found == pytest.approx([np.log(0.25), np.log(0.1)], abs=1e-6)
