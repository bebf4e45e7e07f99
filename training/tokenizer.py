"""The tokenizer of plait-nano: bytes, and one token for each fixed phrase.

A number up to 199 is one token, made by merges of its digits: a search line is 15 tokens instead of
22, and a result is one decision. Pieces that the runtime encodes apart
(prompt, model text, inserted text) must give the same ids as the whole text, so no phrase reaches
over a place where such pieces meet: none starts or ends inside a newline that a stop string or a
rewrite cuts at, and there is no phrase for ": " since ThreadWeaver's thread header ends in ":".
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from plait.puzzles import sheet

BOS, EOS, PAD = "<|begin|>", "<|end|>", "<|pad|>"

LARGEST = 199

NAMES = tuple(sheet.name(place) for place in range(sheet.LINES))
"""The names in a sheet. With the mark behind it a name is one token too: what follows a token is
easy to look up, what follows two is not."""

CHAINS = sheet.WIDTHS
"""Numbers of a sheet's chains. At the beginning of a line, in the prompt and in a thread's header,
a number is one token: a thread finds its chain behind the token that it begins with."""

PHRASES = (
    "Current State: ",
    ":[",
    ", ",
    "], Operations: [",
    "], Operations: []",
    "], Operations: ['",
    "']",
    "Moving to Node #0",
    "<Calling Sub Searches>\n",
    "\nGenerated Node #0,",
    "] Operation: ",
    "<Start Sub Search ",
    " at level 1> Moving to Node #0,",
    "<End Calling Sub Searches>",
    "<Sub Searches>\n",
    "<No Solution in Sub Search ",
    "<Goal Reached in Sub Search ",
    " at level 1 at Node #0,",
    "<End Sub Searches>\n",
    " equal: Goal Reached",
    "No solution found.",
    "Make ",
    " from [",
    "<think>",
    "</think>",
    "<Parallel>",
    "</Parallel>",
    "<Outlines>",
    "</Outlines>",
    "<Outline>",
    "</Outline>",
    "<Thread>",
    "</Thread>",
    "Answer: ",
    *NAMES[26:],
    *(name + mark for mark in "=:" for name in NAMES),
    *(before + f"{n}:" for before in ("<Outline>", "\n") for n in CHAINS),
    " chain</Outline>\n",
    "Sheet",
)


def build() -> Tokenizer:
    """The tokenizer, always the same: ids 0-2 are bos, eos and pad, then bytes, then phrases."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    order = [11, *(n for n in range(10, LARGEST + 1) if n != 11)]  # 110 is 11|0, not 1|10
    merges = [(str(n // 10), str(n % 10)) for n in order]
    tokens = [BOS, EOS, PAD, *alphabet, *(a + b for a, b in merges)]
    vocabulary = {name: k for k, name in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in (BOS, EOS, PAD)])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in PHRASES])
    # for servers: whoever asks for special tokens gets the begin token, which training had
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))])
    return tokenizer


def load(path: Path) -> Tokenizer:
    return Tokenizer.from_file(str(path))


def sums(tokenizer: Tokenizer) -> dict[int, tuple[int, int]]:
    """For each tag of a chain: the tokens of the tag and of the number in it."""
    made = {f"<Outline>{n}:": ("<Outline>", str(n)) for n in CHAINS}
    made |= {f"\n{n}:": (":", str(n)) for n in CHAINS}
    return {tokenizer.token_to_id(whole): (tokenizer.token_to_id(a), tokenizer.token_to_id(b))
            for whole, (a, b) in made.items()}


def names(tokenizer: Tokenizer) -> list[list[int]]:
    """The tokens of all names in their order: alone, with `=`, and with `:`."""
    return [[tokenizer.token_to_id(name + mark) for name in NAMES] for mark in ("", "=", ":")]


def numbers(tokenizer: Tokenizer) -> list[int]:
    """The token of each number from 0 to `LARGEST`."""
    return [tokenizer.token_to_id(str(n)) for n in range(LARGEST + 1)]
