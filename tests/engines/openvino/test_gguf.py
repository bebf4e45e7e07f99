"""The head of a GGUF file, as the project's own script writes it, and as it may be broken."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from plait.engines.nano import WEIGHTS
from plait.engines.openvino.gguf import read_head
from plait.errors import UsageError
from training.gguf import write_gguf


def test_a_head_says_what_the_model_is(nano_gguf: Path) -> None:
    head = read_head(nano_gguf)
    assert (head.name, head.window, head.types) == ("plait-nano", 4096, ("F16",))
    assert (head.adds_begin, head.ends) == (True, {1})
    assert head.added["<|begin|>"] == 0
    assert head.added["<Parallel>"] == 474


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_types_are_those_of_the_matrices(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(WEIGHTS, path, kind)
    assert read_head(path).types == (kind,)


def test_a_file_that_is_cut_off_anywhere_is_refused(nano_gguf: Path, tmp_path: Path) -> None:
    whole, path = nano_gguf.read_bytes(), tmp_path / "cut.gguf"
    for size in (3, 10, 30, 100, 5000, 20_000, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(UsageError, match=r"no whole GGUF file|no GGUF file"):
            read_head(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.gguf"
    for content, what in ((b"", "cannot|no whole"), (b"PK\3\4" * 9, "does not begin with `GGUF`"),
                          (b"GGUF\1\0\0\0" + b"\0" * 40, "of version 1")):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=what):
            read_head(path)


def test_a_damaged_head_is_read_or_refused(nano_gguf: Path, tmp_path: Path) -> None:
    whole, path = nano_gguf.read_bytes(), tmp_path / "damaged.gguf"
    random, refused = Random(1), 0
    for _ in range(50):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[random.randrange(12_000)] = random.choice((0, 1, 8, 9, 255))
        path.write_bytes(damaged)
        try:
            read_head(path)
        except UsageError:
            refused += 1
    assert 0 < refused < 50
