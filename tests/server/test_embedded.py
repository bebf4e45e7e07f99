"""`plait serve` with the embedded engine, and OpenAI's own client, unmodified, before it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

QUESTION = "Make 92 from 46, 39, 29 and 20"
ASK = [{"role": "user", "content": QUESTION}]


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its base URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "plait.cli", "serve", "--port", "0", "--store",
         str(folder / "runs.sqlite"), *arguments],
        cwd=folder, stderr=subprocess.PIPE, text=True, env=os.environ)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "listening on" in line, line + process.stderr.read()
        yield process, line.split("listening on ")[1].split(",")[0]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("serve")) as (_, base):
        yield base


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=60) as found:
        yield found


def test_models_are_listed_by_each_way(client: openai.OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert {"plait-nano", "plait/auto:plait-nano", "plait/sequential:plait-nano"} <= names
    assert client.models.retrieve("plait/native:plait-nano").owned_by == "plait"


def test_a_chat(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(model="plait-nano", messages=ASK)  # type: ignore[arg-type]
    assert found.choices[0].message.content
    assert found.choices[0].finish_reason == "stop"
    assert found.usage is not None
    assert found.usage.completion_tokens_details is not None
    facts = found.plait  # type: ignore[attr-defined]
    assert facts["method"] == "native"
    assert facts["correct"] is True
    assert facts["threads"] > 1
    assert found.usage.completion_tokens == facts["total_tokens"]


def test_a_stream(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(  # type: ignore[call-overload]
        model="plait/native:plait-nano", messages=ASK, stream=True,
        stream_options={"include_usage": True})
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    thoughts = [c for c in chunks if c.choices and getattr(c.choices[0].delta, "reasoning", None)]
    assert text
    assert len({c.plait["thread"] for c in thoughts}) > 1
    assert chunks[-1].usage.completion_tokens > 0


def test_a_response_and_its_stream(client: openai.OpenAI) -> None:
    found = client.responses.create(model="plait-nano", input=QUESTION)
    assert found.output_text
    assert found.status == "completed"
    assert found.usage is not None
    assert client.responses.retrieve(found.id).output_text == found.output_text
    with client.responses.stream(model="plait-nano", input=QUESTION) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert "response.reasoning_text.delta" in kinds


def test_what_it_cannot_do_is_said_plainly(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="plait-nano"):
        client.chat.completions.create(
            model="plait-nano", messages=[{"role": "user", "content": "Write a poem."}])
    with pytest.raises(openai.BadRequestError, match="it asks for several choices"):
        client.chat.completions.create(model="plait-nano", messages=ASK, n=2)  # type: ignore[arg-type]
    with pytest.raises(openai.NotFoundError, match="no model"):
        client.chat.completions.create(model="gpt-9", messages=ASK)  # type: ignore[arg-type]


def test_a_client_that_gives_up_is_noticed(client: openai.OpenAI, url: str) -> None:
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.15).chat.completions.create(
            model="plait/sequential:plait-nano", messages=ASK)  # type: ignore[arg-type]
    for _ in range(100):
        text = client._client.get(url.removesuffix("/v1") + "/metrics").text
        if 'plait_runs_total{method="sequential",model="plait-nano",outcome="cancelled"}' in text:
            return
        time.sleep(0.05)
    raise AssertionError(text)


def test_feedback_and_the_viewer_know_the_run(client: openai.OpenAI, url: str) -> None:
    found = client.chat.completions.create(model="plait-nano", messages=ASK)  # type: ignore[arg-type]
    root = url.removesuffix("/v1")
    said = client._client.post(f"{url}/feedback", json={"run": found.id, "rating": 1})
    assert said.status_code == 200, said.text
    missing = client._client.post(f"{url}/feedback", json={"run": "none", "rating": 1})
    assert missing.status_code == 404
    page = client._client.get(f"{root}/runs/{found.plait['run']}")  # type: ignore[attr-defined]
    assert page.status_code == 200
    assert "plait-nano" in page.text
    assert QUESTION in client._client.get(root).text


def test_sigterm_lets_requests_finish(tmp_path: Path) -> None:
    with running(tmp_path) as (process, base), openai.OpenAI(
            base_url=base, api_key="none", max_retries=0) as client:
        stream = client.chat.completions.create(
            model="plait/sequential:plait-nano", messages=ASK, stream=True)  # type: ignore[call-overload]
        next(stream)
        process.send_signal(signal.SIGTERM)
        chunks = list(stream)
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert process.wait(20) == 0


def test_it_listens_nowhere_else_without_keys(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "plait.cli", "serve", "--host", "0.0.0.0", "--port", "0"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == 2
    assert "without keys" in process.stderr
