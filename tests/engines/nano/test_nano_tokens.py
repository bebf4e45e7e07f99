"""Text to ids and back, and the stop strings on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.engines.batching import Vocabulary
from plait.engines.local import Detokenizer
from plait.engines.nano.vocabulary import read_vocabulary
from plait.errors import UsageError
from tests.engines.nano.tiny import Tiny


@pytest.fixture(scope="module")
def vocabulary(tiny: Tiny) -> Vocabulary:
    return read_vocabulary(tiny.folder, 280, (1,))


def test_an_opening_starts_with_the_begin_token(vocabulary: Vocabulary) -> None:
    assert vocabulary.encode("a", opening=True) == [0, *vocabulary.encode("a")]


def test_any_text_comes_back(tiny: Tiny) -> None:
    vocabulary = read_vocabulary(tiny.folder, 280, ())

    @settings(max_examples=50, deadline=None)
    @given(st.text(max_size=20))
    def check(text: str) -> None:
        ids = vocabulary.encode(text)
        stream = Detokenizer(vocabulary, ())
        assert "".join(stream.feed(i)[0] for i in ids) + stream.flush() == text

    check()


def test_tags_are_text_and_frames_are_not(vocabulary: Vocabulary) -> None:
    ids = vocabulary.encode("<Thread>x</Thread>")
    assert len(ids) == 3
    stream = Detokenizer(vocabulary, ())
    assert "".join(stream.feed(i)[0] for i in [0, *ids, 2, 1]) == "<Thread>x</Thread>"


def test_text_is_held_back_only_while_a_character_is_incomplete(vocabulary: Vocabulary) -> None:
    first, second, third = vocabulary.encode("é!")
    stream = Detokenizer(vocabulary, ())
    assert stream.feed(first)[0] == ""
    assert stream.holds
    assert stream.feed(second)[0] == "é"
    assert stream.feed(third)[0] == "!"
    stream.feed(first)
    assert stream.flush() == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(("text", "stops", "found"), [
    ("one two", ("two",), ("two", "one two")),
    ("aab", ("ab", "aa"), ("aa", "aa")),
    ("é é", (" é",), (" é", "é é")),
    ("</Thread> x", ("Thread>",), ("Thread>", "</Thread>")),
    ("<Thread>", ("<Th",), ("<Th", "<Th")),
    ("nothing", ("no!",), (None, "nothing")),
])
def test_a_stop_is_found_over_token_borders(
    vocabulary: Vocabulary, text: str, stops: tuple[str, ...], found: tuple[str | None, str]
) -> None:
    stream, kept = Detokenizer(vocabulary, stops), ""
    for token in vocabulary.encode(text):
        piece, stop, beyond = stream.feed(token)
        kept += piece[: len(piece) - beyond]
        if stop is not None:
            break
    assert (stop, kept) == found


def test_sentence_piece_tokens_become_text(tmp_path: Path) -> None:
    spec = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None,
        "added_tokens": [], "pre_tokenizer": None, "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "vocab": {"▁hi": 0, "<0xC3>": 1, "<0xA9>": 2}, "merges": []},
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
    assert read_vocabulary(tmp_path, 3, ()).pieces == [b" hi", b"\xc3", b"\xa9"]
    spec["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(UsageError, match="WordPiece"):
        read_vocabulary(tmp_path, 3, ())


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_vocabulary(tmp_path, 3, ())
