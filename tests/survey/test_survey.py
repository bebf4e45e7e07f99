"""What is found out about servers that can do things, and servers that cannot."""

from __future__ import annotations

import anyio
import pytest

from plait.engines.nano import NanoEngine
from plait.engines.openai import OpenAIEngine
from plait.errors import EngineUnreachable
from plait.evals.steps import Tick
from plait.survey import LABELS, Survey
from plait.survey.speed import at_once
from plait.testing.replies import Body
from plait.testing.slots import Slots
from tests.survey.served import STREAM_SECONDS, WORDS, Model, held, serving, survey, why

pytestmark = pytest.mark.anyio
LLAMACPP_ONLY = {"slot_files"}


def names(profile: object, holds: bool | None) -> set[str]:
    return {name for name, found in held(profile).items() if found is holds}


async def test_a_server_that_can_do_everything() -> None:
    async with serving(Model(), slots=2) as upstream:
        profile = await survey(upstream, speed=True)
    assert held(profile) == dict.fromkeys(set(LABELS) - LLAMACPP_ONLY, True)
    assert (profile.kind, profile.model, profile.version) == ("vllm", "tiny", "0.32.0")
    assert (profile.window, profile.slots) == (4096, 2)
    assert set(profile.step_seconds) == {1, 2}  # more have to wait
    assert profile.step_seconds[1] == pytest.approx(STREAM_SECONDS / len(WORDS), rel=0.5)


async def test_a_server_that_reads_over_all_that_it_is_asked() -> None:
    model = Model(caches=False, salts=False, schemas=False, ids=False, window=None,
                  reading=0.25)
    async with serving(model, slots=2, template=False) as upstream:
        upstream.ignored = {"stop", "stop_token_ids", "logprobs", "return_token_ids", "priority"}
        profile = await survey(upstream, speed=True)
    assert names(profile, False) == {
        "chat", "id_prompts", "output_ids", "logprobs", "stop_strings", "special_stops",
        "stop_ids", "json_schema", "window", "prefix_cache", "priority"}
    assert why(profile, "priority") == "taken, but served in the order of arrival"
    assert why(profile, "id_prompts").endswith("prompt must be a string")
    assert why(profile, "window").startswith("it says 4,096 tokens, but read ")


async def test_a_server_that_takes_chats_only() -> None:
    async with serving(Model(window=None), dialect="generic") as upstream:
        upstream.hidden = {"/v1/completions", "/completion"}
        upstream.refused = {"response_format", "priority", "cache_salt", "stop", "logit_bias"}
        profile = await survey(upstream)
    assert {"text_prompts", "id_prompts", "output_ids", "stop_strings", "stop_ids", "json_schema",
            "continuous_usage", "priority", "cache_salt"} == names(profile, False)
    assert {"window", "special_shown", "special_stops", "cancellation"} == names(profile, None)
    assert why(profile, "cancellation") == "it does not say how many streams are running"
    assert profile.step_seconds == {}


async def test_a_cache_that_nothing_is_said_of_shows_in_the_time() -> None:
    async with serving(Model(reports=False, reading=0.25)) as upstream:
        profile = await survey(upstream)
    assert held(profile)["prefix_cache"] is True
    assert held(profile)["cache_report"] is False
    rate = profile.prefill_tokens_per_second
    assert rate is not None
    assert 300 < rate < 2500 / 0.25
    assert held(profile)["cache_salt"] is None


async def test_a_salt_that_is_read_over() -> None:
    async with serving(Model(salts=False)) as upstream:
        profile = await survey(upstream)
    assert held(profile)["cache_report"] is True
    assert held(profile)["cache_salt"] is False


@pytest.mark.parametrize("shows", [True, False])
@pytest.mark.parametrize("saves", [True, False])
async def test_llamacpp(shows: bool, saves: bool) -> None:
    async with serving(Model(shows=shows), dialect="llamacpp", slots=3) as upstream:
        upstream.slots = Slots(3, path=saves)
        profile = await survey(upstream)
    assert held(profile)["special_shown"] is shows
    assert held(profile)["slot_files"] is saves
    assert held(profile)["cancellation"] is True
    assert profile.slots == 3  # it says so


async def test_special_tokens_that_cannot_be_had() -> None:
    async with serving(Model()) as upstream:
        upstream.ignored = {"logit_bias"}
        profile = await survey(upstream)
    assert why(profile, "special_shown") == "it could not be made to write <|im_start|>"
    assert held(profile)["special_stops"] is None


@pytest.mark.parametrize("dialect", ["llamacpp", "vllm"], ids=["by its load", "by waiting"])
async def test_a_stream_that_runs_on_after_its_client_left(dialect: str) -> None:
    async with serving(Model(hangs=True), dialect=dialect, slots=1, hears=False) as upstream:
        engine = OpenAIEngine(upstream.url, retries=0)
        profile = await Survey(engine, upstream.url, speed=dialect == "vllm").run()
        await engine.aclose()
    assert held(profile)["cancellation"] is False
    if dialect == "vllm":
        assert profile.slots == 1
        assert held(profile)["parallel"] is False


async def test_a_server_that_goes_away_is_an_error() -> None:
    async with serving(Model()) as upstream:
        engine = OpenAIEngine(upstream.url, retries=0)

        def fails(body: Body) -> str:
            upstream.drop_connections()
            return "x"

        async def stop() -> None:
            await upstream.until(lambda calls: calls.finished > 3)
            upstream.script = fails

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stop)
            with pytest.raises(EngineUnreachable):
                await Survey(engine, upstream.url, speed=False).run()
        await engine.aclose()


async def test_the_embedded_engine() -> None:
    engine = NanoEngine()
    told: list[str] = []
    survey = Survey(engine, "nano", speed=False, tell=lambda name, found: told.append(name))
    profile = await survey.run()
    assert profile.kv_tokens == (await engine.load()).kv_tokens
    await engine.aclose()
    assert told == list(profile.findings)
    assert {"chat", "json_schema", "cache_salt"} == names(profile, False)
    assert {"id_prompts", "output_ids", "logprobs", "stop_strings", "stop_ids", "window",
            "prefix_cache", "cache_report", "cancellation"} < names(profile, True)
    assert profile.kv_tokens is not None
    assert 0 < survey.cost.generated < 2100


def test_streams_that_waited_for_others_were_not_served_at_once() -> None:
    early = [Tick(0.0, 1), Tick(1.0, 1)]
    late = [Tick(1.1, 1), Tick(2.0, 1)]
    assert at_once([early, early, late]) == 2
    assert at_once([early, []]) == 1
    assert at_once([[], []]) == 0
