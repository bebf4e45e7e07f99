"""Mathematical equivalence by math-verify (an extra), in a process that can be killed.

math-verify reads LaTeX and expressions with sympy, which evaluates what it reads and can work for
ever in spite of its own timeouts, so it runs in the sandbox. What needs no algebra is compared
here first, in microseconds.
"""

from __future__ import annotations

import os
import sysconfig
from importlib.util import find_spec

import orjson

from plait.core import Part, Request, Verdict
from plait.core.answers import canonical
from plait.errors import UsageError
from plait.interfaces import Thread
from plait.verify.exact import WHOLE, answer_of
from plait.verify.pool import Pool, server
from plait.verify.sandbox import Limits

LIMITS = Limits(seconds=10.0, megabytes=2048, processes=16)
LONGEST = 2000
PACKAGES = os.path.realpath(sysconfig.get_paths()["purelib"])
EQUAL, DIFFERENT, UNREADABLE = 10, 11, 12
_LOAD = f"""
import json, logging
logging.disable(logging.CRITICAL)
sys.path.append({PACKAGES!r})
from math_verify import parse, verify

def read(text):
    return parse(text) if "$" in text or chr(92) + "boxed" in text else parse("$" + text + "$")

def work(line):
    wanted, found = map(read, json.loads(line))
    if not wanted or not found:
        return {UNREADABLE}
    return {EQUAL} if verify(wanted, found) else {DIFFERENT}

work('["(x+1)^2", "x^2+2x+1"]')  # its grammar is loaded with the first formula
"""


def formulas(limits: Limits = LIMITS) -> Pool:
    """Processes that have math-verify loaded, which takes a second: for many answers."""
    return Pool(server(_LOAD, limits, [PACKAGES]))


class Math:
    """Is the answer equal to ``expected`` as mathematics: ``(x+1)^2`` and ``x^2+2x+1``? Of a part
    of the question it cannot tell.

    ``pool``: of `formulas`; without one a process is made for this answer. Raises `UsageError`
    where math-verify is not installed.
    """

    name = "math"

    def __init__(
        self, expected: str, limits: Limits = LIMITS, pool: Pool | None = None
    ) -> None:
        if find_spec("math_verify") is None:
            raise UsageError("the verifier `math` needs math-verify, which is not installed",
                             hint="Install it: pip install 'plait[math]'.")
        self._expected = expected
        self._limits = limits
        self._pool = pool

    async def verify(self, thread: Thread, request: Request, part: Part) -> Verdict:
        if part.task:
            return WHOLE
        answer = answer_of(part)
        if canonical(answer) == canonical(self._expected):
            return Verdict(True, 1.0)
        if len(answer) > LONGEST:
            return Verdict(False, 0.0, "the answer is too long for a formula")
        job = orjson.dumps([self._expected, answer])
        if self._pool is not None:
            caged = await self._pool.run(job)
        else:
            async with formulas(self._limits) as own:
                caged = await own.run(job)
        if caged.status == EQUAL:
            return Verdict(True, 1.0)
        if caged.status in (DIFFERENT, UNREADABLE):
            how = "is not equal to" if caged.status == DIFFERENT else "cannot be compared with"
            return Verdict(False, 0.0, f"{answer!r:.60} {how} {self._expected!r:.60}")
        if caged.status is None:
            return Verdict(None, 0.0, f"math-verify took over {self._limits.seconds:g} seconds")
        return Verdict(None, 0.0, caged.output.strip().rpartition("\n")[2] or "math-verify failed")
