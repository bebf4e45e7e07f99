"""The sampler draws what the embedded engine's draws."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from plait.core import Sampling
from plait.engines.batching import Draw
from plait.engines.nano import sampler as plain
from tests.engines.transformers.models import MARKS

pytestmark = MARKS
SETTINGS = [
    Sampling(), Sampling(temperature=1.0, seed=1), Sampling(temperature=0.3, seed=2),
    Sampling(temperature=1.0, top_k=5, seed=3), Sampling(temperature=1.5, top_p=0.7, seed=4),
    Sampling(temperature=1.0, top_k=1500, top_p=0.95, min_p=0.001, seed=5),
    Sampling(temperature=3.0, min_p=0.2, seed=6), Sampling(temperature=9.0, top_p=0.999, seed=7),
]


@pytest.mark.parametrize("vocab", [300, 3000])
def test_both_samplers_draw_the_same(vocab: int) -> None:
    torch = pytest.importorskip("torch")
    sampler = import_module("plait.engines.transformers.sampler")
    ours, theirs = ([Draw.of(s) for s in SETTINGS] for _ in range(2))
    rng = np.random.default_rng(0)
    for _ in range(40):
        logits = rng.normal(0, 2, (len(SETTINGS), vocab)).astype(np.float32)
        found = sampler.choose(torch.from_numpy(logits), ours)
        assert found.tolist() == plain.choose(logits, theirs)
        assert sampler.log_probability(torch.from_numpy(logits), found).tolist() == pytest.approx(
            plain.log_probability(logits, found.tolist()), abs=1e-4)
