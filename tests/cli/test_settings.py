"""Settings: three places, one name each, and errors that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from plait.cli.settings import KNOWN, Settings, load_settings
from plait.core import Budget, Directions, Sampling
from plait.errors import UsageError


def load(folder: Path, toml: str = "", env: dict[str, str] | None = None, **flags: object
         ) -> Settings:
    if toml:
        (folder / "plait.toml").write_text(toml, encoding="utf-8")
    return load_settings(flags, env or {}, folder)


def test_without_any_setting_the_embedded_engine_answers(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings == Settings()
    assert settings.engine == "nano"
    request = settings.request("q")
    assert (request.sampling, request.budget) == (Sampling(), Budget())


def test_flags_are_stronger_than_variables_and_those_than_the_file(tmp_path: Path) -> None:
    toml = 'engine = "a"\nmodel = "a"\nwidth = 1\nseconds = 2'
    env = {"PLAIT_ENGINE": "b", "PLAIT_MODEL": "b", "PLAIT_SECONDS": "0.5", "HOME": "/"}
    settings = load(tmp_path, toml, env, engine="c", model=None)
    assert (settings.engine, settings.model, settings.width) == ("c", "b", 1)
    assert settings.seconds == 0.5


def test_every_setting_reaches_the_request(tmp_path: Path) -> None:
    toml = ("seed = 3\ntemperature = 0.5\nmax_tokens = 7\ntotal_tokens = 8\ncritical_tokens = 9\n"
            "seconds = 1.5\nwidth = 10\ndepth = 2")
    request = load(tmp_path, toml).request("q")
    assert (request.seed, request.sampling) == (3, Sampling(temperature=0.5, max_tokens=7))
    assert request.budget == Budget(total_tokens=8, critical_tokens=9, seconds=1.5, width=10,
                                    depth=2)


def test_directions_and_roles_are_settings_like_others(tmp_path: Path) -> None:
    toml = ('attempts = 5\nmerge = "vote"\nverify = "judge"\nprompts = "reasoning"\n'
            'rounds = "4, 2,1"\nplan = "judge"\nwindow = 900\n'
            'roles = "judge=http://a/v1 qwen 3, merger=nano"')
    settings = load(tmp_path, toml)
    assert settings.request("q").directions == Directions(5, "vote", "judge", "reasoning",
                                                          rounds=(4, 2, 1), plan="judge",
                                                          window=900)
    assert settings.engines() == {"judge": ("http://a/v1", "qwen 3"), "merger": ("nano", None)}
    (tmp_path / "plait.toml").unlink()
    assert load(tmp_path).request("q").directions == Directions()
    assert load(tmp_path).engines() == {}


@pytest.mark.parametrize("roles", ["judge", "judge=", "cook=nano", "thread=nano", "=nano"])
def test_roles_that_name_no_engine_are_one_clear_error(tmp_path: Path, roles: str) -> None:
    with pytest.raises(UsageError) as error:
        load(tmp_path, roles=f"merger=nano, {roles}").engines()
    assert error.value.line == (
        f"`roles` has {roles!r}, which names no role's engine. Say ROLE=ENGINE MODEL, with a role"
        " of planner, worker, merger, judge.")


@pytest.mark.parametrize(("rounds", "says"), [
    ("8;4;1", "`rounds` is '8;4;1' but must be whole numbers. Say 8,4,1, for example."),
    ("8,4", "`rounds` is (8, 4) but must end in a round of 1 thread. Say 8, 4, 1, for example."),
])
def test_rounds_that_make_no_sense_are_one_clear_error(
    tmp_path: Path, rounds: str, says: str
) -> None:
    with pytest.raises(UsageError) as error:
        load(tmp_path, rounds=rounds).request("q")
    assert error.value.line == says


def test_the_environment_knows_every_setting(tmp_path: Path) -> None:
    text = {"str": "x", "int": "4", "float": "0.25"}
    env = {f"PLAIT_{name.upper()}": text[kind] for name, kind in KNOWN.items()}
    settings = load(tmp_path, env=env)
    assert {str(getattr(settings, name)) for name in KNOWN} == {"x", "4", "0.25"}


@pytest.mark.parametrize(("toml", "says"), [
    ("widht = 3", "`widht` in plait.toml is not a setting. The nearest known one is `width`."),
    ("[budget]\nwidth = 3", "`budget` in plait.toml is not a setting."),
    ('width = "3"', "`width` in plait.toml is '3' but must be a whole number"),
    ("width = true", "`width` in plait.toml is True but must be a whole number"),
    ("width = 1.0", "but must be a whole number"),
    ("seed = 99999999999999999999", "but must be a whole number"),
    ("seconds = nan", "`seconds` in plait.toml is nan but must be a number"),
    ("engine = 1", "`engine` in plait.toml is 1 but must be text"),
    ("width = ", "plait.toml is not valid TOML"),
    ('api_key = "x"', "`api_key` in plait.toml looks like a key. Keys are read from the"),
])
def test_a_wrong_file_is_an_error_that_names_the_place(
    tmp_path: Path, toml: str, says: str
) -> None:
    with pytest.raises(UsageError) as error:
        load(tmp_path, toml)
    assert says in error.value.line


@pytest.mark.parametrize(("name", "value", "says"), [
    ("PLAIT_WIDHT", "3", "the variable PLAIT_WIDHT is not a setting. The nearest known one is "
                         "`PLAIT_WIDTH`."),
    ("PLAIT_WIDTH", "many", "the variable PLAIT_WIDTH is 'many' but must be a whole number"),
    ("PLAIT_SECONDS", "inf", "the variable PLAIT_SECONDS is 'inf' but must be a number"),
])
def test_a_wrong_variable_is_an_error_that_names_it(
    tmp_path: Path, name: str, value: str, says: str
) -> None:
    with pytest.raises(UsageError) as error:
        load(tmp_path, env={name: value})
    assert error.value.line == says


def test_keys_and_empty_variables_are_no_settings(tmp_path: Path) -> None:
    env = {"PLAIT_API_KEY": "sk-1", "PLAIT_DEBUG": "1", "PLAIT_MODEL": ""}
    assert load(tmp_path, env=env) == Settings()


def test_a_value_out_of_range_is_an_error_of_the_request(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"`width` is -1 but must be above 0"):
        load(tmp_path, "width = -1").request("q")


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "plait.toml").mkdir()
    with pytest.raises(UsageError, match="Is a directory"):
        load(tmp_path)
    (tmp_path / "plait.toml").rmdir()
    (tmp_path / "plait.toml").write_bytes(b"model = '\xff'")
    with pytest.raises(UsageError, match="not valid TOML"):
        load(tmp_path)


def test_windows_are_set_by_model(tmp_path: Path) -> None:
    (tmp_path / "plait.toml").write_text('window = 4096\nwindows = "big=16384, small = 1024"\n')
    settings = load_settings({}, {}, tmp_path)
    request = settings.request("x")
    assert request.directions.window == 4096
    assert settings.fit(request, "big").directions.window == 16384
    assert settings.fit(request, "small").directions.window == 1024
    assert settings.fit(request, "other").directions.window == 4096


@pytest.mark.parametrize("text", ["big", "big=many", "=5"])
def test_a_window_of_no_model_is_a_usage_error(tmp_path: Path, text: str) -> None:
    settings = load_settings({"windows": text}, {}, tmp_path)
    with pytest.raises(UsageError, match="gives no model a value"):
        settings.fit(settings.request("x"), "big")
