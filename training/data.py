"""Training documents for plait-nano, made on the fly from the puzzle solver.

A document is a list of pieces, each with its author: loss is taken on the model's own tokens
only. ThreadWeaver documents hold a tree: the trunk (branch 0), one branch a thread, and a last
branch that reads the joined text; a token sees the trunk and its own branch, and its position
counts from where its branch left the trunk. So one row trains outlines, all threads and the end.

Problems with `is_held_out` never appear as the problem of a document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from tokenizers import Tokenizer

from plait.puzzles import sheet, sheet_trace
from plait.puzzles.countdown import Problem, draw, is_held_out, operations
from plait.puzzles.countdown_text import child_prompt, render
from plait.puzzles.countdown_trace import (
    CALLING,
    LOOK,
    Trace,
    apr_calls,
    apr_final,
    apr_joined,
    quick_look,
    search3,
    sequential4,
)
from plait.puzzles.sheet import Sheet
from plait.puzzles.sheet_text import render as render_sheet
from training.tokenizer import BOS, EOS

Piece = tuple[str, bool, int]
"""Text, whether the model writes it, and its branch."""

SHARES = {
    "s3": 0.12, "apr_call": 0.14, "apr_join": 0.06, "sequential": 0.23, "sheet": 0.17,
    "sheet_woven": 0.18, "recall": 0.06, "copy": 0.04,
}
"""Share of the tokens that each kind of document gets."""


@dataclass(frozen=True, slots=True)
class Document:
    """Ids with, for each, its branch and whether predicting it counts."""

    kind: str
    ids: list[int]
    loss: list[bool]
    branch: list[int]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one kind, padded on the right; `branch` is None where all rows are plain."""

    kind: str
    ids: np.ndarray
    loss: np.ndarray
    branch: np.ndarray | None
    tokens: int


def _fresh(random: Random, size: int, chances: dict[str, float]) -> Problem:
    tier = random.choices(list(chances), list(chances.values()))[0]
    while True:
        problem = draw(random, size, tier)  # type: ignore[arg-type]
        if not is_held_out(problem):
            return problem


def _search3(random: Random) -> list[Piece]:
    if random.random() < 0.5:
        parent = _fresh(random, 4, {"natural": 1, "hard": 1, "unsolvable": 1})
        moves = operations(parent.numbers)
        k = random.randrange(len(moves))
        problem, before = Problem(parent.target, moves[k].state), (moves[k].text,)
        if is_held_out(problem):
            return _search3(random)
        if random.random() < 0.7:
            return [(child_prompt(problem, before, k), False, 0),
                    (search3(problem, before).text, True, 0)]
    else:
        problem = _fresh(random, 3, {"natural": 0.9, "unsolvable": 0.1})
        if random.random() < 0.3:  # a child in form, with an operation that could have led here
            value = random.choice(problem.numbers)
            left = random.randint(max(1, value - 50), value)
            text = f"{max(left, value - left)}+{min(left, value - left)}={value}"
            if 0 < left < value:
                return [(child_prompt(problem, (text,), random.randrange(20)), False, 0),
                        (search3(problem, (text,)).text, True, 0)]
    dialect = random.choice(("sequential", "apr"))
    return [(render(problem, dialect), False, 0), (search3(problem).text, True, 0)]  # type: ignore[arg-type]


_TIERS4 = {"natural": 0.4, "hard": 0.3, "unsolvable": 0.3}


def _looked(random: Random) -> tuple[Problem, int, Trace]:
    """A problem, how many operations an APR parent tries itself, and that look. Now and then it
    tries none, for runs in which the fork is forced."""
    problem = _fresh(random, 4, _TIERS4)
    if random.random() < 0.15:
        return problem, 0, Trace("\n", None)
    return problem, LOOK, quick_look(problem)


