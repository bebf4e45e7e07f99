"""Text that is nearly one of the formats. Random characters alone would never reach a fork."""

from __future__ import annotations

import re
from random import Random

from plait.protocols import CATALOGUE, BlockFormat
from tests.protocols.golden import EVERY
from tests.protocols.words import WORDS, nodes

NOISE = (
    "\n", "\n", " ", "\r\n", "\t", "<", ">", "</", "/>", "<>", "é", "思考", "🧵", "\u2028", "\x00",
    "\ud800", "word ", "so ", "1", ":", "1:", "2 :", "1.2:", "01:", "٣:", "9" * 30 + ":", "-", ",",
    "{n}", "\\", "'", '"', "a" * 300, "",
)
"""What no format gives a meaning to, or only at certain places."""
SPAWNED = {
    "apr": (
        "<Calling Sub Searches>", "<End Calling Sub Searches>", "<Sub Searches>",
        "<End Sub Searches>", "<Start Sub Search 0 at level 1> Moving to Node #0,1",
        "<Start Sub Search 1 at level 1> Moving to Node #0,2", "Moving to Node #0,2",
        "Moving to Node #", "Current State: 9:[1, 2], Operations: ['1+1=2']", "Goal Reached",
        "Generated Node #0,1: 9:[5, 4] Operation: 2+3=5",
        "Generated Node #0,2: 9:[6] Operation: 2*3=6", "9,9 equal: Goal Reached",
        "<No Solution in Sub Search 0 at level 1 at Node #0,1>",
        "<Goal Reached in Sub Search 1 at level 1 at Node #0,2>", nodes(3),
    ),
    "asyncthink": (
        "<FORK-1>", "</FORK-1>", "<JOIN-1>", "</JOIN-1>", "<FORK-2>", "</FORK-2>", "<JOIN-2>",
        "</JOIN-2>", "<FORK-3>x</FORK-3>", "<FORK-4>y</FORK-4>", "<FORK-999999>", "<FORK-1234567>",
        "<JOIN-01>", "<ANSWER>", "</ANSWER>", "<RETURN>", "</RETURN>", "<FORK->",
        "<FORK-1>a</FORK-1>",
    ),
}


def tags_of(form: BlockFormat) -> tuple[str, ...]:
    """Every tag that a block format knows, with the numbers 1 and 2 where it has one."""
    texts = (form.trigger, form.first, form.later, form.close, form.mend, form.suffix, form.open,
             form.list_open, form.tail_close, *(form.wrap or ()),
             *(f"<{tag}>" for tag in form.items))
    tags = {tag for text in texts for n in "12"
            for tag in re.findall(r"<[^<>]+>", text.replace("{n}", n))}
    closed = {f"</{tag.strip('</>')}>" for tag in tags}
    return tuple(sorted(tags | closed | {"<think>", "</think>"}))


class Grammar:
    """Makes texts of the format ``name``."""

    def __init__(self, name: str) -> None:
        form = CATALOGUE[name].form
        words = WORDS[name]
        tags = tags_of(form) if form else SPAWNED[name]
        items = tuple(words.item.replace("{n}", n) for n in ("1", "2", "1", "7.5")) \
            if words.item else ()
        self.tags = tags
        self.wholes = (words.block, words.after, words.thread, words.rest, words.trigger,
                       words.of("1"), words.of("1", "2", "2"), words.nodes + words.opener)
        self.pieces = (*tags * 3, *items * 3, *self.wholes, *NOISE)
        self.golden = EVERY[name].text

    def text(self, rng: Random, most: int = 12) -> str:
        """A text of up to ``most`` pieces, or a good transcript with something done to it."""
        if rng.random() < 0.2:
            return self._spoilt(rng)
        pieces = rng.choices(self.pieces, k=rng.randrange(most + 1))
        if rng.random() < 0.3:
            pieces.append(rng.choice(self.wholes))
        if rng.random() < 0.4:
            pieces = [self._broken(rng, p) if rng.random() < 0.2 else p for p in pieces]
        return "".join(pieces)

    def _broken(self, rng: Random, piece: str) -> str:
        """A piece cut short, doubled in part, or with a character changed."""
        at = rng.randrange(len(piece) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            return piece[:at]
        if kind == 1:
            return piece[at:]
        if kind == 2:
            return piece[:at] + piece
        return piece[:at] + rng.choice(NOISE) + piece[at + 1 :]

    def _spoilt(self, rng: Random) -> str:
        text = self.golden
        for _ in range(rng.randrange(4)):
            a, b = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
            b = min(b, a + 40)
            change = rng.randrange(4)
            if change == 0:
                text = text[:a] + text[b:]
            elif change == 1:
                text = text[:b] + text[a:]
            elif change == 2:
                text = text[:a] + rng.choice(self.pieces) + text[a:]
            else:
                text = text[a:] or text
        return text
