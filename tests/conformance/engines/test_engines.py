"""The cases of `cases`, asked of the embedded engine. Others: tests/engines, tests/live."""

from __future__ import annotations

import pytest

from plait.engines.nano import NanoEngine
from tests.conformance.engines.cases import CASES, Case


@pytest.mark.anyio
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_the_embedded_engine(case: Case) -> None:
    engine = NanoEngine()
    await case(engine)
    await engine.aclose()
