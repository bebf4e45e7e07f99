"""Where the answer stands in a text that was thought out loud."""

import pytest

from plait.core.reading import read_between, split_thoughts

TAGS = ("<s>", "</s>")


@pytest.mark.parametrize(("text", "plain", "thoughts", "alone", "inside"), [
    ("<s>a</s> b ", "b", "b", "b", "a"),
    ("<s>a</s>\n", None, None, "a", "a"),
    ("<s>a", "<s>a", None, "<s>a", "a"),
    ("a", "a", "a", "a", None),
    ("<s>a</s>b<s>c</s>d", "d", "d", "d", "c"),
    ("a</s>b", "b", "b", "b", None),
    ("", None, None, None, None),
])
def test_an_answer_is_read_as_its_format_says(
    text: str, plain: str | None, thoughts: str | None, alone: str | None, inside: str | None
) -> None:
    assert read_between(text, TAGS) == plain
    assert read_between(text, TAGS, thoughts=True) == thoughts
    assert read_between(text, TAGS, alone=True) == alone
    assert read_between(text, TAGS, inside=True) == inside


@pytest.mark.parametrize(("text", "parts"), [
    ("<think>a</think>\nb", ("a", "b")), ("a</think>b", ("a", "b")), (" b ", ("", "b")),
    ("<think>never ends", ("never ends", "")), ("b<think>late", ("late", "b")), ("", ("", "")),
])
def test_thoughts_and_words_are_told_apart(text: str, parts: tuple[str, str]) -> None:
    assert split_thoughts(text) == parts
