"""What the engine reads, and what it refuses to run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plait.engines.nano.blas import set_threads
from plait.engines.nano.config import read_shape
from plait.engines.nano.weights import read_weights
from plait.errors import UsageError
from tests.engines.nano.tiny import CONFIG, Tiny


def shape_of(folder: Path, **changes: object) -> object:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    return read_shape(folder)


@pytest.mark.parametrize(("changes", "words"), [
    ({"model_type": "qwen2"}, "qwen2"),
    ({"hidden_act": "gelu"}, "gelu"),
    ({"attention_bias": True}, "biases"),
    ({"rope_scaling": {"rope_type": "llama3"}}, "llama3"),
    ({"rope_scaling": {"type": "linear"}}, "linear"),
    ({"hidden_size": 0}, "hidden_size"),
    ({"num_key_value_heads": 3}, "cannot share"),
    ({"rms_norm_eps": "small"}, "rms_norm_eps"),
])
def test_a_model_that_would_be_computed_wrongly_is_refused(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        shape_of(tmp_path, **changes)


def test_both_places_of_the_rotary_base_are_read(tmp_path: Path) -> None:
    assert read_theta(tmp_path, rope_theta=5.0) == 5.0
    assert read_theta(tmp_path, rope_theta=None, rope_parameters={"rope_theta": 7.0}) == 7.0


def read_theta(folder: Path, **changes: object) -> float:
    config = {k: v for k, v in {**CONFIG, **changes}.items() if v is not None}
    (folder / "config.json").write_text(json.dumps(config))
    return read_shape(folder).theta


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_missing_or_broken_config_is_one_clear_line(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError) as caught:
        read_shape(tmp_path)
    assert "\n" not in caught.value.line


def test_weights_that_do_not_fit_the_config_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    source = tiny.folder / "model.safetensors"
    (tmp_path / "model.safetensors").write_bytes(source.read_bytes())
    cases: tuple[tuple[dict[str, object], str], ...] = (
        ({"hidden_size": 64}, "does not fit"),
        ({"num_hidden_layers": 3}, "lacks"),
        ({"tie_word_embeddings": False}, "lm_head"),
    )
    for changes, words in cases:
        shape_of(tmp_path, **changes)
        with pytest.raises(UsageError, match=words):
            read_weights(tmp_path, read_shape(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="not a safetensors file"):
        read_weights(tmp_path, read_shape(tiny.folder))
    with pytest.raises(UsageError, match="cannot be read"):
        read_weights(tmp_path / "nowhere", read_shape(tiny.folder))


def test_the_matrix_library_can_be_told_its_threads() -> None:
    assert set_threads(1) in (True, False)
