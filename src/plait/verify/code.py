"""Code, checked by running its tests in the sandbox; never in this process.

The program in the answer (its last fenced block of Python, else all of it) is executed, then the
tests in the same namespace: Python source with ``assert``s, and every function ``test_*`` that it
defines is called. It passes if all that comes to its end, which a word tells that is made up anew
for each run: a program that exits early, with whatever status, has not passed. Program and tests
share a process, so a program that was written to cheat these very tests could; one that wants to
harm the machine cannot.
"""

from __future__ import annotations

import re
import secrets

from plait.core import Part, Request, Verdict
from plait.errors import UsageError
from plait.interfaces import Thread
from plait.verify.exact import WHOLE
from plait.verify.sandbox import Caged, Limits, run_caged

_FENCE = re.compile(r"^[ \t]*```[ \t]*(?:python|py|python3)?[ \t]*\n(.*?)^[ \t]*```",
                    re.DOTALL | re.MULTILINE | re.IGNORECASE)
_RUNNER = """
import os, sys
space = {"__name__": "__main__"}
word = open("word").read()
os.remove("word")
for name in ("answer.py", "tests.py"):
    with open(name, encoding="utf-8") as file:
        exec(compile(file.read(), name, "exec"), space)
tests = [f for name, f in list(space.items()) if name.startswith("test_") and callable(f)]
for test in tests:
    test()
sys.stdout.flush()
os.write(1, ("\\n" + word + "\\n").encode())
"""


class Code:
    """Runs ``tests`` (Python source) against the program in an answer. Of a part of the question
    it cannot tell.

    Raises `UsageError` for tests that are no Python.
    """

    name = "code"

    def __init__(self, tests: str, limits: Limits | None = None) -> None:
        try:
            compile(tests, "tests", "exec")
        except (SyntaxError, ValueError) as error:
            raise UsageError(f"the tests are no Python: {error}") from error
        self._tests = tests
        self._limits = limits or Limits()

    async def verify(self, thread: Thread, request: Request, part: Part) -> Verdict:
        if part.task:
            return WHOLE
        word = secrets.token_hex(16)
        caged = await run_caged(
            {"answer.py": read_program(part.text), "tests.py": self._tests, "word": word,
             "run.py": _RUNNER}, "run.py", self._limits)
        if not caged.built:
            return Verdict(None, 0.0, caged.output.strip())
        if caged.status == 0 and caged.output.rstrip().endswith(word):
            return Verdict(True, 1.0)
        return Verdict(False, 0.0, _why(caged, self._limits))


def read_program(text: str) -> str:
    """The last fenced block of Python in ``text``; all of it if there is none."""
    blocks = _FENCE.findall(text)
    return str(blocks[-1]) if blocks else text


def _why(caged: Caged, limits: Limits) -> str:
    if caged.status is None:
        return f"it took longer than {limits.seconds:g} seconds"
    if caged.status == 0:
        return "it ended before the tests did"
    lines = [line for line in caged.output.splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else f"it ended with status {caged.status}"
