"""Text of children as material: it cannot pass for an instruction, a tag or an end of the quote.

A child's text is written by a model that read who knows what, so a prompt that shows it to another
model has to keep three things from happening:

- *It ends the quote and goes on as the prompt.* Every line of a quote begins with ``> ``, as in a
  letter that cites another; whatever stands behind that sign is cited, and a closing delimiter of
  ours, which stands at the beginning of a line, cannot be among it. Every sign that some reader
  takes for a line break counts as one, so that no line begins unmarked.
- *It is read as tokens of control.* ``<|im_start|>``, ``<think>``, ``<Thread>``... act in a
  tokenizer or in a wire format wherever they stand; their first bracket is replaced by one that
  only looks like it (`‹`). Other brackets (``a < b``, ``<div>``) stay as they are.
- *It is filled in as a template.* That is seen to by `plait.prompts.library`, which substitutes
  once and never looks at what it has put in.

What it says in plain words ("ignore the above") no quoting can remove. Against that the prompts
say, before and after the quotes, that nothing in them is an instruction; and no tool, verdict or
budget hangs on what a quote says.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

MARK = "> "
_WORDS = (  # tags that act in chat templates, reasoning models and wire formats, in any case
    "think\\d*|thinking|thought|reasoning|answer|response|tool_call|tool_response|tools?"
    "|function_call|s|bos|eos|pad|unk|mask|start_of_turn|end_of_turn|start_of_image|sys|system"
    "|user|assistant|inst|parallel|outlines?|thread|path|plan|goal|conclusion|step|guideline"
    "|takeaways?|summary|vanilla|return|calling sub search(?:es)?|(?:fork|join)[-_ ]?\\d*"
    "|(?:start|end)[ _][a-z _]{1,40}"
)
_CONTROL = re.compile(
    r"<(?=[|｜]|\s{0,8}/?\s{0,8}(?:" + _WORDS + r")\s{0,8}/?>|<\s{0,8}/?sys)"
    r"|\[(?=/?(?:inst|sys)\b)", re.IGNORECASE)
_LOOKS = {"<": "‹", "[": "⟦"}


def quote(text: str) -> str:
    """``text`` as a quotation, a line a line. Empty text is an empty quotation, ``> ``."""
    lines = defuse(text).splitlines() or [""]
    return "\n".join(MARK + line for line in lines)


def unquoted(reply: str) -> str:
    """``reply`` without the lines that it quotes itself: what a judge cites is not what it says."""
    return "\n".join(line for line in reply.splitlines() if not line.lstrip().startswith(">"))


def defuse(text: str) -> str:
    """``text`` without signs that act on a tokenizer, a wire format or a terminal.

    For text that is not quoted by lines: a heading, a label, the pieces of a concatenation.
    """
    kept = "".join(c for c in text if c in "\n\t\r" or not _acts(c))
    return _CONTROL.sub(lambda found: _LOOKS[found[0]], kept)


def one_line(text: str, most: int = 200) -> str:
    """``text`` as one defused line of at most ``most`` characters, for headings and labels."""
    line = " ".join(defuse(text).split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


_LEFT_OUT = "\n[{} characters left out]\n"


def excerpt(text: str, most: int) -> str:
    """At most ``most`` characters of ``text``, or the least there can be: three quarters of them
    from its end, where answers stand, the others from its beginning, with a line between that says
    what is missing."""
    if len(text) <= most:
        return text
    room = max(1, most - len(_LEFT_OUT.format(len(text))))
    head = room // 4
    tail = room - head
    missing = len(text) - head - tail
    return text[:head] + _LEFT_OUT.format(missing) + text[-tail:]


def numbered(texts: Sequence[str], word: str = "Part", titles: Sequence[str] = ()) -> str:
    """Quotations under headings ``Part 1 (title):``, a blank line between them."""
    blocks = []
    for k, text in enumerate(texts):
        title = one_line(titles[k], 80) if k < len(titles) and titles[k] else ""
        blocks.append(f"{word} {k + 1}{f' ({title})' if title else ''}:\n{quote(text)}")
    return "\n\n".join(blocks)


def _acts(sign: str) -> bool:
    """Control and format characters: escapes, zero-width signs, directions. Line breaks among
    them are left to `quote`, which splits there."""
    return (unicodedata.category(sign) in ("Cc", "Cf")
            and sign not in "\x0b\x0c\x1c\x1d\x1e\x85")
