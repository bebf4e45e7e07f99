"""Text to token ids and back: a Hugging Face tokenizer.

The way back is a table of bytes, one entry a token, made once: a stream then costs a lookup a
token. The tokens that frame a text (begin, end, padding) have no text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection

from tokenizers import Tokenizer

from plait.engines.local import whole
from plait.errors import UsageError

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Vocabulary:
    """A tokenizer of the `tokenizers` library, for a model of ``size`` tokens.

    ``bos`` opens a context (None: nothing does), each of ``eos`` ends one; these and the
    ``silent`` ones have no text. ``pieces[id]`` are the bytes of a token. ``where`` names the
    tokenizer in messages. Raises `UsageError` for one that decodes in a way it does not know.
    """

    def __init__(
        self, tokenizer: Tokenizer, size: int, *, where: str, bos: int | None,
        eos: Collection[int], silent: Collection[int] = (),
    ) -> None:
        self._tokenizer = tokenizer
        self.bos = bos
        self.eos = frozenset(eos)
        self.pieces = _pieces(where, json.loads(tokenizer.to_str()), tokenizer, size)
        for token in {*self.eos, *silent}:
            if token < size:
                self.pieces[token] = b""
        self.texts = [whole(piece) for piece in self.pieces]
        """The text of each token; None for bytes that are only part of a character."""

    def encode(self, text: str, *, opening: bool = False) -> list[int]:
        """Token ids of ``text``, after the begin-of-text token if it opens a context."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [self.bos, *ids] if opening and self.bos is not None else ids


def _pieces(where: str, spec: dict[str, object], tokenizer: Tokenizer, size: int) -> list[bytes]:
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
        raise UsageError(f"{where} decodes with {', '.join(sorted(kinds))}",
                         hint="Known are byte-level and SentencePiece tokenizers.")
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
