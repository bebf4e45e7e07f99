"""Live experiments on the wire: splits, and runs repeated in the shadow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from plait.server.experiments import Experiments, ExperimentSettings
from plait.testing.upstream import Upstream
from tests.server.help import before, until

pytestmark = pytest.mark.anyio
TEXT = "Six times seven is 42.\nAnswer: 42"


def answer(body: Mapping[str, Any]) -> str:
    return TEXT


async def test_a_split_gives_users_one_policy_each() -> None:
    experiments = Experiments([ExperimentSettings("split", "fixed", share=0.5)])
    async with Upstream(answer) as upstream, before(upstream, experiments=experiments) as served:
        ways: dict[str, set[str]] = {}
        for user in [f"u{n}" for n in range(12)] * 2:
            found = await served.chat(user=user)
            ways.setdefault(user, set()).add(found.header("x-plait-method") or "")
        named = await served.chat("plait/sequential:tiny", user="u0")
        report = (await served.get("/v1/experiments")).json["data"]
    assert all(len(found) == 1 for found in ways.values())
    assert {next(iter(found)) for found in ways.values()} == {"pass-through", "fixed"}
    assert named.header("x-plait-method") == "sequential"
    arms = {(info.experiment, info.arm) for info in served.seen.infos}
    assert arms == {("split", "A"), ("split", "B"), ("", "")}
    assert report[0]["name"] == "split"


async def test_a_shadow_answers_from_a_and_measures_b() -> None:
    experiments = Experiments([ExperimentSettings("dark", "fixed", share=1, mode="shadow")])
    async with Upstream(answer) as upstream, before(upstream, experiments=experiments) as served:
        found = await served.chat()
        assert found.header("x-plait-method") == "pass-through"
        await until(lambda: len(served.seen.endings) == 2)
    (first, _), (again, ending) = served.seen.endings
    assert again.shadow_of == first.run == found.header("x-plait-run")
    assert (again.arm, ending.method, ending.outcome) == ("B", "fixed", "answered")
