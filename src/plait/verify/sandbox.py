"""A Python program in a process of its own, without network, with little memory, time and files.

What is inside can read Python's own files and nothing else, write to a folder in memory that is
gone at the end, and is killed with all that it started when its time is up or when nobody waits
any more. See `plait.verify.cage` for how. It needs Linux with namespaces; where they are not to
be had, `Caged.built` is False and nothing was run: it is never run without the cage.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.abc
import orjson

from plait.verify.cage import NOT_BUILT

PYTHON = os.path.realpath(sys.executable)
CAGE = Path(__file__).with_name("cage.py")
LONGEST = 4000
"""Characters of output that are kept, from its end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``seconds`` of wall clock and of processor time each; ``megabytes`` of address space a
    process; ``processes`` at once."""

    seconds: float = 10.0
    megabytes: int = 512
    processes: int = 16


@dataclass(frozen=True, slots=True)
class Caged:
    """How it ended. ``status``: exit status, None if it was stopped for taking too long;
    ``output``: the end of what it wrote to standard output and error."""

    status: int | None
    output: str
    built: bool = True


async def run_caged(
    files: Mapping[str, str], program: str, limits: Limits | None = None,
    read: Sequence[str] = (),
) -> Caged:
    """Run the file ``program`` of ``files`` with Python, in a folder that holds ``files``.

    ``read``: more folders that it may read.
    """
    limits = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="plait-") as root, tempfile.TemporaryFile() as output:
        job = orjson.dumps({
            "argv": [PYTHON, "-I", program], "files": dict(files), "root": root,
            "read": [sys.base_prefix, *read], "seconds": max(1, round(limits.seconds)),
            "megabytes": limits.megabytes, "processes": limits.processes})
        process = await anyio.open_process(
            [PYTHON, "-I", "-S", str(CAGE)],
            stdout=output, stderr=output, start_new_session=True)
        try:
            with anyio.move_on_after(limits.seconds):
                assert process.stdin is not None
                with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                    await process.stdin.send(job)  # it may end before it has read the job
                    await process.stdin.aclose()
                await process.wait()
        finally:
            with anyio.CancelScope(shield=True):
                status = await _end(process)
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - LONGEST))
        text = output.read().decode("utf-8", "replace")
    return Caged(status, text, built=status != NOT_BUILT)


async def _end(process: anyio.abc.Process) -> int | None:
    """The exit status; None if it had to be killed. Nothing of it is left afterwards."""
    ended = process.returncode
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    await process.aclose()
    return ended
