"""`plait probe`: what is served, and whether it fits."""

import json
import sys

import anyio
import pytest

from plait.testing.upstream import Upstream
from tests.cli.conftest import Shell

pytestmark = pytest.mark.anyio


async def probe(upstream: Upstream, *arguments: str) -> tuple[int, str, str]:
    """The command as a program of its own, since the server runs in this one's event loop."""
    done = await anyio.run_process(
        [sys.executable, "-m", "plait.cli", "probe", "--engine", upstream.url, *arguments],
        check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def test_a_server_is_described() -> None:
    async with Upstream("x", models=["bigai-NPR/NPR-4B"], window=20000) as upstream:
        upstream.spelled.add("<plan>")
        status, out, err = await probe(upstream)
        assert (status, err) == (0, "")
        lines = dict(line.split(maxsplit=1) for line in out.splitlines())
        assert lines["engine"] == f"{upstream.url} (vllm)"
        assert lines["model"] == "bigai-NPR/NPR-4B"
        assert lines["window"] == "20,000 tokens"
        assert lines["protocol"].startswith("npr: `bigai-NPR/NPR-4B` is taken for")
        assert lines["tags"] == "not single tokens: <plan> 6"
        assert lines["context"] == "trained on up to 30,000 tokens"
        assert out.count("warning ") == 2
        assert upstream.calls.started == 0  # nothing was generated
        status, out, _ = await probe(upstream, "--json")
        found = json.loads(out)
        assert (found["server"], found["window"], found["protocol"]) == ("vllm", 20000, "npr")
        assert (found["tags"]["<plan>"], found["tags"]["<step>"]) == (6, 1)
        assert (found["trained_context"], len(found["warnings"])) == (30000, 2)


async def test_a_model_of_which_nothing_is_known_is_described_too() -> None:
    async with Upstream("x", dialect="generic") as upstream:
        status, out, _ = await probe(upstream)
        assert status == 0
        assert "protocol  no wire format is known for the model `tiny`" in out
        status, out, _ = await probe(upstream, "--protocol", "npr")
        assert "tags      8, the server does not tell how it cuts them" in out
        assert "warning   this kind of server is not known to show special tokens" in out


async def test_mistakes_are_one_line() -> None:
    async with Upstream("x", models=["a", "b"]) as upstream:
        status, _, err = await probe(upstream)
        assert (status, err.count("\n")) == (2, 1)
        assert "serves 2 models: a, b" in err
        status, _, err = await probe(upstream, "--model", "a", "--protocol", "nprr")
        assert (status, err.count("\n")) == (2, 1)
        url = upstream.url
    gone = await anyio.run_process(
        [sys.executable, "-m", "plait.cli", "probe", "--engine", url], check=False)
    assert gone.returncode == 3


def test_an_engine_without_a_server_is_described(shell: Shell) -> None:
    status, out, err = shell("probe", "--protocol", "asyncthink")
    assert (status, err) == (0, "")
    assert "model     script" in out
    assert "tags      plain text" in out
