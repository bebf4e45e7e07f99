"""The engine finds out what it talks to, how busy that is, and how to put a question to it."""

import anyio
import pytest

from plait.core import Message, Request
from plait.core.reading import after_thinking
from plait.engines.openai import OpenAIEngine
from plait.engines.openai.dialects import LLAMACPP, SGLANG, VLLM
from plait.engines.openai.load import read_metrics
from plait.engines.opening import read_apr_answer
from plait.errors import EngineRefused, UsageError
from plait.interfaces import Load
from tests.engines.openai.help import chunks_of, served

pytestmark = pytest.mark.anyio
KINDS = ["vllm", "sglang", "llamacpp", "generic"]
QUESTION = Request(messages=(Message("system", "Be brief."), Message("user", "2 + 2?")))


@pytest.mark.parametrize("by_owner", [True, False], ids=["owner", "probes"])
@pytest.mark.parametrize("kind", KINDS)
async def test_the_dialect_is_found_out_once(kind: str, by_owner: bool) -> None:
    async with served("x", dialect=kind, known_by_owner=by_owner) as (upstream, engine):
        assert engine.model == ""
        server = await engine.connect()
        asked = len(upstream.paths)
        assert server.dialect.name == kind
        assert engine.model == "tiny"
        assert await engine.connect() is server
        assert len(upstream.paths) == asked


async def test_capabilities_follow_the_server() -> None:
    async with served("x", dialect="llamacpp") as (_, engine):
        assert not engine.capabilities.exact_counts
        await engine.connect()
        found = engine.capabilities
        assert (found.window, found.slots, found.exact_counts, found.chat) == (4096, 4, True, True)
    async with served("x", dialect="vllm", template=False) as (_, engine):
        await engine.connect()
        assert not engine.capabilities.chat
        assert engine.capabilities.token_ids
        assert engine.encode("text") is None


async def test_one_of_several_models_must_be_named() -> None:
    names = [f"model-{i}" for i in range(20)]
    async with served("x", dialect="generic", models=names) as (_, engine):
        with pytest.raises(UsageError, match="20 models: model-0, ") as caught:
            await engine.connect()
        assert "--model" in caught.value.hint
    async with served("x", model="model-3", dialect="generic", models=names) as (upstream, engine):
        await chunks_of(engine)
        assert upstream.bodies[0]["model"] == "model-3"


async def test_a_server_without_a_list_of_models_needs_a_name_and_no_more() -> None:
    async with served("x", dialect="generic") as (upstream, engine):
        upstream.hidden.add("/v1/models")
        with pytest.raises(UsageError, match="does not list"):
            await engine.connect()
        named = OpenAIEngine(upstream.url, "m")
        assert (await chunks_of(named))[0].text == "x"
        await named.aclose()


async def test_a_dialect_that_is_given_is_believed() -> None:
    async with served("x", dialect="generic") as (upstream, _):
        engine = OpenAIEngine(upstream.url, dialect="vllm", retries=0)
        assert (await engine.connect()).dialect is VLLM
        await engine.aclose()


METRICS = """# HELP vllm:num_requests_running ...
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
vllm:num_requests_waiting{engine="0",model_name="m"} 4.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 9.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.5
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.25
vllm:cache_config_info{block_size="16",engine="0",kv_cache_size_tokens="8192"} 1.0
vllm:cache_config_info{block_size="16",engine="1",kv_cache_size_tokens="8192"} 1.0
nonsense nan? x
"""


def test_metrics_of_several_engines_add_up() -> None:
    assert VLLM.gauges is not None
    assert LLAMACPP.gauges is not None
    assert SGLANG.gauges is not None
    assert read_metrics(METRICS, VLLM.gauges) == Load(5, 4, 0.375, 16384)
    assert read_metrics(METRICS, LLAMACPP.gauges) == Load()
    assert read_metrics("llamacpp:requests_processing 2\nllamacpp:requests_deferred 0\n",
                        LLAMACPP.gauges) == Load(2, 0, None)
    assert read_metrics('sglang:num_running_reqs{x="1"} 1\nsglang:max_total_num_tokens{} 9e3\n',
                        SGLANG.gauges) == Load(1, kv_tokens=9000)


def test_versions_of_vllm_that_count_blocks_say_how_much_they_hold_as_well() -> None:
    assert VLLM.gauges is not None
    page = 'vllm:cache_config_info{block_size="16",num_gpu_blocks="%s",engine="0"} 1.0\n'
    assert read_metrics(page % 100, VLLM.gauges) == Load(kv_tokens=1600)
    assert read_metrics(page % "None", VLLM.gauges) == Load()


