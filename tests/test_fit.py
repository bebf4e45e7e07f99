"""What is served may not fit the format that is driven: that is a warning, once, and no more."""

import pytest

from plait.core import Request, Sampling
from plait.engines.nano import NanoEngine
from plait.engines.openai import OpenAIEngine
from plait.engines.openai.dialects import TAGS
from plait.fit import examine
from plait.protocols import CATALOGUE, Facts
from plait.solve import solve
from plait.testing import ScriptedEngine
from tests.engines.openai.help import served

pytestmark = pytest.mark.anyio
KINDS = ["vllm", "sglang", "llamacpp"]


def facts(name: str) -> Facts:
    return CATALOGUE[name].facts


@pytest.mark.parametrize("kind", KINDS)
async def test_tags_that_are_single_tokens_fit(kind: str) -> None:
    async with served("x", dialect=kind, window=40960) as (upstream, engine):
        await engine.connect()
        asked = len(upstream.paths)
        fit = await examine(engine, facts("npr"))
        assert (set(fit.tags.values()), fit.warnings) == ({1}, ())
        assert upstream.paths[asked:] == ["/tokenize"] * 8
        assert await examine(engine, facts("npr")) == fit
        assert len(upstream.paths) == asked + 8  # each is asked for once


@pytest.mark.parametrize("kind", KINDS)
async def test_tags_that_the_tokenizer_cuts_are_named(kind: str) -> None:
    async with served("x", dialect=kind, window=40960) as (upstream, engine):
        upstream.spelled.update({"<plan>", "</plan>"})
        await engine.connect()
        fit = await examine(engine, facts("npr"))
    assert (fit.tags["<plan>"], fit.tags["<step>"]) == (6, 1)
    assert fit.warnings == (
        "models of NPR have its tags as single tokens, the served model does not (<plan> is 6,"
        " </plan> is 7 tokens): it may be another model, or its tokenizer lacks them",)


async def test_many_tags_are_summed_up() -> None:
    async with served("x", window=40960) as (upstream, engine):
        upstream.spelled.update(facts("multiverse").tokens)
        (warning,) = (await examine(engine, facts("multiverse"))).warnings
    assert "<Think> is 7, </Think> is 8, <Parallel> is 10, </Parallel> is 11 and 8 more" in warning


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_does_not_tell_is_asked_once(kind: str) -> None:
    async with served("x", dialect=kind, window=40960) as (upstream, engine):
        upstream.hidden.add("/tokenize")
        await engine.connect()
        before = upstream.paths.count("/tokenize")
        for _ in range(2):
            fit = await examine(engine, facts("npr"))
            assert (set(fit.tags.values()), fit.warnings) == ({None}, ())
        assert upstream.paths.count("/tokenize") == before + 1


async def test_a_server_that_may_hide_special_tokens_is_named() -> None:
    async with served("x", dialect="generic") as (upstream, engine):
        await engine.connect()
        (warning,) = (await examine(engine, facts("npr"))).warnings
        assert "not known to show special tokens" in warning
        assert "/tokenize" not in upstream.paths
        assert (await examine(engine, facts("asyncthink"))).warnings == ()


async def test_a_request_that_hides_special_tokens_is_named() -> None:
    hiding = Sampling(extra={"skip_special_tokens": True})
    async with served("x", window=40960) as (_, engine):
        (warning,) = (await examine(engine, facts("npr"), hiding)).warnings
        assert "the request hides special tokens" in warning
        assert (await examine(engine, facts("asyncthink"), hiding)).warnings == ()


@pytest.mark.parametrize(("window", "short"), [(29999, True), (30000, False)])
async def test_a_window_shorter_than_the_training_is_named(window: int, short: bool) -> None:
    async with served("x", window=window) as (_, engine):
        await engine.connect()
        fit = await examine(engine, facts("npr"))
    assert (fit.window, fit.trained) == (window, 30000)
    assert any("trained on up to 30000 tokens" in w for w in fit.warnings) == short


async def test_a_server_that_is_gone_is_no_failure_here() -> None:
    engine = OpenAIEngine("http://127.0.0.1:1", retries=0)
    fit = await examine(engine, facts("npr"))
    await engine.aclose()
    assert set(fit.tags.values()) == {None}


async def test_an_engine_with_a_tokenizer_at_hand_is_asked_nothing() -> None:
    fit = await examine(NanoEngine(), facts("threadweaver"))
    assert (set(fit.tags.values()), fit.warnings) == ({1}, ())
    assert set((await examine(ScriptedEngine(lambda p, s: ""), facts("npr"))).tags.values()) == {
        None}


async def test_a_run_warns_and_goes_on() -> None:
    def model(body: object) -> str:
        return "<takeaway></takeaway>42"

    async with served(model, window=1000) as (upstream, engine):
        upstream.spelled.add("<step>")
        result = await solve(Request("q?"), engine=engine, protocol="npr")
        assert result.answer == "42"
        assert any("<step> is 6 tokens" in w for w in result.warnings)
        assert any("the engine's window is 1000" in w for w in result.warnings)


def test_llama_cpp_is_told_of_every_tag_that_a_model_may_have_as_a_token() -> None:
    tags = {tag for known in CATALOGUE.values() for tag in known.facts.tokens}
    assert tags <= set(TAGS)
