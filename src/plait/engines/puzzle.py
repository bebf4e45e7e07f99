"""How a question is put to plait-nano, which knows one thing: the game of countdown."""

from __future__ import annotations

from typing import Literal, cast

from plait.core import Prompt
from plait.errors import UsageError
from plait.interfaces import Opening
from plait.puzzles import Problem, read_answer, render, understand

NAME = "plait-nano"
"""What the model calls itself, wherever its files say."""
PROTOCOLS = ("apr", "threadweaver")
_WOVEN = 3
"""Numbers of the problems that plait-nano writes in ThreadWeaver's format."""
_ELSEWHERE = "To ask another model, start plait with `--engine http://...`."


def put(question: str, protocol: str | None) -> Opening:
    """The opening of ``question`` in the dialect of ``protocol`` (None: no threads).

    Raises `UsageError` for what is no countdown problem, or not one for this protocol.
    """
    dialect = _dialect(protocol)
    try:
        problem: Problem = understand(question)
    except ValueError as error:
        raise UsageError(str(error).rstrip(".").replace("\n", " "), hint=_ELSEWHERE) from None
    if dialect == "threadweaver" and len(problem.numbers) != _WOVEN:
        raise UsageError(
            f"plait-nano writes ThreadWeaver's format for {_WOVEN} numbers only, and this problem "
            f"has {len(problem.numbers)}", hint="Use the protocol `apr` for it.")
    return Opening(
        prompt=Prompt(text=render(problem, dialect)),
        read=lambda text: read_answer(text, dialect),
        early_stop=dialect == "apr",
    )


def _dialect(protocol: str | None) -> Literal["sequential", "apr", "threadweaver"]:
    if protocol is None:
        return "sequential"
    if protocol not in PROTOCOLS:
        raise UsageError(f"plait-nano does not write the protocol `{protocol}`",
                         hint=f"It knows {' and '.join(PROTOCOLS)}.")
    return cast(Literal["apr", "threadweaver"], protocol)
