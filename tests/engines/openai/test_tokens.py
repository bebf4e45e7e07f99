"""Contexts go to the server as the ids that the model wrote, whatever its tokenizer would make of
the same text."""

from collections.abc import Mapping
from typing import Any

import pytest

from plait import solve
from plait.core import Plan, Prompt, Request, Sampling
from plait.engines.openai import tokens
from plait.errors import EngineRefused
from plait.testing.replies import Reply
from plait.testing.scripted import cut_pieces
from tests.engines.openai.help import chunks_of, served, text_of

LIST = "<Parallel>\n<Outlines>\n<Outline>1: a</Outline>\n<Outline>2: b</Outline>\n</Outlines>"


def model(body: Mapping[str, Any]) -> Reply:
    """Writes letter by letter, which the tokenizer never does; its stops may lie in a token."""
    prompt = body["prompt"]
    if prompt.endswith(("1:", "2:")):
        return Reply([*" found it</Thread", ">\n\nand on"])
    if "</Thread>" in prompt:
        return Reply([*"</Parallel>\n</think>\n42"])
    return Reply([*LIST])


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["vllm", "sglang"])
async def test_what_the_model_wrote_is_what_it_reads_back(kind: str) -> None:
    async with served(model, dialect=kind) as (upstream, engine):
        result = await solve(Request("q?"), engine=engine, plan=Plan("native", "threadweaver"))
        assert result.answer == "42"
        assert result.text.count(" found it</Thread>") == 2
        root, *threads, end = [body["prompt"] for body in upstream.bodies]

        def ids(pieces: list[str]) -> list[int]:
            return [upstream.token(piece) for piece in pieces]

        wrote = ids([*LIST])
        opening = root if isinstance(root, list) else ids(cut_pieces(root))
        first, second = "\n<Thread>\n1:", "\n<Thread>\n2:"
        assert sorted(threads) == sorted([
            [*opening, *wrote, *ids(cut_pieces(first))],
            [*opening, *wrote, *ids(cut_pieces(second))]])
        # the token that the stop cut in two is the only one that is encoded anew
        thread = [*ids([*" found it</Thread"]), *ids([">"])]
        assert end == [
            *opening, *wrote, *ids(cut_pieces(first)), *thread,
            *ids(cut_pieces(second[1:])), *thread, *ids(["\n"])]


@pytest.mark.anyio
async def test_a_server_without_a_tokenizer_is_given_text() -> None:
    async with served(model, dialect="vllm") as (upstream, engine):
        await engine.connect()
        upstream.hidden = {"/tokenize", "/detokenize"}
        prompt = Prompt("So it is", parts=((upstream.token("So"),), " it is"))
        await chunks_of(engine, prompt, Sampling(max_tokens=2))
        assert upstream.bodies[-1]["prompt"] == "So it is"


@pytest.mark.anyio
async def test_a_text_is_encoded_once() -> None:
    async with served("fine", dialect="vllm") as (upstream, engine):
        await engine.connect()
        asked = upstream.paths.count("/tokenize")
        for _ in range(3):
            prompt = Prompt("ab and", parts=((upstream.token("a"), upstream.token("b")), " and"))
            await chunks_of(engine, prompt)
        assert upstream.paths.count("/tokenize") == asked + 1
        assert upstream.bodies[-1]["prompt"] == [
            upstream.token(piece) for piece in ("a", "b", *cut_pieces(" and"))]


@pytest.mark.anyio
async def test_a_failure_that_passes_leaves_the_tokenizer_in_use() -> None:
    async with served("fine", dialect="vllm") as (upstream, engine):
        await engine.connect()
        upstream.failing["/tokenize"] = 500
        assert await engine.token_counts(["so it is"]) == [None]
        del upstream.failing["/tokenize"]
        assert await engine.token_counts(["so it is"]) == [len(cut_pieces("so it is"))]


@pytest.mark.anyio
async def test_a_server_that_has_no_tokenizer_is_asked_once() -> None:
    async with served("fine", dialect="vllm") as (upstream, engine):
        await engine.connect()
        upstream.hidden = {"/tokenize"}
        before = upstream.paths.count("/tokenize")
        assert await engine.token_counts(["one", "two"]) == [None, None]
        assert upstream.paths.count("/tokenize") == before + 1


@pytest.mark.anyio
async def test_what_is_kept_of_a_tokenizer_is_bounded_by_its_size(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MOST_KEPT", 60)
    async with served("fine", dialect="vllm") as (upstream, engine):
        await engine.connect()

        async def asked(text: str) -> int:
            before = upstream.paths.count("/tokenize")
            assert await engine.token_counts([text]) == [len(cut_pieces(text))]
            return upstream.paths.count("/tokenize") - before

        assert [await asked("a" * 20), await asked("b" * 20)] == [1, 1]
        assert await asked("a" * 20) == 0
        assert await asked("c" * 30) == 1  # the oldest one has to go
        assert [await asked("c" * 30), await asked("a" * 20)] == [0, 1]
        assert [await asked("d" * 80), await asked("d" * 80)] == [1, 1]  # too long to be kept


@pytest.mark.anyio
async def test_a_parser_that_refuses_ids_is_asked_with_text_from_then_on() -> None:
    refusal = Reply(status=422, error="prompt: data did not match any variant of StringOrArray")

    def router(body: dict[str, object]) -> Reply | str:
        return refusal if isinstance(upstream.bodies[-1]["prompt"], list) else "a tale"

    async with served(router, dialect="sglang") as (upstream, engine):
        await engine.connect()
        assert engine.capabilities.token_ids
        prompt = Prompt("Once", ids=(upstream.token("Once"),))
        for _ in range(2):
            assert text_of(await chunks_of(engine, prompt)) == "a tale"
        assert [body["prompt"] for body in upstream.bodies] == [list(prompt.ids or ()), "Once",
                                                                "Once"]
        assert not engine.capabilities.token_ids


@pytest.mark.anyio
async def test_another_refusal_of_ids_stays_one() -> None:
    async with served(Reply(status=400, error={"detail": "no"}), dialect="vllm") as (up, engine):
        with pytest.raises(EngineRefused, match="no"):
            await chunks_of(engine, Prompt("Once", ids=(1,)))
        assert engine.capabilities.token_ids
        assert up.calls.started == 1
