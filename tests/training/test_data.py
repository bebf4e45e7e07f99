"""The tokens of plait-nano: texts cut as a run cuts them are the tokens that it was trained on.

A run encodes its prompts, the model's chunks and what the runtime inserts one by one, training
encodes larger pieces; both must be what the whole text encodes to.
"""

import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from random import Random

import pytest
from tokenizers import Tokenizer

from plait.core import Outcome
from plait.interfaces import Fork
from plait.protocols import APR, ThreadWeaver
from plait.puzzles import Problem, generate, sheet_trace
from plait.puzzles.countdown import operations
from plait.puzzles.countdown_text import child_prompt, render
from plait.puzzles.countdown_trace import (
    LOOK,
    apr_calls,
    apr_final,
    apr_joined,
    quick_look,
    search3,
    sequential4,
)
from plait.puzzles.sheet import generate as generate_sheets
from plait.puzzles.sheet_text import render as render_sheet
from training.data import SHARES, WRITERS, Stream, collate, encode
from training.tokenizer import BOS, EOS, LARGEST, PAD, PHRASES, build, load, numbers

Context = list[str | Outcome]
"""A context of a run in the pieces in which it is encoded; an Outcome's text is a model's."""

THREES = [*islice(generate(31, 3, "natural"), 30), *islice(generate(31, 3, "unsolvable"), 15)]
FOURS = [*islice(generate(31, 4, "natural"), 6), *islice(generate(31, 4, "hard"), 4),
         *islice(generate(31, 4, "unsolvable"), 4)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return build()


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def said(text: str) -> Outcome:
    return Outcome("done", text)


def sequential_contexts() -> Iterator[Context]:
    for problem in THREES:
        for dialect in ("sequential", "apr"):
            yield [render(problem, dialect), said(search3(problem).text)]
    for problem in FOURS:
        yield [render(problem, "sequential"), said(sequential4(problem).text)]


def apr_contexts() -> Iterator[Context]:
    for problem in FOURS:
        prompt = render(problem, "apr")
        look = quick_look(problem)
        if look.path is not None:
            yield [prompt, said(look.text)]
            continue
        yield [prompt, said(look.text + apr_calls(problem))]
        for k, move in enumerate(operations(problem.numbers)[LOOK:]):
            state = Problem(problem.target, move.state)
            yield [child_prompt(state, (move.text,), k), said(search3(state, (move.text,)).text)]
        joined = apr_joined(problem)
        machine = APR(prompt)
        said_so_far = look.text + apr_calls(problem)
        forks = [e for e in machine.feed(said_so_far) if isinstance(e, Fork)]
        splice = machine.join(forks, [None] * len(forks))
        assert splice.since == len(look.text)
        yield [prompt, said(look.text), splice.text, said(apr_final(problem, None))]
        yield [prompt, said(look.text), joined.text, said(apr_final(problem, joined.path))]


def sheet_contexts() -> Iterator[Context]:
    for width in (1, 2, 5, 16):
        for sheet in islice(generate_sheets(31, width), 4):
            yield [render_sheet(sheet, "sequential"), said(sheet_trace.sequential(sheet))]
            prompt = render_sheet(sheet, "threadweaver")
            if width == 1:
                yield [prompt, said(sheet_trace.alone(sheet))]
                continue
            plan, written = sheet_trace.outlines(sheet), sheet_trace.threads(sheet)
            for n, text in enumerate(written, start=1):
                yield [prompt, said(plan), sheet_trace.thread_header(n), said(text)]
            machine = ThreadWeaver(prompt)
            forks = [e for e in machine.feed(plan) if isinstance(e, Fork)]
            splice = machine.join(forks, [said(text) for text in written])
            yield [prompt, said(plan), *splice.parts, said(sheet_trace.final(sheet))]
            cut = machine.join(forks, [Outcome("budget", written[0][:9]), *[None] * (width - 1)])
            yield [prompt, said(plan), *cut.parts, said(sheet_trace.final(sheet))]


CONTEXTS = [sequential_contexts, apr_contexts, sheet_contexts]


@pytest.mark.parametrize("contexts", CONTEXTS)
def test_the_pieces_of_a_run_encode_to_the_ids_of_the_whole_text(
    tokenizer: Tokenizer, contexts: object
) -> None:
    for context in contexts():  # type: ignore[operator]
        texts = [p if isinstance(p, str) else p.text for p in context]
        pieces = [i for text in texts for i in ids_of(tokenizer, text)]
        assert pieces == ids_of(tokenizer, "".join(texts)), context


@pytest.mark.parametrize("contexts", CONTEXTS)
def test_what_the_model_writes_may_be_cut_after_any_token(
    tokenizer: Tokenizer, contexts: object
) -> None:
    """Each token is whole text by itself, and the text so far encodes to the tokens so far."""
    for context in islice(contexts(), 0, None, 5):  # type: ignore[operator]
        text = next(p.text for p in context if isinstance(p, Outcome))
        ids = ids_of(tokenizer, text)
        words = [tokenizer.decode([i], skip_special_tokens=False) for i in ids]
        assert "".join(words) == text
        assert [ids_of(tokenizer, w) for w in words] == [[i] for i in ids]
        for n in range(1, len(ids), 7):
            assert ids_of(tokenizer, "".join(words[:n])) == ids[:n]


@pytest.mark.parametrize("kind", SHARES)
def test_training_documents_are_encoded_as_the_whole_text_is(
    tokenizer: Tokenizer, kind: str
) -> None:
    random = Random(f"test/{kind}")
    bos, eos = (tokenizer.token_to_id(t) for t in (BOS, EOS))
    for _ in range(3 if kind == "sequential" else 20):
        pieces = WRITERS[kind](random)
        document = encode(tokenizer, kind, pieces, 1 << 20)
        for leaf in {branch for _, _, branch in pieces}:
            text = "".join(t for t, _, branch in pieces if branch in (0, leaf))
            ids = [i for i, b in zip(document.ids, document.branch, strict=True) if b in (0, leaf)]
            whole = [bos, *ids_of(tokenizer, text)]
            ends = leaf == pieces[-1][2]  # what comes before it ends in a stop string
            assert ids == [*whole, *([eos] if ends else [])], (kind, leaf)


@pytest.mark.parametrize("kind", SHARES)
def test_only_what_the_model_writes_is_learned(tokenizer: Tokenizer, kind: str) -> None:
    pieces = WRITERS[kind](Random(f"loss/{kind}"))
    document = encode(tokenizer, kind, pieces, 1 << 20)
    learned = [i for i, counts in zip(document.ids, document.loss, strict=True)
               if counts and i != tokenizer.token_to_id(EOS)]
    ours = "".join(text for text, ours, _ in pieces if ours)
    assert tokenizer.decode(learned, skip_special_tokens=False) == ours
    batch = collate([document], tokenizer.token_to_id(PAD))
    assert batch.tokens == len(document.ids)
    assert (batch.branch is not None) == kind.endswith("woven")


def test_kinds_get_their_share_of_the_tokens_also_after_the_mix_changes(
    tokenizer: Tokenizer,
) -> None:
    stream = Stream(tokenizer, "test", cap=300)
    even, other = ({"s3": 0.6, "apr_join": a, "apr_call": 0.4 - a} for a in (0.2, 0.3))
    stream.shares = dict(even)
    for shares in (even, other):
        stream.mix(shares)
        given = dict.fromkeys(shares, 0)
        for batch in islice(stream, 60):
            given[batch.kind] += batch.tokens
        for kind, share in shares.items():
            assert given[kind] / sum(given.values()) == pytest.approx(share, abs=0.05)


def test_numbers_and_tags_are_single_tokens(tokenizer: Tokenizer) -> None:
    found = numbers(tokenizer)
    assert len(set(found)) == LARGEST + 1
    for n, token in enumerate(found):
        assert ids_of(tokenizer, str(n)) == [token]
        assert ids_of(tokenizer, f"{n}.{n}!")[0] == token
        assert ids_of(tokenizer, f" {n}:")[-2] == token
    for phrase in PHRASES:
        assert len(ids_of(tokenizer, phrase)) == 1, phrase
    assert [tokenizer.token_to_id(t) for t in (BOS, EOS, PAD)] == [0, 1, 2]


def test_no_token_holds_a_digit_beside_another_character(tokenizer: Tokenizer) -> None:
    """So that no merge can reach over the place where two pieces meet beside a number."""
    for token in tokenizer.get_vocab():
        digits = sum(c.isdigit() and c.isascii() for c in token)
        assert digits in (0, len(token)) or token in PHRASES


def test_any_text_comes_back_from_its_tokens(tokenizer: Tokenizer) -> None:
    for text in ("", "Grüße, 世界 🎈", "<Thread", "200 1999 123456", "a  b\n\n c\t", "it's 5's"):
        assert tokenizer.decode(ids_of(tokenizer, text), skip_special_tokens=False) == text


def test_the_tokenizer_is_always_the_same(tokenizer: Tokenizer, tmp_path: object) -> None:
    path = tmp_path / "tokenizer.json"  # type: ignore[operator]
    tokenizer.save(str(path))
    assert load(path).to_str() == build().to_str()


def test_a_line_of_a_search_is_short(tokenizer: Tokenizer) -> None:
    assert len(ids_of(tokenizer, "33+32=65 65 12:77.53.\n")) == 15


def test_data_and_tokenizer_need_no_torch() -> None:
    code = "import sys, training.data, training.tokenizer; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
