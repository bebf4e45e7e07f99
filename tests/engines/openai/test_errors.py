"""What servers and networks say becomes one of plait's errors, in one line."""

import pytest

from plait.engines.openai import errors
from plait.engines.openai.errors import from_status, from_stream, retry_after
from plait.errors import EngineError, EngineOverloaded, EngineRefused, EngineUnreachable

OPENAI = b'{"error": {"message": "bad temperature", "type": "invalid_request_error"}}'
FASTAPI = b'{"detail": "bad temperature"}'
PYDANTIC = b'{"detail": [{"loc": ["body", "stop"], "msg": "bad temperature", "type": "x"}]}'
SGLANG = b'{"object": "error", "message": "bad temperature", "code": 400}'
PLAIN = b"bad temperature\n"


@pytest.mark.parametrize("body", [OPENAI, FASTAPI, PYDANTIC, SGLANG, PLAIN])
def test_a_refusal_repeats_the_servers_own_words(body: bytes) -> None:
    error = from_status(400, body, {}, "http://host")
    assert isinstance(error, EngineRefused)
    assert "bad temperature" in str(error)
    assert "http://host" in str(error)
    assert "\n" not in error.line
    assert not error.retryable


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [(400, EngineRefused, False), (401, errors.WrongKey, False), (403, errors.WrongKey, False),
     (404, errors.NotThere, False), (422, errors.WrongShape, False), (501, errors.NotThere, False),
     (408, EngineError, True), (429, EngineOverloaded, True), (503, EngineOverloaded, True),
     (500, EngineError, True), (504, EngineError, True), (502, EngineUnreachable, True)])
def test_each_status_has_its_error(status: int, kind: type[EngineError], retryable: bool) -> None:
    error = from_status(status, b"", {}, "http://host")
    assert type(error) is kind
    assert error.retryable is retryable


def test_a_page_of_html_is_not_repeated() -> None:
    assert "<html>" not in str(from_status(500, b"<html>...</html>", {}, "http://host"))


@pytest.mark.parametrize(
    "words",
    ["This model's maximum context length is 4096 tokens. However, ...",
     "request (5000 tokens) exceeds the available context size (4096 tokens)",
     "The input (9 tokens) is longer than the model's context length (8 tokens).",
     "max_tokens=9999 cannot be greater than max_model_len=4096."])
def test_a_refusal_for_length_is_known_as_one(words: str) -> None:
    assert isinstance(from_status(400, words.encode(), {}, "http://host"), errors.TooLong)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, None), ({"retry-after": "3"}, 3.0), ({"retry-after-ms": "250"}, 0.25),
     ({"retry-after": "soon"}, None), ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
     ({"retry-after-ms": "20", "retry-after": "9"}, 0.02)])
def test_retry_after_is_read_in_all_its_forms(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers) == seconds
    error = from_status(429, b"", headers, "http://host")
    assert isinstance(error, EngineOverloaded)
    assert error.retry_after == seconds


def test_an_error_object_in_a_stream_is_found() -> None:
    error = from_stream({"error": {"message": "out of memory", "code": 500}}, "http://host")
    assert error is not None
    assert "out of memory" in str(error)
    assert error.retryable
    assert isinstance(from_stream({"error": {"message": "m", "code": 400}}, "h"), EngineRefused)
    assert from_stream({"object": "error", "message": "m", "code": 429}, "h") is not None
    assert from_stream({"choices": []}, "h") is None
    assert from_stream([1], "h") is not None
