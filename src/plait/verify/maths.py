"""Mathematical equivalence by math-verify (an extra), in a process that can be killed.

math-verify reads LaTeX and expressions with sympy, which evaluates what it reads and can work for
ever in spite of its own timeouts, so it runs in the sandbox. What needs no algebra is compared
here first, in microseconds.
"""

from __future__ import annotations

import json
import os
import sysconfig
from importlib.util import find_spec

from plait.core import Part, Request, Verdict
from plait.core.answers import canonical
from plait.errors import UsageError
from plait.interfaces import Thread
from plait.verify.exact import WHOLE, answer_of
from plait.verify.sandbox import Limits, run_caged

LIMITS = Limits(seconds=10.0, megabytes=2048, processes=16)
LONGEST = 2000
PACKAGES = os.path.realpath(sysconfig.get_paths()["purelib"])
EQUAL, DIFFERENT, UNREADABLE = 10, 11, 12
_PROGRAM = f"""
import json, logging, sys
logging.disable(logging.CRITICAL)
sys.path.append(PATH)
from math_verify import parse, verify
with open("job.json", encoding="utf-8") as file:
    expected, answer = json.load(file)
def read(text):
    return parse(text) if "$" in text or chr(92) + "boxed" in text else parse("$" + text + "$")
wanted, found = read(expected), read(answer)
sys.exit({UNREADABLE} if not wanted or not found else {EQUAL} if verify(wanted, found)
         else {DIFFERENT})
"""


class Math:
    """Is the answer equal to ``expected`` as mathematics: ``(x+1)^2`` and ``x^2+2x+1``? Of a part
    of the question it cannot tell.

    Raises `UsageError` where math-verify is not installed.
    """

    name = "math"

    def __init__(self, expected: str, limits: Limits = LIMITS) -> None:
        if find_spec("math_verify") is None:
            raise UsageError("the verifier `math` needs math-verify, which is not installed",
                             hint="Install it: pip install 'plait[math]'.")
        self._expected = expected
        self._limits = limits

    async def verify(self, thread: Thread, request: Request, part: Part) -> Verdict:
        if part.task:
            return WHOLE
        answer = answer_of(part)
        if canonical(answer) == canonical(self._expected):
            return Verdict(True, 1.0)
        if len(answer) > LONGEST:
            return Verdict(False, 0.0, "the answer is too long for a formula")
        caged = await run_caged(
            {"job.json": json.dumps([self._expected, answer]),
             "main.py": _PROGRAM.replace("PATH", repr(PACKAGES))},
            "main.py", self._limits, read=[PACKAGES])
        if caged.status == EQUAL:
            return Verdict(True, 1.0)
        if caged.status in (DIFFERENT, UNREADABLE):
            how = "is not equal to" if caged.status == DIFFERENT else "cannot be compared with"
            return Verdict(False, 0.0, f"{answer!r:.60} {how} {self._expected!r:.60}")
        if caged.status is None:
            return Verdict(None, 0.0, f"math-verify took over {self._limits.seconds:g} seconds")
        return Verdict(None, 0.0, caged.output.strip().rpartition("\n")[2] or "math-verify failed")
