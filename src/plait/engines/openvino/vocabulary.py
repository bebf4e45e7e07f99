"""Text to tokens and back, by OpenVINO's tokenizer and by what the file says of its tokens.

A table of bytes, one entry a token, gives the way back: a stream then costs a lookup a token. On
the way there, tokens that stand for themselves (tags, control tokens) are cut out here, the longest
one first: of a GGUF file's, OpenVINO takes the one with the smallest id, which is wrong where one
begins as another does. For a folder in its own format its word is taken.
"""

from __future__ import annotations

import re

from plait.engines.local import whole
from plait.engines.openvino.gguf import Head
from plait.engines.openvino.pipeline import Tokenizer
from plait.errors import UsageError

_SAMPLE = 64
"""Tokens whose text is compared with what OpenVINO makes of them."""


class Vocabulary:
    """See the module's docstring. Raises `UsageError` where the table and OpenVINO differ."""

    def __init__(self, tokenizer: Tokenizer, head: Head | None, eos: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._added = head.added if head else {}
        longest = sorted(self._added, key=len, reverse=True)
        self._cut = re.compile("|".join(map(re.escape, longest))) if longest else None
        self.eos = eos
        self.bos = tokenizer.get_bos_token_id()
        self._opens = self.bos >= 0 and (head.adds_begin if head else self._adds_begin())
        self.pieces = _pieces(tokenizer)
        self._check()
        for token in (*eos, self.bos, tokenizer.get_pad_token_id()):
            if 0 <= token < len(self.pieces):
                self.pieces[token] = b""
        self.texts = [whole(piece) for piece in self.pieces]

    def encode(self, text: str, *, opening: bool = False) -> list[int]:
        """Token ids of ``text``. If it opens a context, one begin-of-text token stands in front
        where the model wants it."""
        ids: list[int] = []
        at = 0
        for match in self._cut.finditer(text) if self._cut else ():
            ids += self._plain(text[at : match.start()])
            ids.append(self._added[match[0]])
            at = match.end()
        ids += self._plain(text[at:])
        return [self.bos, *ids] if opening and self._opens and ids[:1] != [self.bos] else ids

    def _plain(self, text: str) -> list[int]:
        if not text:
            return []
        found = self._tokenizer.encode(text, add_special_tokens=False)
        ids: list[int] = found.input_ids.data[0].tolist()
        return ids

    def _adds_begin(self) -> bool:
        found = self._tokenizer.encode("a", add_special_tokens=True)
        return bool(found.input_ids.data[0][0] == self.bos)

    def _check(self) -> None:
        """Does the table say what OpenVINO says? Not of white space, which some tokenizers tidy."""
        good = [i for i, piece in enumerate(self.pieces) if piece and whole(piece) is not None]
        sample = good[:: max(1, len(good) // _SAMPLE)]
        ours = b"".join(self.pieces[i] for i in sample).decode()
        theirs = self._tokenizer.decode(sample, skip_special_tokens=False)
        if "".join(theirs.split()) != "".join(ours.split()):
            raise UsageError("the tokenizer of this model has no text for each single token",
                             hint="Byte-level tokenizers (as of Llama 3 and Qwen) are known to"
                                  " work. Serve this model with llama.cpp or vLLM.")


def _pieces(tokenizer: Tokenizer) -> list[bytes]:
    """The bytes of each token. Where two share their bytes, the vocabulary names only one."""
    known = {token: piece for piece, token in tokenizer.get_vocab().items()}
    return [known[i] if i in known else tokenizer.decode([i], skip_special_tokens=False).encode()
            for i in range(max(known, default=-1) + 1)]