async def test_sglang_without_metrics_still_says_how_much_it_holds() -> None:
    async with served("x", dialect="sglang") as (upstream, engine):
        await engine.connect()
        upstream.answers["/server_info"] = {"max_total_num_tokens": 9000}
        assert await engine.load() == Load(kv_tokens=9000)


async def test_the_load_is_asked_for_seldom() -> None:
    async with served("x", dialect="vllm") as (upstream, engine):
        upstream.metrics = METRICS
        for _ in range(3):
            assert await engine.load() == Load(5, 4, 0.375, 16384)
        assert upstream.paths.count("/metrics") == 1


async def test_llama_cpp_without_metrics_still_shows_its_slots() -> None:
    async with served("x", dialect="llamacpp") as (_, engine):
        assert await engine.load() == Load(running=0)


async def test_an_unknown_load_is_no_error() -> None:
    async with served("x", dialect="generic") as (_, engine):
        assert await engine.load() == Load()
    engine = OpenAIEngine("http://127.0.0.1:1", retries=0)
    assert await engine.load() == Load()
    await engine.aclose()


@pytest.mark.parametrize("kind", KINDS)
async def test_our_own_methods_ask_with_messages(kind: str) -> None:
    async with served("x", dialect=kind) as (_, engine):
        opening = await engine.open(QUESTION, None)
        assert opening.prompt.messages == QUESTION.messages
        bare = await engine.open(Request("2 + 2?"), None)
        assert bare.prompt.messages == (Message("user", "2 + 2?"),)
        assert opening.read("<think>hm</think>\n4\n") == "4"


async def test_a_protocol_asks_with_text_in_the_models_template() -> None:
    rendered = "<|system|>Be brief.<|end|><|user|>2 + 2?<|end|><|assistant|>"
    for kind in ("vllm", "sglang", "llamacpp"):
        async with served("x", dialect=kind) as (_, engine):
            prompt = (await engine.open(QUESTION, "threadweaver")).prompt
            assert prompt.text == rendered
            assert not prompt.messages
            assert (prompt.ids is None) is (kind == "llamacpp")


@pytest.mark.parametrize("kind", ["vllm", "llamacpp"])
async def test_a_model_without_a_template_gets_the_bare_question(kind: str) -> None:
    async with served("x", dialect=kind, template=False) as (_, engine):
        for protocol in (None, "threadweaver"):
            opening = await engine.open(QUESTION, protocol)
            assert opening.prompt.text == "Be brief.\n\n2 + 2?\n"


async def test_a_generic_server_gets_a_protocols_question_bare() -> None:
    async with served("x", dialect="generic") as (_, engine):
        assert (await engine.open(Request("2 + 2?"), "threadweaver")).prompt.text == "2 + 2?\n"


async def test_apr_models_are_asked_about_countdown_only() -> None:
    state = "Moving to Node #0\nCurrent State: 24:[9, 7, 5, 3], Operations: []"
    async with served("x", dialect="vllm") as (_, engine):
        for question in (state, "make 24 from 3, 5, 7, 9"):
            opening = await engine.open(Request(question), "apr")
            assert opening.prompt.text == state
        with pytest.raises(UsageError, match="countdown"):
            await engine.open(Request("Why is the sky blue?"), "apr")


@pytest.mark.parametrize(
    ("text", "answer"),
    [("4", "4"), ("<think>a</think>b</think> 4 ", "4"), ("<think>never ends", None),
     ("<think>a</think>\n", None), ("a</think>4", "4"), ("", None)])
def test_the_answer_stands_after_the_thoughts(text: str, answer: str | None) -> None:
    assert after_thinking(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [("...\n24,24 equal: Goal Reached\n3+5=8,8*3=24\n24,24 equal: Goal Reached", "3+5=8,8*3=24"),
     ("...\nNo solution found.", "no"), ("still searching", None),
     ("Goal Reached\nsome path of old\nGoal Reached", "some path of old")])
def test_the_answer_of_a_search_is_its_path(text: str, answer: str | None) -> None:
    assert read_apr_answer(text) == answer


async def test_a_wrong_key_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "old")
    async with served("x", dialect="vllm", key="new") as (upstream, engine):
        with pytest.raises(EngineRefused, match="key"):
            await engine.connect()
        assert len(upstream.paths) == 1
        right = OpenAIEngine(upstream.url, key="new")
        assert (await chunks_of(right))[0].text == "x"
        await right.aclose()


async def test_all_that_come_at_once_wait_for_one_look_at_the_server() -> None:
    async with served("x", dialect="vllm") as (upstream, engine):
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(engine.connect)
        assert upstream.paths.count("/v1/models") == 1
