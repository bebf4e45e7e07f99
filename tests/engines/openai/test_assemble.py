"""Pieces of a stream become chunks in which every token counts once and every stop is there."""

import pytest

from plait.core import Chunk, Sampling, Usage
from plait.engines.openai.assemble import Assembler, guess_stop
from plait.engines.openai.dialects import GENERIC, LLAMACPP, SGLANG, VLLM, Dialect
from plait.engines.openai.wire import Piece


def run(
    dialect: Dialect, pieces: list[Piece], sampling: Sampling | None = None, before: str = "",
    eos: str | None = None, word: str | None = None,
) -> list[Chunk]:
    """All chunks that ``pieces`` make. ``eos`` is known beforehand, ``word`` at the end."""
    assembler = Assembler(before, sampling or Sampling(), dialect, eos)
    chunks = [c for p in pieces if (c := assembler.take(p, word)) is not None]
    return [*chunks, assembler.last()]


def text(chunks: list[Chunk]) -> str:
    return "".join(c.text for c in chunks)


@pytest.mark.parametrize(
    ("stops", "before", "found"),
    [(("</Thread>",), "<Thread>\n1: x", "</Thread>"),
     (("</Thread>",), "no thread is open", None),
     (("</Thread>",), "<Thread>1</Thread> after it", None),
     (("</Thread>",), "<Thread>1</Thread><Thread>2", "</Thread>"),
     (("<End Calling Sub Searches>", "<Sub Searches>"), "<Calling Sub Searches>\n",
      "<End Calling Sub Searches>"),
     (("<End Calling Sub Searches>", "<Sub Searches>"), "no call", None),
     (("</A>", "</B>"), "<A> <B> inner", "</B>"),
     (("\n\n",), "a line", "\n\n"),
     (("\n\n", "END"), "a line", None)])
def test_a_stop_nobody_reports_is_guessed_from_open_tags(
    stops: tuple[str, ...], before: str, found: str | None
) -> None:
    assert guess_stop(stops, before) == found


def test_a_stop_that_was_cut_off_is_put_back() -> None:
    pieces = [Piece("one ", total=1), Piece("two", total=2),
              Piece(finish="stop", stop="END", stop_reported=True, total=3)]
    chunks = run(LLAMACPP, pieces, Sampling(stop=("END",)))
    assert text(chunks) == "one twoEND"
    assert (chunks[-1].finish, chunks[-1].stop) == ("stop", "END")


def test_a_stop_that_was_left_in_is_not_doubled() -> None:
    pieces = [Piece("one EN", ids=(1,)),
              Piece("D", ids=(2,), finish="stop", stop="END", stop_reported=True)]
    chunks = run(VLLM, pieces, Sampling(stop=("END",)))
    assert text(chunks) == "one END"


def test_what_follows_a_stop_inside_its_token_is_cut_with_its_ids() -> None:
    pieces = [Piece("one EN", ids=(1,)),
              Piece("D.\n", ids=(2,), finish="stop", stop="END", stop_reported=True)]
    chunks = run(SGLANG, pieces, Sampling(stop=("END",)))
    assert text(chunks) == "one END"
    assert chunks[0].ids == (1,)
    assert chunks[1].ids is None


def test_a_stop_that_is_one_token_keeps_its_id() -> None:
    pieces = [Piece("</Thread>", ids=(7,), finish="stop", stop="</Thread>", stop_reported=True)]
    assert run(VLLM, pieces, Sampling(stop=("</Thread>",)))[0].ids == (7,)


def test_the_end_of_text_token_is_counted_but_not_shown() -> None:
    pieces = [Piece("done", ids=(1,)),
              Piece("<|end|>", ids=(9,), finish="stop", stop_reported=True)]
    chunks = run(VLLM, pieces, word="<|end|>")
    assert text(chunks) == "done"
    assert sum(c.tokens for c in chunks) == 2
    assert [i for c in chunks for i in c.ids or ()] == [1]
    assert chunks[-1].finish == "eos"


