"""OpenAI's own Python client, unmodified, against the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import anyio
import openai
import pytest
from pydantic import BaseModel

from plait.testing.replies import Reply
from tests.conformance.gateway.case import ANSWER, QUESTION, slow
from tests.conformance.gateway.cases.fields import TOOL
from tests.conformance.gateway.conftest import Served

pytestmark = pytest.mark.anyio
ASK = [{"role": "user", "content": QUESTION}]
PARALLEL = "plait/explore:tiny"


@pytest.fixture
async def client(served: Served) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=served.target.base_url, api_key=served.target.key or "none", max_retries=0,
    ) as found:
        yield found


async def closed(served: Served) -> None:
    """Every call upstream ends, soon."""
    async with asyncio.timeout(2):
        await served.upstream.until(lambda calls: calls.open == 0)
    assert served.upstream.calls.cancelled >= 1


async def test_a_chat_has_text_usage_and_a_request_id(client, served) -> None:
    found = await client.chat.completions.create(model="tiny", messages=ASK)
    assert found.choices[0].message.content == ANSWER
    assert found.choices[0].finish_reason == "stop"
    assert found.usage is not None
    assert found.usage.total_tokens == served.upstream.usages[-1]["total_tokens"]
    assert found._request_id


async def test_a_parallel_chat_has_one_answer_and_the_usage_of_all_calls(client, served) -> None:
    found = await client.chat.completions.create(model=PARALLEL, messages=ASK)
    assert "42" in (found.choices[0].message.content or "")
    assert found.usage is not None
    assert len(served.upstream.usages) > 1
    assert found.usage.completion_tokens == sum(
        usage["completion_tokens"] for usage in served.upstream.usages)


async def test_the_plait_object_chooses_the_method(client, served) -> None:
    await client.chat.completions.create(
        model="tiny", messages=ASK, extra_body={"plait": {"method": "explore", "attempts": 3}})
    assert served.upstream.calls.started >= 2  # of three: two that agree are enough


async def test_a_stream_has_the_text_and_the_usage(client) -> None:
    stream = await client.chat.completions.create(
        model="tiny", messages=ASK, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == ANSWER
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


async def test_the_stream_helper_puts_tool_calls_together(client, served) -> None:
    served.upstream.script = Reply("", calls=[("weather", '{"place": "Bern"}')])
    async with client.chat.completions.stream(
        model="tiny", messages=ASK, tools=[TOOL]
    ) as stream:
        found = await stream.get_final_completion()
    call = found.choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("weather", '{"place": "Bern"}')
    assert found.choices[0].finish_reason == "tool_calls"


async def test_parse_gives_a_model_of_pydantic(client, served) -> None:
    class Number(BaseModel):
        value: int

    served.upstream.script = '{"value": 42}'
    found = await client.chat.completions.parse(
        model="tiny", messages=ASK, response_format=Number)
    assert found.choices[0].message.parsed == Number(value=42)
    assert served.upstream.bodies[-1]["response_format"]["type"] == "json_schema"


async def test_responses_answer_and_stream(client) -> None:
    found = await client.responses.create(model="tiny", input=QUESTION)
    assert (found.status, found.output_text) == ("completed", ANSWER)
    assert found.usage is not None
    assert found.usage.output_tokens > 0
    async with client.responses.stream(model="tiny", input=QUESTION) as stream:
        text = "".join([event.delta async for event in stream
                        if event.type == "response.output_text.delta"])
        assert text == ANSWER
        assert (await stream.get_final_response()).output_text == ANSWER


async def test_completions_and_models(client) -> None:
    found = await client.completions.create(model="tiny", prompt=QUESTION)
    assert found.choices[0].text == ANSWER
    names = [model.id async for model in client.models.list()]
    assert "tiny" in names
    assert (await client.models.retrieve("tiny")).id == "tiny"


@pytest.mark.parametrize(("status", "kind"), [
    (400, openai.BadRequestError), (429, openai.RateLimitError),
    (500, openai.InternalServerError)])
async def test_errors_are_the_classes_that_clients_catch(client, served, status, kind) -> None:
    served.upstream.script = Reply(status=status, error={"error": {
        "message": "no such luck", "type": "invalid_request_error", "param": "messages",
        "code": "some_code"}})
    with pytest.raises(kind) as caught:
        await client.chat.completions.create(model="tiny", messages=ASK)
    assert "no such luck" in str(caught.value)
    assert caught.value.request_id
    if status == 400:
        assert (caught.value.code, caught.value.param) == ("some_code", "messages")


async def test_an_unknown_model_is_not_found(client) -> None:
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model="no-such-model", messages=ASK)


async def test_an_error_within_a_stream_is_raised(client, served) -> None:
    served.upstream.script = Reply(ANSWER, fail_after=3, error={"error": {
        "message": "the engine died", "type": "server_error", "param": None, "code": None}})
    with pytest.raises(openai.APIError, match="the engine died"):
        async for _ in await client.chat.completions.create(
            model="tiny", messages=ASK, stream=True
        ):
            pass


async def test_a_failed_parallel_run_is_not_asked_again_by_the_client(served) -> None:
    """The client would retry a 500 twice; it is told not to."""
    served.upstream.script = Reply(status=500, error={"error": {"message": "out of order"}})
    async with openai.AsyncOpenAI(
        base_url=served.target.base_url, api_key=served.target.key or "none", max_retries=2,
    ) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model=PARALLEL, messages=ASK)
    assert served.upstream.calls.started > 1
    assert caught.value.response.request.headers["x-stainless-retry-count"] == "0"


@pytest.mark.parametrize("model", ["tiny", PARALLEL])
async def test_leaving_a_stream_closes_every_call_upstream(client, served, model) -> None:
    served.upstream.script = slow("Six times\nseven is what\nwe want. " + ANSWER, 20)
    stream = await client.chat.completions.create(model=model, messages=ASK, stream=True)
    async for _ in stream:
        break
    await stream.close()
    await closed(served)


@pytest.mark.parametrize("model", ["tiny", PARALLEL])
async def test_a_timeout_of_the_client_closes_every_call_upstream(client, served, model) -> None:
    served.upstream.script = Reply(ANSWER, gate=anyio.Event())
    with pytest.raises(openai.APITimeoutError):
        await client.with_options(timeout=0.5).chat.completions.create(
            model=model, messages=ASK)
    await closed(served)


async def test_a_cancelled_task_closes_the_call_upstream(client, served) -> None:
    served.upstream.script = Reply(ANSWER, gate=anyio.Event())
    asking = asyncio.create_task(client.chat.completions.create(model="tiny", messages=ASK))
    await served.upstream.until(lambda calls: calls.open > 0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await closed(served)


async def test_the_client_without_async_works_too(served) -> None:
    def ask() -> str | None:
        with openai.OpenAI(base_url=served.target.base_url,
                           api_key=served.target.key or "none") as client:
            return client.chat.completions.create(
                model="tiny", messages=ASK).choices[0].message.content

    assert await anyio.to_thread.run_sync(ask) == ANSWER
