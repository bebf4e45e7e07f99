"""Replies that are wanted as JSON of a schema: said to servers that know how, else left out."""

from typing import Any

import pytest

from plait.core import Message, Prompt, Sampling
from plait.testing.replies import Reply
from tests.engines.openai.help import chunks_of, served, text_of

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
CHAT = Prompt(messages=(Message("user", "Plan."),))
WANTED = Sampling(schema=SCHEMA)

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "generic"])
async def test_a_chat_asks_for_the_schema(dialect: Any) -> None:
    async with served('{"a": 1}', dialect=dialect) as (upstream, engine):
        assert text_of(await chunks_of(engine, CHAT, WANTED)) == '{"a": 1}'
        form = upstream.bodies[-1]["response_format"]
        assert form["type"] == "json_schema"
        assert form["json_schema"]["schema"] == SCHEMA


async def test_llamacpp_is_asked_in_its_own_words() -> None:
    async with served("{}", dialect="llamacpp") as (upstream, engine):
        await chunks_of(engine, CHAT, WANTED)
        assert upstream.bodies[-1]["json_schema"] == SCHEMA
        assert engine.capabilities.json_schema is True


async def test_a_server_that_knows_no_schemas_is_asked_without_and_not_again() -> None:
    def script(body: Any) -> Reply:
        if "response_format" in body:
            return Reply(status=400, error={"error": {"message": "unknown: response_format"}})
        return Reply("a plan")

    async with served(script, dialect="generic") as (upstream, engine):
        assert engine.capabilities.json_schema is None
        for _ in range(2):
            assert text_of(await chunks_of(engine, CHAT, WANTED)) == "a plan"
        assert ["response_format" in body for body in upstream.bodies] == [True, False, False]
        assert engine.capabilities.json_schema is False


async def test_a_reply_that_goes_on_in_the_middle_is_not_constrained() -> None:
    async with served("}", dialect="vllm") as (upstream, engine):
        await chunks_of(engine, Prompt('{"a": 1', messages=CHAT.messages), WANTED)
        assert "response_format" not in upstream.bodies[-1]
