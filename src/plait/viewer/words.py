"""Numbers and foreign text as short words.

What models, servers and files say is untrusted: it may hold escape sequences that rewrite the
terminal, or signs that turn the direction of writing. None of that is ever printed.
"""

from __future__ import annotations

import re
import unicodedata

from rich.cells import cell_len, set_cell_size

from plait.core.events import RunStarted

_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,40}>")


def harmless(text: str) -> str:
    """``text`` with its lines, but without control and format signs."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in
                   ("Cc", "Cf", "Cs", "Zl", "Zp"))


def one_line(text: str) -> str:
    """``text`` on one line, harmless."""
    return harmless(" ".join(text.split()))


def gist(text: str) -> str:
    """The last line of ``text`` that says something besides tags: results come at the end."""
    lines = (one_line(_TAG.sub(" ", line)) for line in reversed(text.splitlines()))
    return next((line for line in lines if line), "")


def fit(text: str, width: int) -> str:
    """``text`` cut to ``width`` terminal cells, with an ellipsis if something is missing."""
    if width <= 0:
        return ""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…"


def pad(text: str, width: int) -> str:
    """``text`` filled up with blanks to ``width`` cells."""
    return text + " " * (width - cell_len(text))


def seconds(value: float) -> str:
    """A duration: ``0.84 s``, ``12.3 s``, ``2 min 05 s``."""
    if value < 9.995:
        return f"{value:.2f} s"
    if value < 99.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s"


def way(run: RunStarted) -> str:
    """How a run goes about it: ``native (apr)``."""
    return run.method if run.protocol is None else f"{run.method} ({run.protocol})"


def number(value: int, noun: str) -> str:
    """``1 thread``, ``1,204 threads``."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"