def test_the_end_of_text_token_may_come_before_its_report() -> None:
    last = Piece(finish="stop", stop_reported=True, total=2)
    shown = [Piece("done", total=1), Piece("<|end|>", total=2)]
    assert text(run(LLAMACPP, [*shown, last], eos="<|end|>")) == "done"
    going_on = [*shown, Piece(" and on", total=3), last]
    assert text(run(LLAMACPP, going_on, eos="<|end|>")) == "done<|end|> and on"


def test_a_numeric_stop_is_the_end_of_text_unless_it_was_asked_for() -> None:
    piece = Piece("x", ids=(5,), finish="stop", stop=5, stop_reported=True)
    assert run(SGLANG, [piece])[-1].finish == "eos"
    chunks = run(SGLANG, [piece], Sampling(stop_ids=(5,)))
    assert (chunks[-1].finish, chunks[-1].stop) == ("stop", 5)


def test_stop_ids_are_watched_where_the_server_cannot() -> None:
    assembler = Assembler("", Sampling(stop_ids=(5,)), LLAMACPP)
    assembler.take(Piece("a", ids=(4,), total=1))
    assert not assembler.cut
    assembler.take(Piece("b", ids=(5,), total=2))
    assert assembler.cut
    assert assembler.last().stop == 5


def test_counts_are_exact_from_ids_log_probabilities_or_a_running_count() -> None:
    for piece in (Piece("ab", ids=(1, 2)), Piece("ab", logprobs=(-1.0, -2.0)),
                  Piece("ab", total=2)):
        chunk = run(VLLM, [piece])[0]
        assert (chunk.tokens, chunk.estimated) == (2, False)


def test_other_counts_are_estimates_that_the_usage_sets_right() -> None:
    pieces = [Piece("several words"), Piece(" more", finish="stop"),
              Piece(usage=Usage(3, 0, 7))]
    chunks = run(GENERIC, pieces)
    assert all(c.estimated for c in chunks[:-1])
    assert [c.tokens for c in chunks] == [1, 1, 5]
    assert chunks[-1].usage == Usage(3, 0, 7)


def test_without_a_usage_it_is_estimated() -> None:
    usage = run(GENERIC, [Piece("a"), Piece("b", finish="stop")], before="12345678")[-1].usage
    assert usage == Usage(2, 0, 2, estimated=True)


def test_a_length_below_the_limit_means_that_the_window_is_full() -> None:
    pieces = [Piece("a", ids=(1,)), Piece("b", ids=(2,), finish="length")]
    assert run(VLLM, pieces, Sampling(max_tokens=2))[-1].finish == "length"
    assert run(VLLM, pieces, Sampling(max_tokens=9))[-1].finish == "window"
    assert run(VLLM, pieces)[-1].finish == "window"
    guessed = [Piece("a"), Piece("b", finish="length")]
    assert run(GENERIC, guessed, Sampling(max_tokens=9))[-1].finish == "length"


def test_thoughts_stand_between_tags() -> None:
    pieces = [Piece(reasoning="hm"), Piece(reasoning="m"), Piece("yes", finish="stop")]
    assert text(run(GENERIC, pieces)) == "<think>hmm</think>yes"
    only = [Piece(reasoning="hm", finish="stop")]
    assert text(run(GENERIC, only)) == "<think>hm</think>"


def test_thoughts_that_were_cut_off_stay_open() -> None:
    pieces = [Piece(reasoning="hm", finish="length")]
    assert text(run(GENERIC, pieces, Sampling(max_tokens=1))) == "<think>hm"


def test_thoughts_that_the_prompt_began_are_not_opened_again() -> None:
    pieces = [Piece(reasoning="m"), Piece("yes", finish="stop")]
    assert text(run(GENERIC, pieces, before="<think>h")) == "m</think>yes"


def test_log_probabilities_are_given_only_when_asked_for() -> None:
    piece = Piece("a", logprobs=(-1.0,))
    assert run(VLLM, [piece])[0].logprobs is None
    assert run(VLLM, [piece], Sampling(logprobs=True))[0].logprobs == (-1.0,)
