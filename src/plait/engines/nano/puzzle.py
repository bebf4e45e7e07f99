"""How a question is put to plait-nano, which knows countdown and sheets and nothing else."""

from __future__ import annotations

from plait.core import Prompt
from plait.errors import UsageError
from plait.interfaces import Opening
from plait.puzzles import Task, pose

_ELSEWHERE = "To ask another model, start plait with `--engine http://...`."


def formats(question: str) -> tuple[str, ...]:
    """The wire formats that plait-nano answers ``question`` in; none for what is no puzzle."""
    try:
        return pose(question).formats
    except ValueError:
        return ()  # `put` says why


def put(question: str, protocol: str | None) -> Opening:
    """The opening of ``question`` in the dialect of ``protocol`` (None: no threads).

    Raises `UsageError` for what is no puzzle of plait-nano's, or not one for this protocol.
    """
    try:
        task: Task = pose(question)
    except ValueError as error:
        raise UsageError(str(error).rstrip(".").replace("\n", " "), hint=_ELSEWHERE) from None
    if protocol not in (None, *task.formats):
        known = " or ".join(f"`{name}`" for name in task.formats)
        raise UsageError(f"plait-nano does not write the protocol `{protocol}` for this puzzle",
                         hint=f"Use {known}, or leave the choice to plait.")
    dialect = protocol or "sequential"
    return Opening(
        prompt=Prompt(text=task.render(dialect)),
        read=task.read,
        early_stop=dialect == "apr",
    )
