"""What `--engine hf:...` says. Needs neither PyTorch nor transformers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from plait.engines.transformers.spec import Spec
from plait.errors import UsageError
from plait.registry import make_engine


def test_a_folder_and_options(tmp_path: Path) -> None:
    assert Spec.parse(f"hf:{tmp_path}") == Spec(str(tmp_path))
    said = Spec.parse(f"hf:{tmp_path}:dtype=bfloat16:device=cuda:1:memory=4096")
    assert said == Spec(str(tmp_path), "bfloat16", "cuda:1", 4096)


def test_a_name_of_the_hub_needs_no_folder() -> None:
    assert Spec.parse("hf:Qwen/Qwen3-0.6B").where == "Qwen/Qwen3-0.6B"
    assert Spec.parse("hf:gpt2:dtype=float32") == Spec("gpt2", "float32")


@pytest.mark.parametrize(("text", "words"), [
    ("hf:", "names no model"),
    ("hf:/no/such/model", "no folder `/no/such/model`"),
    ("hf:./model", "no folder `./model`"),
    ("hf:a/b/c", "no folder `a/b/c`"),
    ("hf:gpt2:dtype=int4", "float32, bfloat16, float16"),
    ("hf:gpt2:memory=1.5", "whole number"),
    ("hf:gpt2:memory=0", "above 0"),
    ("hf:gpt2:threads=3", "`threads` in `hf:gpt2:threads=3` is no option"),
])
def test_what_cannot_be_meant_is_one_clear_line(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_engine(text)
    assert words in caught.value.line
    assert "\n" not in caught.value.line


def test_the_model_is_named_once() -> None:
    with pytest.raises(UsageError, match="names its model already"):
        make_engine("hf:gpt2", "other")


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.startswith("plait.engines.transformers.")]:
        if not name.endswith(".spec"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError) as caught:
        make_engine("hf:gpt2")
    assert caught.value.line == (
        "this engine needs torch. Install it: pip install 'plait[transformers]'.")
