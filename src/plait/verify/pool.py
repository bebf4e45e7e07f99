"""Programs that stay in the cage, for checkers that are slow to load: a pool that can be killed.

Each program loads once. It then forks for every job, so that a job starts at once, cannot change
what the next one meets, and has the limits of `Limits` to itself; whatever it leaves running is
killed before the next one. A job that takes too long, or breaks its program, costs that program:
it is killed with all that it started, and another one takes its place.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO

import anyio
import anyio.abc

from plait.verify.cage import NOT_BUILT
from plait.verify.sandbox import LONGEST, Caged, Limits, Program, end, start

LOADING = 60.0
"""Seconds in which a program must be ready."""
SERVER = """
import os, resource, signal, sys
assert os.getpid() == 1  # whatever it kills is its own
LOAD
os.write(1, b"ready\\n")
for line in sys.stdin.buffer:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            nothing = os.open(os.devnull, os.O_RDWR)
            for number in range(3):  # it has no way to speak for the program
                os.dup2(nothing, number)
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            status = work(line)
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        os.kill(-1, signal.SIGKILL)
        while os.waitpid(-1, 0)[0]:
            pass
    except (ProcessLookupError, ChildProcessError):
        pass
    os.write(1, f"{status}\\n".encode())
"""
_BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, ValueError)


def server(load: str, limits: Limits, read: Sequence[str] = ()) -> Program:
    """A program for `Pool`. ``load`` is Python that loads what is needed and defines
    ``work(line)``, which does the job in a line of bytes and gives an exit status."""
    most = str(math.ceil(limits.seconds) + 1)  # whoever waits is sooner, and knows why
    source = SERVER.replace("SECONDS", most).replace("LOAD", load)
    return Program({"main.py": source}, "main.py", limits, read, serves=True)


@dataclass(eq=False)
class _Server:
    """One program in its cage. ``root``: where the cage is built; ``errors``: what it says."""

    process: anyio.abc.Process
    root: tempfile.TemporaryDirectory[str]
    errors: IO[bytes]

    async def line(self) -> bytes:
        assert self.process.stdout is not None
        data = b""
        while not data.endswith(b"\n"):
            data += await self.process.stdout.receive()
        return data

    async def close(self) -> Caged:
        """How it ended. Nothing of it is left."""
        with anyio.CancelScope(shield=True):
            status = await end(self.process)
        self.root.cleanup()
        with self.errors:
            self.errors.seek(0)
            said = self.errors.read()[-LONGEST:].decode("utf-8", "replace")
        return Caged(status, said, built=status != NOT_BUILT)


@dataclass(eq=False)
class Pool:
    """As many copies of ``program`` (made by `server`) as there are jobs at once. Use as a context
    manager; nothing is started before the first job."""

    program: Program
    _free: list[_Server] = field(default_factory=list, init=False)

    async def run(self, job: bytes) -> Caged:
        """Do ``job``, one line. `Caged.built` is False where no cage can be built."""
        while self._free:  # one that was idle may have died since; a new one has no excuse
            if (done := await self._do(self._free.pop(), job)) is not None:
                return done
        fresh = await self._start()
        if isinstance(fresh, Caged):
            return fresh
        return await self._do(fresh, job) or Caged(1, "the checker broke")

    async def _do(self, server: _Server, job: bytes) -> Caged | None:
        """How the job ended; None if the program broke."""
        whole = False
        try:
            with anyio.fail_after(self.program.limits.seconds):
                assert server.process.stdin is not None
                await server.process.stdin.send(job + b"\n")
                status = int(await server.line())
            whole = True
        except TimeoutError:
            return Caged(None, "")
        except _BROKEN:
            return None
        finally:
            if whole:
                self._free.append(server)
            else:
                await server.close()
        return Caged(status, "")

    async def _start(self) -> _Server | Caged:
        """A program that is ready; how it ended where there is none."""
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the server
        found = _Server(await start(stderr=errors),
                        tempfile.TemporaryDirectory(prefix="plait-"), errors)
        ready = False
        try:
            with anyio.move_on_after(LOADING), suppress(*_BROKEN):
                assert found.process.stdin is not None
                await found.process.stdin.send(self.program.job(found.root.name))
                ready = await found.line() == b"ready\n"
            if not ready:
                with anyio.move_on_after(1.0):  # it has ended, and its status says why
                    await found.process.wait()
        finally:
            ended = None if ready else await found.close()
        return ended or found

    async def __aenter__(self) -> Pool:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._free:
            await self._free.pop().close()
