"""Text to token ids and back: a Hugging Face tokenizer.

The way back is a table of bytes, one entry a token, made once: a stream then costs a lookup a
token. The tokens that frame a text (begin, end, padding) have no text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from plait.engines.local import whole
from plait.engines.nano.config import read_json
from plait.errors import UsageError

_FRAMES = ("bos_token", "eos_token", "pad_token")
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Vocabulary:
    """A Hugging Face tokenizer. ``pieces[id]`` are the bytes of a token."""

    def __init__(self, folder: Path, size: int, eos: Sequence[int]) -> None:
        path = folder / "tokenizer.json"
        spec = read_json(path)
        settings_path = folder / "tokenizer_config.json"
        settings = read_json(settings_path) if settings_path.exists() else {}
        try:
            self._tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UsageError(f"{path} is not a tokenizer ({error})") from None
        frames = {name: self._frame(settings.get(name)) for name in _FRAMES}
        self.bos = frames["bos_token"] if settings.get("add_bos_token") else None
        ends = {*eos, frames["eos_token"]}
        self.eos = frozenset(i for i in ends if i is not None)
        silent = {*self.eos, *frames.values()}
        self.pieces = _pieces(path, spec, self._tokenizer, size)
        for token in silent:
            if token is not None and token < size:
                self.pieces[token] = b""
        self.texts = [whole(piece) for piece in self.pieces]
        """The text of each token; None for bytes that are only part of a character."""

    def _frame(self, value: object) -> int | None:
        text = value.get("content") if isinstance(value, dict) else value
        return self._tokenizer.token_to_id(text) if isinstance(text, str) else None

    def encode(self, text: str, *, opening: bool = False) -> list[int]:
        """Token ids of ``text``, after the begin-of-text token if it opens a context."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [self.bos, *ids] if opening and self.bos is not None else ids


def _pieces(path: Path, spec: dict[str, object], tokenizer: Tokenizer, size: int) -> list[bytes]:
    decoder = spec.get("decoder")
    kinds = _kinds(decoder)
    added = {t["id"] for t in _dicts(spec.get("added_tokens"))}
    if "ByteLevel" in kinds:
        table = _byte_table()
        def piece(token: str) -> bytes:
            return bytes(table[c] for c in token) if all(c in table for c in token) \
                else token.encode()
    elif not kinds or kinds <= {"Fuse", "ByteFallback", "Replace", "Metaspace", "Strip"}:
        def piece(token: str) -> bytes:
            found = _BYTE.fullmatch(token)
            return bytes([int(found[1], 16)]) if found else token.replace("▁", " ").encode()
    else:
        raise UsageError(f"{path} decodes with {', '.join(sorted(kinds))}",
                         hint="The embedded engine knows byte-level and SentencePiece tokenizers.")
    pieces = []
    for number in range(size):
        token = tokenizer.id_to_token(number) or ""
        pieces.append(token.encode() if number in added else piece(token))
    return pieces


def _kinds(decoder: object) -> set[str]:
    if not isinstance(decoder, dict):
        return set()
    if decoder.get("type") == "Sequence":
        return {k for part in _dicts(decoder.get("decoders")) for k in _kinds(part)}
    return {str(decoder.get("type"))}


def _dicts(value: object) -> list[dict[str, object]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def _byte_table() -> dict[str, int]:
    """GPT-2's letters for bytes: printable bytes stand for themselves, the others, in order, are
    written as the characters from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(b): b for b in plain}
    rest = (b for b in range(256) if b not in set(plain))
    table.update({chr(256 + k): b for k, b in enumerate(rest)})
    return table
