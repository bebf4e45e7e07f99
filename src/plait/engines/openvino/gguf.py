"""What the head of a GGUF file says: of the model, of its tokens, of the types of its tensors.

The layout is that of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 2 and 3,
little endian: magic, version, counts of tensors and of entries; entries (key, type, value);
tensors (name, dimensions, type, offset); their data. Of the arrays, only those that say what the
tokens are become values: the others may hold hundreds of thousands of strings, and are passed over.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from plait.errors import UsageError

Value = int | float | bool | str | list[int] | list[bytes]

TOKENS, KINDS = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
CONTROL, USER_DEFINED = 3, 4
"""Kinds of tokens that stand for themselves in any text."""
_ARRAYS = (TOKENS, KINDS)
_STRING, _ARRAY = 8, 9
_NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q",
            11: "<q", 12: "<d"}
_TENSORS = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210), 30: ("BF16", 1, 2)}
"""Type -> its name, how many values a block holds, and how many bytes it takes."""


@dataclass(frozen=True, slots=True)
class Head:
    """``values``: the entries by their keys; ``types``: how the matrices are stored."""

    values: dict[str, Value]
    types: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the file calls its model; empty if it does not."""
        return str(self.values.get("general.name", ""))

    @property
    def window(self) -> int | None:
        """Tokens that a context may hold."""
        found = self.values.get(f"{self.values.get('general.architecture')}.context_length")
        return found if isinstance(found, int) else None

    @property
    def adds_begin(self) -> bool:
        """Does a context open with the begin-of-text token?"""
        return bool(self.values.get("tokenizer.ggml.add_bos_token"))

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end a text or a turn."""
        found = (self.values.get(f"tokenizer.ggml.{n}_token_id") for n in ("eos", "eot"))
        return frozenset(i for i in found if isinstance(i, int))

    @property
    def added(self) -> dict[str, int]:
        """The tokens that stand for themselves in any text, with their ids."""
        tokens, kinds = self.values.get(TOKENS, []), self.values.get(KINDS, [])
        assert isinstance(tokens, list)
        assert isinstance(kinds, list)
        return {t.decode("utf-8", "replace"): i
                for i, (t, kind) in enumerate(zip(tokens, kinds, strict=False))
                if kind in (CONTROL, USER_DEFINED) and isinstance(t, bytes) and t}


def read_head(path: Path) -> Head:
    """The head of the file ``path``. Raises `UsageError` if it is no GGUF file, or not whole."""
    try:
        with path.open("rb") as file, mmap.mmap(
                file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(path, data).head()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (struct.error, ValueError, KeyError, OverflowError) as error:
        raise UsageError(f"{path} is no whole GGUF file ({error})",
                         hint="It may be cut off: fetch it again.") from None


class _Reader:
    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path = path
        self._data = data
        self._at = 0

    def head(self) -> Head:
        if self._data[:4] != b"GGUF":
            raise UsageError(f"{self._path} is no GGUF file: it does not begin with `GGUF`")
        self._at = 4
        version = self._number("<I")
        if version not in (2, 3):
            raise UsageError(f"{self._path} is a GGUF file of version {version}, not 2 or 3",
                             hint="Write it anew with a current tool.")
        tensors, entries = int(self._number("<Q")), int(self._number("<Q"))
        values: dict[str, Value] = {}
        for _ in range(entries):
            key = self._string().decode()
            value = self._value(int(self._number("<I")), key in _ARRAYS)
            if value is not None:
                values[key] = value
        alignment = values.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise ValueError(f"its alignment is {alignment!r:.20}")
        return Head(values, self._tensors(tensors, alignment))

    def _tensors(self, count: int, alignment: int) -> tuple[str, ...]:
        """The types of all matrices. Raises `ValueError` if the file ends before their data do."""
        names: set[str] = set()
        end = 0
        for _ in range(count):
            self._string()
            sizes = [int(self._number("<Q")) for _ in range(int(self._number("<I")))]
            kind, offset = int(self._number("<I")), int(self._number("<Q"))
            name, block, width = _TENSORS.get(kind, (f"type {kind}", 1, 0))
            length = width
            for size in sizes:
                length *= size
            end = max(end, offset + length // block)
            if len(sizes) > 1:
                names.add(name)
        start = -(-self._at // alignment) * alignment
        if start + end > len(self._data):
            raise ValueError(f"{start + end} bytes are announced, {len(self._data)} are there")
        return tuple(sorted(names))

    def _value(self, kind: int, wanted: bool) -> Value | None:
        if kind == _STRING:
            return self._string().decode("utf-8", "replace")
        if kind != _ARRAY:
            return self._number(_NUMBERS[kind])
        kind, count = int(self._number("<I")), int(self._number("<Q"))
        if kind == _STRING:
            if wanted:
                return [self._string() for _ in range(count)]
            for _ in range(count):
                self._string()
            return None
        if kind == _ARRAY:
            raise ValueError("an array of arrays")
        form = _NUMBERS[kind]
        if not wanted:
            self._at += count * struct.calcsize(form)
            return None
        return [int(self._number(form)) for _ in range(count)]

    def _number(self, form: str) -> int | float | bool:
        value: int | float | bool = struct.unpack_from(form, self._data, self._at)[0]
        self._at += struct.calcsize(form)
        return value

    def _string(self) -> bytes:
        size = int(self._number("<Q"))
        if self._at + size > len(self._data):
            raise ValueError("a text reaches beyond the end of the file")
        self._at += size
        return self._data[self._at - size : self._at]
