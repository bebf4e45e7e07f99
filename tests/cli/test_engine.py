"""`plait engine check`: what is served, whether it fits, what it can do, and what is kept of it."""

import json
import os
import sys
from pathlib import Path

import anyio
import pytest

from plait.core import EngineProfile
from plait.survey import Profiles
from plait.testing.upstream import Upstream
from tests.cli.conftest import Shell
from tests.survey.served import Model, serving

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in, with the user's state below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


async def plait(*arguments: str) -> tuple[int, str, str]:
    """The command as a program of its own, since the server runs in this one's event loop."""
    done = await anyio.run_process([sys.executable, "-m", "plait.cli", *arguments], check=False,
                                   env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def free(upstream: Upstream, *arguments: str) -> tuple[int, str, str]:
    return await plait("engine", "check", upstream.url, "--free", *arguments)


async def test_a_server_is_described(folder: Path) -> None:
    async with Upstream("x", models=["bigai-NPR/NPR-4B"], window=20000) as upstream:
        upstream.spelled.add("<plan>")
        status, out, err = await free(upstream)
        assert (status, err) == (0, "")
        lines = dict(line.split(maxsplit=1) for line in out.splitlines() if line[0] != " ")
        assert lines["engine"] == f"{upstream.url} (vllm)"
        assert lines["model"] == "bigai-NPR/NPR-4B"
        assert lines["window"] == "20,000 tokens"
        assert lines["protocol"].startswith("npr: `bigai-NPR/NPR-4B` is taken for")
        assert lines["tags"] == "not single tokens: <plan> 6"
        assert lines["context"] == "trained on up to 30,000 tokens"
        assert out.count("warning ") == 2
        assert max(map(len, out.splitlines())) <= 80
        status, out, _ = await free(upstream, "--json")
        found = json.loads(out)
        assert (found["kind"], found["window"], found["protocol"]) == ("vllm", 20000, "npr")
        assert (found["tags"]["<plan>"], found["tags"]["<step>"]) == (6, 1)
        assert (found["trained_context"], len(found["warnings"])) == (30000, 2)
        assert upstream.calls.started == 0  # nothing was generated
    assert not (folder / "state").exists()  # and nothing kept


async def test_a_model_of_which_nothing_is_known_is_described_too(folder: Path) -> None:
    async with Upstream("x", dialect="generic") as upstream:
        status, out, _ = await free(upstream)
        assert status == 0
        assert "protocol  no wire format is known for the model `tiny`" in out
        status, out, _ = await free(upstream, "--protocol", "npr")
        assert "tags      8, the server does not tell how it cuts them" in out
        assert "warning   this kind of server is not known to show special tokens" in out


async def test_mistakes_are_one_line(folder: Path) -> None:
    async with Upstream("x", models=["a", "b"]) as upstream:
        status, _, err = await free(upstream)
        assert (status, err.count("\n")) == (2, 1)
        assert "serves 2 models: a, b" in err
        status, _, err = await free(upstream, "--model", "a", "--protocol", "nprr")
        assert (status, err.count("\n")) == (2, 1)
        url = upstream.url
    status, _, err = await plait("engine", "check", url)
    assert (status, err.count("\n")) == (3, 1)


def test_an_engine_without_a_server_is_described(shell: Shell) -> None:
    status, out, err = shell("engine", "check", "--free", "--protocol", "asyncthink")
    assert (status, err) == (0, "")
    assert "model     script" in out
    assert "tags      plain text" in out


async def test_what_is_found_is_said_kept_and_used(folder: Path) -> None:
    async with serving(Model(reports=False, reading=0.25), slots=2) as upstream:
        status, out, err = await plait("engine", "check", upstream.url)
        assert status == 0
        assert err.startswith("plait: this takes up to about ")
        lines = out.splitlines()
        assert "no   cached-token report     the cache was used, but nothing is said of it" in lines
        assert "streams           1        2" in lines
        assert any(line.startswith("advice    Start vLLM with --enable-prompt-tokens-details")
                   for line in lines)
        (path,) = (folder / "state" / "plait" / "engines").iterdir()
        assert out.endswith(f"{path}\n") or str(path.name) in out
        status, out, err = await plait(
            "solve", "hm", "--engine", upstream.url, "--policy", "threshold", "--explain", "-q",
            "--max-tokens", "9")
        assert "profile 20" in err
        assert "width 2" in err
        path.write_text("{}")
        status, _, err = await plait("solve", "hm", "--engine", upstream.url)
        assert (status, err.count("\n")) == (2, 1)
        assert "is no profile of an engine. Remove it" in err


async def test_a_profile_as_json_is_what_is_kept(folder: Path) -> None:
    async with serving(Model()) as upstream:
        status, out, _ = await plait("engine", "check", upstream.url, "--json", "--no-speed")
    found = json.loads(out)
    assert status == 0
    (path,) = (folder / "state" / "plait" / "engines").iterdir()
    kept = json.loads(path.read_text())
    assert {name: found[name] for name in kept} == kept
    assert found["findings"]["stop_strings"] == {"holds": True, "why": "ended at 'wor'"}
    assert found["step_seconds"] == {}
    assert found["generated_tokens"] > 0


def test_where_profiles_are_kept_is_a_setting(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "engine", "check", "--no-speed", "--json"
    monkeypatch.setenv("PLAIT_PROFILES", "here")
    status, out, _ = shell(*command)
    assert (status, json.loads(out)["kept"]) == (0, str(next(Path("here").iterdir())))
    monkeypatch.setenv("PLAIT_PROFILES", "none")
    status, out, _ = shell(*command)
    assert (status, json.loads(out)["kept"]) == (0, None)
    assert not Path("state").exists()


def test_a_folder_that_cannot_be_written_is_one_line(shell: Shell) -> None:
    Path("taken").write_text("")
    Path("plait.toml").write_text('profiles = "taken"')
    profile = EngineProfile("nano", "script", "2026-11-25")
    with pytest.raises(Exception, match=r"cannot write .*taken") as error:
        Profiles(Path("taken")).keep(profile)
    assert error.value.hint == "The setting `profiles` says where profiles are kept."