def _apr_call(random: Random) -> list[Piece]:
    """The parent's quick look, and its calls where that found nothing."""
    problem, look, tried = _looked(random)
    prompt: Piece = (render(problem, "apr"), False, 0)
    if tried.path is not None:
        return [prompt, (tried.text, True, 0)]
    calls = apr_calls(problem, look)
    if not look:  # a forced fork: the first words are not the model's own
        return [prompt, (tried.text + CALLING, False, 0), (calls.removeprefix(CALLING), True, 0)]
    return [prompt, (tried.text + calls, True, 0)]


def _apr_join(random: Random) -> list[Piece]:
    problem, look, tried = _looked(random)
    if tried.path is not None:
        return _apr_join(random)
    everyone = range(len(operations(problem.numbers)) - look)
    whole = apr_joined(problem, look=look)
    present = set(everyone)
    if whole.path is not None and random.random() < 0.75:  # some unfinished: siblings were enough
        goals = [k for k in everyone if apr_joined(problem, {k}, look).path is not None]
        keep = random.random()
        present = {k for k in everyone if random.random() < keep} | {random.choice(goals)}
    joined = apr_joined(problem, present, look)
    return [(render(problem, "apr"), False, 0), (tried.text, bool(look), 0),
            (joined.text, False, 0), (apr_final(problem, joined.path), True, 0)]


def _sequential(random: Random) -> list[Piece]:
    problem = _fresh(random, 4, _TIERS4)
    return [(render(problem, "sequential"), False, 0), (sequential4(problem).text, True, 0)]


_WIDTHS = {1: 9, 2: 8, 3: 6, 4: 4, 5: 2, 6: 2, 7: 1, 8: 2, 10: 1, 12: 1, 14: 1, 15: 1, 16: 2}
"""How often each width is drawn: a wide sheet has as many tokens as ten narrow ones."""


def _fresh_sheet(random: Random) -> Sheet:
    while True:
        width = random.choices(list(_WIDTHS), list(_WIDTHS.values()))[0]
        shortest = random.choice((1, 1, 1, 2, 3, 4, 5))
        made = sheet.draw(random, width, range(shortest, shortest + random.choice((1, 2, 4))))
        if len(made.lines) <= sheet.LINES and not sheet.is_held_out(made):
            first = random.randint(0, sheet.LINES - len(made.lines))  # late names need practice too
            return made.renamed(random.choice((0, first)))


def _sheet(random: Random) -> list[Piece]:
    made = _fresh_sheet(random)
    return [(render_sheet(made, "sequential"), False, 0), (sheet_trace.sequential(made), True, 0)]


def _sheet_woven(random: Random) -> list[Piece]:
    made = _fresh_sheet(random)
    prompt: Piece = (render_sheet(made, "threadweaver"), False, 0)
    if made.width == 1:
        return [prompt, (sheet_trace.alone(made), True, 0)]
    written = sheet_trace.threads(made)
    return [prompt, (sheet_trace.outlines(made), True, 0),
            *_branches(written), (sheet_trace.joined(written), False, len(written) + 1),
            (sheet_trace.final(made), True, len(written) + 1)]


def _recall(random: Random) -> list[Piece]:
    """Values behind names and names behind numbers, then each asked for again in another order.

    Not a task of its own: looking something up by its name far back is a small part of a sheet,
    and models find out how to much sooner where it is all there is to do.
    """
    count = random.randint(4, 40)
    first = random.randint(0, sheet.LINES - count)
    values = {f"{sheet.name(first + k)}:": str(random.randint(1, 199)) for k in range(count)}
    starts = {f"\n{k}:": f"{sheet.name(random.randrange(sheet.LINES))}="
              for k in range(1, random.randint(2, sheet.WIDTHS[-1] + 1))}
    pairs = [*values.items(), *(starts.items() if random.random() < 0.5 else ())]
    pieces: list[Piece] = []
    for ours in (False, True):
        random.shuffle(pairs)
        between = random.choice("\n;=")
        for name, value in pairs:
            pieces += [(name, False, 0), (value, ours, 0), (between, False, 0)]
    return pieces


