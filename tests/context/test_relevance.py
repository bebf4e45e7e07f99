"""What a thread gets to see of a long text."""

from hypothesis import given
from hypothesis import strategies as st

from plait.context import relevant, slices
from plait.core import estimate_tokens


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

