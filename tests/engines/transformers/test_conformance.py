"""The conformance cases of engines, on plait-nano run by PyTorch."""

from __future__ import annotations

import pytest

from plait.engines.nano import WEIGHTS
from plait.interfaces import Engine
from plait.registry import make_engine
from tests.conformance.engines.cases import CASES, Case
from tests.engines.transformers.models import MARKS

pytestmark = MARKS


@pytest.fixture(scope="module")
def engine() -> Engine:
    return make_engine(f"hf:{WEIGHTS}:memory=256")


@pytest.mark.anyio
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_plait_nano_by_pytorch(case: Case, engine: Engine) -> None:
    await case(engine)
    await engine.aclose()