def _copy(random: Random) -> list[Piece]:
    """A row of names and numbers, and the same row again.

    Every token of the second row is found by looking for what stood before it in the first. That
    is the quickest way to learn to look things up: a few minutes of nothing else
    ([Olsson et al. 2022](https://arxiv.org/abs/2209.11895), induction heads).
    """
    row = "".join(
        f"{sheet.name(random.randrange(sheet.LINES))}{random.choice('=:')}{random.randint(1, 199)}"
        for _ in range(random.randint(2, 30)))
    return [(row, False, 0), (row, True, 0)]


def _branches(written: Sequence[str]) -> Iterator[Piece]:
    for n, text in enumerate(written, start=1):
        yield sheet_trace.thread_header(n), False, n
        yield text, True, n


WRITERS: dict[str, Callable[[Random], list[Piece]]] = {
    "s3": _search3,
    "apr_call": _apr_call,
    "apr_join": _apr_join,
    "sequential": _sequential,
    "sheet": _sheet,
    "sheet_woven": _sheet_woven,
    "recall": _recall,
    "copy": _copy,
}


def encode(tokenizer: Tokenizer, kind: str, pieces: list[Piece], cap: int) -> Document:
    """Encode piece by piece, as the runtime does; what is longer than `cap` is cut."""
    ids, loss, branch = [tokenizer.token_to_id(BOS)], [False], [0]
    for text, ours, where in pieces:
        piece = tokenizer.encode(text, add_special_tokens=False).ids
        if where and where == pieces[-1][2] and ours:
            piece.append(tokenizer.token_to_id(EOS))
        ids += piece
        loss += [ours] * len(piece)
        branch += [where] * len(piece)
    if not pieces[-1][2]:
        ids.append(tokenizer.token_to_id(EOS))
        loss.append(pieces[-1][1])
        branch.append(0)
    return Document(kind, ids[:cap], loss[:cap], branch[:cap])


def collate(documents: list[Document], pad: int) -> Batch:
    longest = max(len(d.ids) for d in documents)
    shape = (len(documents), longest)
    ids, loss = np.full(shape, pad, np.int64), np.zeros(shape, bool)
    branch = np.zeros(shape, np.int64)
    for row, d in enumerate(documents):
        ids[row, : len(d.ids)] = d.ids
        loss[row, : len(d.ids)] = d.loss
        branch[row, : len(d.ids)] = d.branch
    kind = documents[0].kind
    tokens = sum(len(d.ids) for d in documents)
    return Batch(kind, ids, loss, branch if branch.any() else None, tokens)


class Stream:
    """Endless batches, kinds in proportion to `SHARES`, rows of similar length together."""

    def __init__(self, tokenizer: Tokenizer, seed: str, rows: int = 1280, cap: int = 1500) -> None:
        self.tokenizer, self.random = tokenizer, Random(seed)
        self.rows, self.cap = rows, cap
        self.shares = dict(SHARES)
        self._given = dict.fromkeys(SHARES, 1.0)
        self._ready: dict[str, list[Batch]] = {kind: [] for kind in SHARES}

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        kind = min((k for k in self.shares if self.shares[k]),
                   key=lambda k: self._given[k] / self.shares[k])
        if not self._ready[kind]:
            self._fill(kind)
        batch = self._ready[kind].pop()
        self._given[kind] += batch.tokens
        return batch

    def mix(self, shares: dict[str, float]) -> None:
        """Change shares from now on; what was given before is not made up for."""
        if not shares.items() <= self.shares.items():
            self.shares.update(shares)
            self._given = dict.fromkeys(self.shares, 1.0)

    def _fill(self, kind: str) -> None:
        count = 20 if kind in ("sequential", "sheet", "sheet_woven") else 80
        documents = sorted(
            (encode(self.tokenizer, kind, WRITERS[kind](self.random), self.cap)
             for _ in range(count)),
            key=lambda d: len(d.ids),
        )
        pad, group, batches = self.tokenizer.token_to_id("<|pad|>"), [], []
        for document in documents:
            if group and (len(group) + 1) * len(document.ids) > self.rows:
                batches.append(collate(group, pad))
                group = []
            group.append(document)
        batches.append(collate(group, pad))
        self.random.shuffle(batches)
        self._ready[kind] = batches
