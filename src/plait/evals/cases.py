"""Programs against cases of input and output, as programming contests have them.

Every case runs the program anew in the sandbox, in a process of its own that knows nothing of the
expected output; a small runner in the same sandbox compares. Programs that read standard input are
run as they are; where a function is to be written, it is called with the case's arguments (one
JSON value a line) by a caller that is appended to the program.
"""

from __future__ import annotations

import secrets

import orjson

from plait.core import Verdict
from plait.errors import UsageError
from plait.verify.sandbox import Limits, run_caged

CASE_SECONDS = 6.0
_CALLER = """

if True:
    import json as _json, sys as _sys
    _arguments = [_json.loads(line) for line in _sys.stdin.read().splitlines() if line.strip()]
    _owner = Solution() if "Solution" in globals() else None
    _call = getattr(_owner, NAME) if _owner is not None else globals()[NAME]
    print(_json.dumps(_call(*_arguments)))
"""
_RUNNER = """
import json, os, subprocess, sys
word = open("word").read()
os.remove("word")
with open("cases.json", encoding="utf-8") as file:
    job = json.load(file)
os.remove("cases.json")

def lines(text):
    return [" ".join(line.split()) for line in text.strip().splitlines()]

def near(one, two):
    one, two = one.split(), two.split()
    if len(one) != len(two):
        return False
    for a, b in zip(one, two):
        try:
            if a != b and abs(float(a) - float(b)) > 1e-6 * max(1.0, abs(float(b))):
                return False
        except ValueError:
            return False
    return True

def same(found, wanted):
    if job["function"]:
        try:
            return json.loads(found) == json.loads(wanted)
        except ValueError:
            return False
    a, b = lines(found), lines(wanted)
    return len(a) == len(b) and all(x == y or near(x, y) for x, y in zip(a, b))

for number, case in enumerate(job["cases"], 1):
    try:
        done = subprocess.run([sys.executable, "-I", "answer.py"], input=case["input"],
                              capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        sys.exit(f"case {number} took longer than SECONDS seconds")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it failed"])[-1]
        sys.exit(f"case {number}: {last}")
    if not same(done.stdout, case["output"]):
        sys.exit(f"case {number}: the output is wrong")
os.write(1, ("\\n" + word + "\\n").encode())
"""


async def run_cases(program: str, tests: str, limits: Limits) -> Verdict:
    """Run ``program`` against ``tests``: JSON with ``function`` (a name or null) and ``cases``.

    Raises `UsageError` for tests of another form.
    """
    try:
        job = orjson.loads(tests)
        name = job["function"]
        cases = [{"input": str(c["input"]), "output": str(c["output"])} for c in job["cases"]]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise UsageError(f"the cases are of no known form: {error!r}",
                         hint='They are JSON: {"function": null, "cases": [{"input", "output"}]}.',
                         ) from error
    if not cases:
        return Verdict(None, 0.0, "there are no cases")
    word = secrets.token_hex(16)
    caller = _CALLER.replace("NAME", repr(name)) if name else ""
    caged = await run_caged(
        {"answer.py": program + caller, "word": word,
         "cases.json": orjson.dumps({"function": name, "cases": cases}).decode(),
         "run.py": _RUNNER.replace("SECONDS", f"{CASE_SECONDS:g}")}, "run.py", limits)
    if not caged.built:
        return Verdict(None, 0.0, caged.output.strip())
    if caged.status == 0 and caged.output.rstrip().endswith(word):
        return Verdict(True, 1.0)
    if caged.status is None:
        return Verdict(False, 0.0, f"it took longer than {limits.seconds:g} seconds")
    last = [line for line in caged.output.splitlines() if line.strip()]
    return Verdict(False, 0.0, last[-1][:200] if last else f"it ended with status {caged.status}")
