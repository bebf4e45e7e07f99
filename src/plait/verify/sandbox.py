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
from subprocess import DEVNULL, PIPE
from typing import IO

import anyio
import anyio.abc
import orjson

from plait.verify.cage import HEAD, NOT_BUILT

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


@dataclass(frozen=True, slots=True)
class Program:
    """The file ``main`` of ``files``, run with Python in a folder that holds ``files``. ``read``:
    more folders that it may read; ``serves``: it has a standard input."""

    files: Mapping[str, str]
    main: str
    limits: Limits
    read: Sequence[str] = ()
    serves: bool = False

    def job(self, root: str) -> bytes:
        """What the cage is told, with its length in front."""
        limits = self.limits
        told = orjson.dumps({
            "argv": [PYTHON, "-I", self.main], "files": dict(self.files), "root": root,
            "read": [sys.base_prefix, *self.read], "seconds": max(1, round(limits.seconds)),
            "megabytes": limits.megabytes, "processes": limits.processes, "serves": self.serves})
        return f"{len(told):0{HEAD}}".encode() + told


async def run_caged(
    files: Mapping[str, str], main: str, limits: Limits | None = None, read: Sequence[str] = (),
) -> Caged:
    """Run a program to its end; see `Program`."""
    program = Program(files, main, limits or Limits(), read)
    with tempfile.TemporaryDirectory(prefix="plait-") as root, tempfile.TemporaryFile() as output:
        process = await start(stdout=output, stderr=output)
        try:
            with anyio.move_on_after(program.limits.seconds):
                assert process.stdin is not None
                with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                    await process.stdin.send(program.job(root))  # it may end before it has read it
                    await process.stdin.aclose()
                await process.wait()
        finally:
            with anyio.CancelScope(shield=True):
                status = await end(process)
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - LONGEST))
        text = output.read().decode("utf-8", "replace")
    return Caged(status, text, built=status != NOT_BUILT)


async def start(
    stdout: int | IO[bytes] = PIPE, stderr: int | IO[bytes] = DEVNULL
) -> anyio.abc.Process:
    """A cage that waits for its job."""
    return await anyio.open_process([PYTHON, "-I", "-S", str(CAGE)], stdout=stdout, stderr=stderr,
                                    start_new_session=True)


async def end(process: anyio.abc.Process) -> int | None:
    """The exit status; None if it had to be killed. Nothing of it is left afterwards."""
    ended = process.returncode
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    await process.aclose()
    return ended
