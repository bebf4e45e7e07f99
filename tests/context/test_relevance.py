"""What a thread gets to see of a long text, and the order of a prompt's parts."""

from hypothesis import given
from hypothesis import strategies as st

from plait.context import asking, clip, relevant, slices
from plait.core import Message, Prompt, estimate_tokens


def test_a_clipped_text_keeps_both_ends_and_says_what_is_missing() -> None:
    text = "BEGIN " + "filler " * 500 + "END"
    short = clip(text, 100)
    assert short.startswith("BEGIN")
    assert short.endswith("END")
    assert f"about {estimate_tokens(text) - 100} tokens left out" in short
    assert clip("short", 100) == "short"


@given(st.text(max_size=400), st.integers(1, 60))
def test_a_clipped_text_is_never_longer_than_its_mark_and_its_limit(text: str, limit: int) -> None:
    assert estimate_tokens(clip(text, limit)) <= max(limit, 12)


@given(st.text(alphabet="ab \n", max_size=500), st.integers(1, 40))
def test_slices_cover_the_whole_text_in_order(text: str, limit: int) -> None:
    end = 0
    for piece in slices(text, limit):
        assert len(piece) <= limit * 4
        at = next(i for i in range(end, -1, -1) if text.startswith(piece, i)
                  and i + len(piece) >= end)
        assert at <= end
        end = max(end, at + len(piece))
    assert end == len(text)


def test_the_relevant_slices_are_those_that_share_rare_words_with_the_task() -> None:
    chapters = [f"chapter {n} tells of {name} and much else. " + "common words here. " * 20
                for n, name in enumerate(["walls", "roofs", "gardens", "windows", "cellars",
                                          "stairs", "kitchens", "towers"])]
    found = relevant("\n".join(chapters), "How many gardens are there, and common words?", 250)
    assert "gardens" in found
    assert "cellars" not in found
    assert estimate_tokens(found) <= 250


def test_instructions_stand_behind_the_question_so_that_siblings_share_it() -> None:
    chat = Prompt(messages=(Message("system", "Be brief."), Message("user", "Build a house.")))
    text = Prompt("Build a house.\n")
    for opening in (chat, text):
        prompts = [asking(opening, f"Do part {n}.") for n in (1, 2)]
        one, two = ("".join([*(m.content for m in p.messages), p.text]) for p in prompts)
        assert one.partition("1")[0] == two.partition("2")[0]
        assert one.partition("1")[0].endswith("Build a house.\n\nDo part ")
    assert asking(chat, "x").messages[0] == chat.messages[0]
    assert asking(Prompt(messages=(Message("assistant", "hi"),)), "x").messages[-1].role == "user"
