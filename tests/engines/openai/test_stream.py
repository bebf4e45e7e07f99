"""Requests to a fake server of each kind, over real sockets."""

import anyio
import pytest

from plait.core import Chunk, Message, Prompt, Sampling
from plait.engines.openai import OpenAIEngine
from plait.errors import EngineError, EngineRefused, EngineUnreachable, UsageError
from plait.testing.upstream import Reply, Upstream
from tests.engines.openai.help import chunks_of, served, text_of

pytestmark = pytest.mark.anyio
KINDS = ["vllm", "sglang", "llamacpp", "generic"]
EXACT = ["vllm", "sglang", "llamacpp"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_text_arrives_whole_and_is_counted(kind: str) -> None:
    async with served("one two three", dialect=kind) as (_, engine):
        chunks = await chunks_of(engine)
    assert text_of(chunks) == "one two three"
    last = chunks[-1]
    assert last.finish == "eos"
    assert last.usage is not None
    assert not last.usage.estimated
    assert sum(c.tokens for c in chunks) == last.usage.generated
    assert all(c.finish is None and c.usage is None for c in chunks[:-1])
    assert any(c.estimated for c in chunks) is (kind == "generic")


@pytest.mark.parametrize("kind", KINDS)
async def test_the_stop_is_known_and_stays_in_the_text(kind: str) -> None:
    async with served("<A> one </A> two", dialect=kind) as (_, engine):
        chunks = await chunks_of(engine, sampling=Sampling(stop=("</B>", "</A>")))
    assert text_of(chunks) == "<A> one </A>"
    assert (chunks[-1].finish, chunks[-1].stop) == ("stop", "</A>")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_text_that_ends_by_itself_is_not_taken_for_a_stop(kind: str) -> None:
    async with served("one two", dialect=kind) as (_, engine):
        chunks = await chunks_of(engine, sampling=Sampling(stop=("</A>",)))
    assert text_of(chunks) == "one two"
    assert (chunks[-1].finish, chunks[-1].stop) == ("eos", None)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_limit_ends_a_text(kind: str) -> None:
    async with served("one two three", dialect=kind) as (_, engine):
        chunks = await chunks_of(engine, sampling=Sampling(max_tokens=2))
    assert text_of(chunks) == "one two"
    assert chunks[-1].finish == "length"


@pytest.mark.parametrize("kind", EXACT)
async def test_cached_tokens_are_reported(kind: str) -> None:
    async with served(Reply("x", cached=3), dialect=kind) as (_, engine):
        usage = (await chunks_of(engine, "one two three four"))[-1].usage
        assert engine.capabilities.cache_report
    assert usage is not None
    assert (usage.prompt, usage.cached, usage.generated) == (4, 3, 2 if kind != "llamacpp" else 1)


@pytest.mark.parametrize("kind", ["vllm", "sglang"])
async def test_ids_go_both_ways(kind: str) -> None:
    async with served("one two", dialect=kind) as (upstream, engine):
        first = await chunks_of(engine)
        ids = tuple(i for c in first for i in c.ids or ())
        await chunks_of(engine, Prompt("Onceone two", ids=ids))
        assert ids == (upstream.token("one"), upstream.token(" two"))
        assert upstream.bodies[-1]["prompt"] == list(ids)


@pytest.mark.parametrize("kind", KINDS)
async def test_log_probabilities_come_when_asked_for(kind: str) -> None:
    async with served("one two", dialect=kind) as (_, engine):
        chunks = await chunks_of(engine, sampling=Sampling(logprobs=True))
    assert [p for c in chunks for p in c.logprobs or ()][:2] == [-0.5, -0.5]


@pytest.mark.parametrize("kind", ["vllm", "sglang", "generic"])
async def test_messages_go_to_the_chat_endpoint(kind: str) -> None:
    async with served("Hello", dialect=kind) as (upstream, engine):
        chunks = await chunks_of(engine, Prompt(messages=(Message("user", "hi"),)))
        assert upstream.paths[-1 if kind == "generic" else -2] == "/v1/chat/completions"
        assert upstream.bodies[0]["messages"] == [{"role": "user", "content": "hi"}]
    assert text_of(chunks) == "Hello"


async def test_llama_cpp_gets_a_chat_as_text_since_its_chat_hides_the_stop() -> None:
    prompt = Prompt("Well,", messages=(Message("user", "hi"),))
    async with served("one END", dialect="llamacpp") as (upstream, engine):
        chunks = await chunks_of(engine, prompt, Sampling(stop=("END",)))
        await chunks_of(engine, prompt)
        assert upstream.bodies[0]["prompt"] == "<|user|>hi<|end|><|assistant|>Well,"
        assert upstream.paths.count("/apply-template") == 1
    assert text_of(chunks) == "one END"


async def test_an_old_llama_cpp_gets_a_chat_with_the_beginning_of_the_answer() -> None:
    prompt = Prompt("Well,", messages=(Message("user", "hi"),))
    async with served("one", dialect="llamacpp") as (upstream, engine):
        upstream.hidden.add("/apply-template")
        assert text_of(await chunks_of(engine, prompt)) == "one"
        assert upstream.paths[-1] == "/v1/chat/completions"
        assert upstream.bodies[0]["messages"][-1] == {"role": "assistant", "content": "Well,"}


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
async def test_thoughts_are_visible(name: str) -> None:
    reply = Reply("yes", thoughts=("hm", "m"), thoughts_field=name)
    async with served(reply, dialect="generic") as (_, engine):
        chunks = await chunks_of(engine, Prompt(messages=(Message("user", "?"),)))
    assert text_of(chunks) == "<think>hmm</think>yes"
    assert sum(c.tokens for c in chunks) == 3


async def test_a_server_that_wants_the_new_name_of_the_limit_gets_it_from_then_on() -> None:
    words = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    replies = [Reply(status=400, error={"error": {"message": words}}), "one two", "one two"]
    prompt = Prompt(messages=(Message("user", "hi"),))
    async with served(replies, dialect="generic") as (upstream, engine):
        for _ in range(2):
            assert text_of(await chunks_of(engine, prompt, Sampling(max_tokens=1))) == "one"
        assert [b.get("max_completion_tokens") for b in upstream.bodies] == [None, 1, 1]
        assert "max_tokens" not in upstream.bodies[-1]


async def test_a_template_that_cannot_continue_an_answer_is_rendered_without_it() -> None:
    words = "continue_final_message is set but the final message does not appear in the chat"
    replies = [Reply(status=400, error={"error": {"message": words}}), "one two"]
    prompt = Prompt("<think>hm</think>", messages=(Message("user", "hi"),))
    async with served(replies, dialect="vllm") as (upstream, engine):
        chunks = await chunks_of(engine, prompt, Sampling(max_tokens=5, stop=("two",)))
        sent = upstream.bodies[-1]
        assert sent["prompt"] == "<|user|>hi<|end|><|assistant|><think>hm</think>"
        assert (sent["max_tokens"], sent["stop"]) == (5, ["two"])
    assert chunks[-1].stop == "two"


async def test_a_limit_beyond_the_window_becomes_what_fits() -> None:
    words = "maximum context length is 10 tokens"
    replies = [Reply(status=400, error={"error": {"message": words}}), "one two"]
    async with served(replies, dialect="vllm", window=10) as (upstream, engine):
        chunks = await chunks_of(engine, "one two three", Sampling(max_tokens=10))
        assert upstream.bodies[-1]["max_tokens"] == 7
    assert chunks[-1].finish == "eos"


@pytest.mark.parametrize("kind", EXACT)
async def test_a_prompt_that_fills_the_window_ends_the_text(kind: str) -> None:
    refusal = Reply(status=400, error={"error": {"message": "maximum context length is 3"}})
    async with served(refusal, dialect=kind, window=3) as (_, engine):
        chunks = await chunks_of(engine, "one two three four", Sampling(max_tokens=1))
    assert [c.finish for c in chunks] == ["window"]


async def test_sglang_is_told_a_number_where_there_is_no_limit() -> None:
    async with served("one", dialect="sglang", window=10) as (upstream, engine):
        await chunks_of(engine, "one two three")
        assert upstream.bodies[-1]["max_tokens"] == 7


async def test_stop_ids_work_on_llama_cpp_and_are_refused_where_they_cannot() -> None:
    async with served("one two three", dialect="llamacpp") as (upstream, engine):
        stop = upstream.token(" two")
        chunks = await chunks_of(engine, sampling=Sampling(stop_ids=(stop,)))
        assert text_of(chunks) == "one two"
        assert chunks[-1].stop == stop
        await upstream.until(lambda calls: calls.open == 0)
    async with served("one", dialect="generic") as (_, engine):
        with pytest.raises(UsageError):
            await chunks_of(engine, sampling=Sampling(stop_ids=(1,)))


@pytest.mark.parametrize("cut", [(1, 9), (40, 41), (10**6,)])
async def test_the_stream_may_be_cut_anywhere_and_lack_its_end(cut: tuple[int, ...]) -> None:
    stream = (b': hi\r\n\r\ndata: {"choices": [{"text": "one", "finish_reason": null}]}\r\n\r\n'
              b'data: {"choices": [{"text": " two", "finish_reason": "stop"}]}')
    parts = [stream[a:b] for a, b in zip([0, *cut], [*cut, None], strict=True)]
    async with served(Reply(raw=parts), dialect="generic") as (_, engine):
        chunks = await chunks_of(engine)
    assert text_of(chunks) == "one two"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.estimated


async def test_nothing_after_done_is_waited_for_and_a_finish_may_be_missing() -> None:
    stream = [b'data: {"choices": [{"text": "one"}]}\n\n', b"data: [DONE]\n\n"]
    gate = anyio.Event()
    async with served(Reply(raw=stream, gate=gate, gate_after=2), dialect="generic") as (_, engine):
        chunks = await chunks_of(engine)
        gate.set()
    assert text_of(chunks) == "one"
    assert chunks[-1].finish == "eos"


async def test_finished_requests_share_a_connection() -> None:
    async with served("one", dialect="vllm") as (_, engine):
        await chunks_of(engine)
        opened = 0
        connector = (await engine._link._current_session()).connector
        assert connector is not None
        for _ in range(3):
            await chunks_of(engine)
            opened = max(opened, sum(map(len, connector._conns.values())))
    assert opened == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_connection_that_breaks_in_mid_text_is_unreachable(kind: str) -> None:
    async with served(Reply("one two three", break_after=2), dialect=kind) as (_, engine):
        seen: list[Chunk] = []

        async def read() -> None:
            async with engine.stream(Prompt("x"), Sampling()) as stream:
                async for chunk in stream:
                    seen.append(chunk)

        with pytest.raises(EngineUnreachable):
            await read()
    assert text_of(seen) == "one two"


async def test_a_connection_that_breaks_behind_the_last_word_breaks_nothing() -> None:
    """Only the usage is missing, which was to come."""
    async with served(Reply("one two three", break_after=4), dialect="vllm") as (_, engine):
        chunks = await chunks_of(engine)
    assert (text_of(chunks), chunks[-1].finish) == ("one two three", "eos")
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.estimated


async def test_a_stream_that_just_ends_is_unreachable_too() -> None:
    stream = [b'data: {"choices": [{"text": "one", "finish_reason": null}]}\n\n']
    async with served(Reply(raw=stream), dialect="generic") as (_, engine):
        with pytest.raises(EngineUnreachable, match="broke off"):
            await chunks_of(engine)


async def test_an_error_in_mid_stream_is_raised_with_its_words() -> None:
    reply = Reply("one two", error={"error": {"message": "out of memory", "code": 500}},
                  fail_after=1)
    async with served(reply, dialect="vllm") as (_, engine):
        with pytest.raises(EngineError, match="out of memory"):
            await chunks_of(engine)


@pytest.mark.parametrize(
    "raw", [b"data: {broken\n\n", b"data: [1]\n\n", b'data: {"choices": 5}\n\n',
            b'data: {"choices": [{"text": "x", "token_ids": 5}]}\n\n'])
async def test_nonsense_from_a_server_is_an_engine_error(raw: bytes) -> None:
    async with served(Reply(raw=[raw]), dialect="generic") as (_, engine):
        with pytest.raises(EngineError):
            await chunks_of(engine)


async def test_a_server_that_does_not_stream_is_named_as_such() -> None:
    whole = Reply(raw=[b'{"choices": [{"text": "one"}]}'], content_type="application/json")
    async with served(whole, dialect="generic") as (_, engine):
        with pytest.raises(EngineError, match="does not stream"):
            await chunks_of(engine)
    wrong = Reply(raw=[b'{"error": {"message": "no", "code": 400}}'],
                  content_type="application/json")
    async with served(wrong, dialect="generic") as (_, engine):
        with pytest.raises(EngineRefused, match="no"):
            await chunks_of(engine)


async def test_silence_is_unreachable() -> None:
    gate = anyio.Event()
    reply = Reply("one two", gate=gate, gate_after=1)
    async with served(reply, dialect="vllm", idle=0.05) as (_, engine):
        with pytest.raises(EngineUnreachable, match="silent"):
            await chunks_of(engine)


async def test_the_key_goes_out_and_appears_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAIT_API_KEY", "secret-key")
    refusal = Reply(status=401, error={"error": {"message": "who are you"}})
    async with served(refusal, dialect="vllm") as (upstream, engine):
        with pytest.raises(EngineRefused) as caught:
            await chunks_of(engine)
        assert upstream.headers[0]["Authorization"] == "Bearer secret-key"
        assert "secret" not in caught.value.line + repr(engine)
        assert "PLAIT_API_KEY" in caught.value.line
    engine = OpenAIEngine("http://me:password@host/v1", "m")
    assert "password" not in repr(engine) + engine.base_url


def test_an_engine_can_be_used_from_one_event_loop_after_another() -> None:
    engine: OpenAIEngine | None = None

    async def once() -> str:
        nonlocal engine
        async with Upstream("one", dialect="vllm") as upstream:
            engine = engine or OpenAIEngine(upstream.url, "tiny", dialect="generic")
            engine._link._root = upstream.url
            text = text_of(await chunks_of(engine))
            await engine.aclose()
            return text

    assert anyio.run(once) == anyio.run(once) == "one"
