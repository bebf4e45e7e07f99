"""Profiles in files, and who uses them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from plait.core import Budget, EngineProfile, Finding, Request
from plait.deciding import decide_how
from plait.errors import UsageError
from plait.interfaces import Capabilities, Load
from plait.policy import Situation
from plait.solve import Runtime
from plait.survey import Profiles, name_of
from plait.testing import ScriptedEngine

PROFILE = EngineProfile(
    "http://127.0.0.1:8000", "tiny", "2026-11-25T16:00:00+00:00", window=4096, slots=16,
    kv_tokens=262144, step_seconds={1: 0.01, 32: 0.02}, prefill_tokens_per_second=1234.5,
    kind="vllm", version="0.32.0", plait="0.1.0",
    findings={"chat": Finding(True, "messages are answered"), "priority": Finding(None, "who?")})


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    profiles = Profiles(tmp_path / "not" / "yet")
    path = profiles.keep(PROFILE)
    assert path.name.startswith("127.0.0.1-8000-tiny-")
    assert profiles.find(PROFILE.server, "tiny") == PROFILE
    assert profiles.find(PROFILE.server, "other") is None
    assert profiles.find("http://127.0.0.1:8001", "tiny") is None
    profiles.keep(replace(PROFILE, slots=8))
    found = profiles.find(PROFILE.server, "tiny")
    assert found is not None
    assert found.slots == 8
    assert len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize("model", ["../../etc/passwd", "/models/a b.gguf", "x" * 500, "模型"])
def test_any_model_has_a_file_name(tmp_path: Path, model: str) -> None:
    profile = replace(PROFILE, model=model)
    assert Profiles(tmp_path).keep(profile).parent == tmp_path
    assert Profiles(tmp_path).find(profile.server, model) == profile


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', "\xff"])
def test_a_file_that_is_no_profile_is_a_mistake_that_says_what_to_do(
    tmp_path: Path, content: str
) -> None:
    profiles = Profiles(tmp_path)
    profiles.keep(PROFILE).write_text(content, encoding="latin-1")
    with pytest.raises(UsageError, match="is no profile of an engine") as error:
        profiles.find(PROFILE.server, PROFILE.model)
    assert error.value.hint.startswith("Remove it")


def test_a_file_of_another_format_counts_as_not_there(tmp_path: Path) -> None:
    profiles = Profiles(tmp_path)
    profiles.keep(PROFILE).write_text('{"format": 2, "speed": "great"}')
    assert profiles.find(PROFILE.server, PROFILE.model) is None


def test_the_name_of_an_engine(tmp_path: Path) -> None:
    assert name_of("nano") == "nano"
    assert name_of("http://user:secret@host:8000/v1/") == "http://host:8000"
    file = tmp_path / "model.gguf"
    file.touch()
    assert name_of(f"{tmp_path}/./model.gguf") == str(file)
    with pytest.raises(UsageError):
        name_of("http://")


def test_what_a_check_found() -> None:
    assert PROFILE.can("chat") is True
    assert PROFILE.can("priority") is None
    assert PROFILE.can("never made") is None


def test_a_policy_knows_the_slots_that_the_server_does_not_tell() -> None:
    situation = Situation(Capabilities(), Load(running=4), Budget(width=64), None, PROFILE)
    assert situation.width == 12
    assert f"profile={PROFILE.checked}" in situation.lines()
    told = Situation(Capabilities(slots=2), Load(), Budget(width=64), None, PROFILE)
    assert told.width == 2  # what the server says itself is newer


@pytest.mark.parametrize(("kind", "window", "used"), [
    ("", 4096, True), ("", 8192, False), ("vllm", 4096, False)])
def test_a_runtime_takes_what_is_kept_of_an_engine_that_is_still_the_same(
    kind: str, window: int, used: bool
) -> None:
    profile = replace(PROFILE, model="script", kind=kind, window=window, slots=3)
    asked: list[str] = []

    async def run() -> int:
        def find(model: str) -> EngineProfile:
            asked.append(model)
            return profile

        engine = ScriptedEngine(lambda prompt, sampling: "x", window=4096)
        async with Runtime(engine, profiles=find) as runtime:
            assert runtime.profile == (profile if used else None)
            step = runtime.limiter.pace.step
            assert (step.seconds(1) == pytest.approx(0.01)) is used
            decided = (await decide_how(engine, Request("?"), None, None, None, None,
                                        runtime.profile, step)).decision
            assert ("step_ms=10" in decided.inputs) is used
            return int(runtime.limiter.state.limit)

    assert (anyio.run(run) == 3) is used
    assert set(asked) == {"script"}
