"""A stream that breaks anywhere, and any number of times, comes to the same whole text."""

from hypothesis import given
from hypothesis import strategies as st

from plait.core import CallDelta, Chunk, Message, Prompt, Sampling, Usage
from plait.engines.pool.replay import Received, continued, later_seed

WORDS = st.lists(st.sampled_from(["a", "b ", "ab", "</a>", "<", "/", "a>", " "]), min_size=1,
                 max_size=30)
PROMPT = Prompt("Q: ", ids=(900, 901))


class Model:
    """Writes one text, one token a chunk, from wherever a prompt stands; every token's id is its
    place. ``silent``: tokens whose text comes with the next one, as half a character does."""

    def __init__(self, tokens: list[str], silent: frozenset[int] = frozenset()) -> None:
        self.tokens = tokens
        self.silent = silent
        self.asked: list[tuple[Prompt, Sampling]] = []

    def stream(self, prompt: Prompt, sampling: Sampling) -> list[Chunk]:
        self.asked.append((prompt, sampling))
        assert prompt.ids is not None
        start = len(prompt.ids) - len(PROMPT.ids or ())
        assert prompt.ids == (*PROMPT.ids, *range(start))  # type: ignore[misc]
        assert prompt.text == PROMPT.text + "".join(self.tokens[:start])
        chunks, text, held, finish, stop = [], "", "", "eos", None
        for place in range(start, len(self.tokens)):
            if sampling.max_tokens is not None and place - start >= sampling.max_tokens:
                break
            held += self.tokens[place]
            if place in self.silent:
                chunks.append(Chunk("", 1, (place,)))
                continue
            piece, held = held, ""
            whole = text + piece
            hits = [(whole.find(s) + len(s) - len(text), s) for s in sampling.stop if s in whole]
            if hits:
                end, stop = min(hits)
                finish = "stop"
                chunks.append(Chunk(piece[:end], 1, (place,) if end == len(piece) else None))
                break
            text += piece
            chunks.append(Chunk(piece, 1, (place,)))
        generated = sum(c.tokens for c in chunks)
        if finish == "eos" and generated == sampling.max_tokens:
            finish = "length"
        usage = Usage(len(prompt.ids), 0, generated)
        return [*chunks, Chunk(finish=finish, stop=stop, usage=usage)]  # type: ignore[arg-type]


def drive(model: Model, sampling: Sampling, cuts: list[int]) -> tuple[list[Chunk], Received]:
    """The chunks that come through, if the n-th call breaks after ``cuts[n]`` chunks."""
    received, given, left = Received(PROMPT, sampling), [], list(cuts)
    while True:
        source = model.stream(*received.rest())
        broken = bool(left) and left[0] < len(source)
        for chunk in source[: left.pop(0)] if broken else source:
            if (found := received.take(chunk)) is not None:
                given.append(found)
                if found.finish is not None:
                    return given, received
        if (last := received.cross()) is not None:
            return [*given, last], received
        left = left if broken else []


@given(WORDS, st.lists(st.integers(0, 12), max_size=5), st.sets(st.integers(0, 28)),
       st.sampled_from([(), ("</a>",), ("ab", "a>")]), st.sampled_from([None, 1, 7, 100]))
def test_any_cuts_give_the_whole_text_with_nothing_lost_or_doubled(
    words: list[str], cuts: list[int], silent: set[int], stop: tuple[str, ...], most: int | None
) -> None:
    silent -= {len(words) - 1}
    sampling = Sampling(stop=stop, max_tokens=most)
    whole, _ = drive(Model(words, frozenset(silent)), sampling, [])
    pieces, received = drive(Model(words, frozenset(silent)), sampling, cuts)
    assert "".join(c.text for c in pieces) == "".join(c.text for c in whole)
    assert (pieces[-1].finish, pieces[-1].stop) == (whole[-1].finish, whole[-1].stop)
    assert sum(c.tokens for c in pieces) == sum(c.tokens for c in whole)
    assert [c.finish for c in pieces[:-1]] == [None] * (len(pieces) - 1)
    ids = [i for c in pieces for i in c.ids or ()]
    assert ids == sorted(set(ids))
    last = pieces[-1].usage
    assert last is not None
    assert last.generated == sum(c.tokens for c in pieces)
    assert received.text == "".join(c.text for c in pieces)


def test_the_prompts_of_all_calls_are_counted() -> None:
    model = Model([f"{n} " for n in range(10)])
    pieces, _ = drive(model, Sampling(), [3, 4])
    assert [len(prompt.ids or ()) for prompt, _ in model.asked] == [2, 5, 9]
    assert pieces[-1].usage == Usage(2 + 5 + 9, 0, 10)


def test_what_is_left_of_a_limit_is_asked_for_with_another_seed() -> None:
    model = Model([f"{n} " for n in range(10)])
    drive(model, Sampling(max_tokens=8, temperature=1, seed=5), [3])
    (_, first), (_, second) = model.asked
    assert (first.max_tokens, second.max_tokens) == (8, 5)
    assert first.seed == 5
    assert second.seed == later_seed(5, 3) not in (5, later_seed(5, 4), later_seed(6, 3))


def test_a_text_without_ids_goes_on_as_text_behind_what_is_known_in_ids() -> None:
    assert continued(Prompt("ab"), "c", None) == Prompt("abc")
    assert continued(Prompt("ab"), "c", (7,)) == Prompt("abc", parts=("ab", (7,)))
    assert continued(Prompt("ab", ids=(1,)), "c", None) == Prompt("abc", parts=((1,), "c"))
    known = Prompt("ab", parts=("a", (2,)))
    assert continued(known, "c", (7,)) == Prompt("abc", parts=("a", (2,), (7,)))


def test_what_would_begin_anew_is_not_gone_on_with() -> None:
    ask = Prompt(messages=(Message("user", "?"),))
    schema = {"type": "object"}
    assert Received(ask, Sampling()).can_go_on
    assert Received(Prompt("text"), Sampling(schema=schema)).can_go_on  # no engine heeds it there
    assert not Received(ask, Sampling(schema=schema)).can_go_on
    assert not Received(Prompt("x"), Sampling(extra={"grammar": "root ::= x"})).can_go_on
    assert Received(Prompt("x"), Sampling(extra={"user": "me"})).can_go_on
    called = Received(ask, Sampling())
    called.take(Chunk(tokens=1, calls=(CallDelta(0, "1", "f"),)))
    assert not called.can_go_on
    blind = Received(Prompt(ids=(1, 2)), Sampling())
    blind.take(Chunk("x", 1))
    assert not blind.can_go_on
