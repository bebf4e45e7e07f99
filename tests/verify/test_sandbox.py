"""The sandbox against programs that want out, and code and formulas that are checked in it."""

import os
import sys
import tempfile
import time
from pathlib import Path

import anyio
import pytest

from plait.core import Part, Request, Verdict
from plait.verify import Code, Limits, Math
from plait.verify import sandbox as module
from plait.verify.sandbox import Caged, run_caged

SHORT = Limits(seconds=20.0, megabytes=256)


def cage(program: str, limits: Limits = SHORT) -> Caged:
    return anyio.run(run_caged, {"main.py": program}, "main.py", limits)


BUILT = sys.platform == "linux" and cage("").built
pytestmark = pytest.mark.skipif(not BUILT, reason="this system has no namespaces for a sandbox")


def verify(verifier: Code | Math, text: str) -> Verdict:
    async def main() -> Verdict:
        return await verifier.verify(None, Request(prompt="q"), Part(text))  # type: ignore[arg-type]

    return anyio.run(main)


def test_a_program_runs_and_its_status_and_output_come_back() -> None:
    ran = cage("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert (ran.status, ran.built) == (3, True)
    assert ran.output.split() == ["out", "err"] or ran.output.split() == ["err", "out"]


def test_it_is_nobody_and_its_environment_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAIT_API_KEY", "sk-secret")
    ran = cage("import os; print(os.getuid() != 0, sorted(os.environ), os.getpid())")
    assert ran.output.startswith("True ['HOME', 'LANG', 'PATH'")
    assert ran.output.split()[-1] == "1"


@pytest.mark.parametrize("program", [
    "open('/etc/passwd')", f"open({str(Path(__file__))!r})", f"open('/proc/{os.getpid()}/environ')",
    "open('/usr/x', 'w')", "open('/x', 'w')", "import os; os.mkdir('/tmp/../x')",
    "import os; os.setuid(0)", "import os; os.kill(1, 0); os.listdir('/proc/1')",
    "import ctypes, os; l = ctypes.CDLL(None); assert l.mount(b'x', b'/tmp', b'tmpfs', 0, 0) == 0",
    "import ctypes; assert ctypes.CDLL(None).umount2(b'/usr', 2) == 0",
    "import os; os.chroot('/tmp')",
])
def test_it_cannot_reach_files_rights_or_processes_of_this_machine(program: str) -> None:
    ran = cage(program)
    assert ran.built
    assert ran.status == 1
    assert "Error" in ran.output


def test_a_folder_that_it_may_read_may_lie_where_it_writes() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        Path(folder, "given").write_text("here")
        program = (f"print(open({folder + '/given'!r}).read()); open('/tmp/own', 'w').close()\n"
                   f"open({folder + '/new'!r}, 'w')")
        ran = anyio.run(run_caged, {"main.py": program}, "main.py", SHORT, [folder])
        assert ran.output.startswith("here\n")
        assert (ran.status, ran.built) == (1, True)
        assert "Error" in ran.output.splitlines()[-1]
        assert [path.name for path in Path(folder).iterdir()] == ["given"]


def test_it_has_no_network(tmp_path: Path) -> None:
    async def main() -> Caged:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with listener:
            return await run_caged({"main.py": "import socket\n"
                                    f"socket.create_connection(('127.0.0.1', {port}), 5)"},
                                   "main.py", SHORT)

    ran = anyio.run(main)
    assert ran.status == 1
    assert "Error" in ran.output


@pytest.mark.parametrize(("program", "says"), [
    ("x = 'a' * 10**9", "MemoryError"),
    ("f = open('big', 'wb')\nfor _ in range(99): f.write(b'x' * 10**6); f.flush()", "Error"),
    ("import os\nfor k in range(99): os.open('/dev/null', 0)", "Too many open files"),
    ("import os\nwhile True:\n    if os.fork() == 0: __import__('time').sleep(60)", "Error"),
])
def test_memory_files_and_processes_are_limited(program: str, says: str) -> None:
    ran = cage(program)
    assert ran.status not in (0, None)
    assert says in ran.output


def test_output_is_limited_and_its_end_is_kept() -> None:
    ran = cage("for k in range(200000): print('line', k)")
    assert ran.status != 0
    assert len(ran.output) <= module.LONGEST


def test_what_takes_too_long_is_killed_with_all_that_it_started() -> None:
    program = ("import os, time\nfor _ in range(3):\n    if os.fork() == 0:\n        os.setsid()\n"
               "        while True: pass\nwhile True: time.sleep(1)")
    start = time.perf_counter()
    ran = cage(program, Limits(seconds=1.5))
    assert ran.status is None
    assert time.perf_counter() - start < 10
    assert not _alive("main.py")


def test_leaving_early_kills_it_too() -> None:
    async def main() -> None:
        with anyio.move_on_after(1.0):
            await run_caged({"main.py": "while True: pass"}, "main.py", Limits(seconds=60))

    anyio.run(main)
    assert not _alive("main.py")


def _alive(program: str) -> list[str]:
    """Processes of a sandbox that still run ``program``, after a moment's grace."""
    for _ in range(50):
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[1:3] == [b"-I", program.encode()]:
                found.append(folder.name)
        if not found:
            return []
        time.sleep(0.1)
    return found


def test_without_a_cage_nothing_runs_and_the_verdict_says_that_it_cannot_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "cage.py"
    source = module.CAGE.read_text()
    broken.write_text(source.replace("def leave() -> None:",
                                     "def leave() -> None:\n    raise NotBuilt('forbidden')"))
    monkeypatch.setattr(module, "CAGE", broken)
    ran = cage("print('it ran')")
    assert not ran.built
    assert "it ran" not in ran.output
    for verifier in (Code("assert True"), Math("(x+1)^2")):
        verdict = verify(verifier, "x^2")
        assert verdict.ok is None
        assert verdict.reason == "the sandbox cannot be built: forbidden"


def test_a_user_namespace_serves_where_there_are_no_rights_of_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "cage.py"
    other.write_text(module.CAGE.read_text().replace("if os.geteuid() == 0:", "if False:"))
    monkeypatch.setattr(module, "CAGE", other)
    ran = cage("import os; print(os.getuid()); open('/etc/passwd')")
    if not ran.built:
        pytest.skip("this system forbids user namespaces")
    assert ran.output.startswith("65534")
    assert "FileNotFoundError" in ran.output


# --- code --------------------------------------------------------------------------------------

SQUARE = "Sure:\n```python\ndef square(x):\n    return x * x\n```"
TESTS = "assert square(3) == 9\n\ndef test_negative():\n    assert square(-2) == 4\n"


def test_a_program_that_passes_its_tests_is_right() -> None:
    assert verify(Code(TESTS), SQUARE) == Verdict(True, 1.0)


@pytest.mark.parametrize(("program", "reason"), [
    ("def square(x): return x + x", "AssertionError"),
    ("def square(x): return 9", "AssertionError"),
    ("import sys; sys.exit(0)", "it ended before the tests did"),
    ("import os; os._exit(0)", "it ended before the tests did"),
    ("print('ok'); raise SystemExit", "it ended before the tests did"),
    ("def square(x", "SyntaxError: '(' was never closed"),
    ("", "NameError: name 'square' is not defined"),
    ("while True: pass", "it took longer than 2 seconds"),
    ("I would square it.", "SyntaxError: invalid syntax"),
])
def test_a_program_that_does_not_pass_is_wrong_and_the_reason_says_why(
    program: str, reason: str
) -> None:
    verdict = verify(Code(TESTS, Limits(seconds=2.0)), f"```python\n{program}\n```")
    assert verdict == Verdict(False, 0.0, reason)


# --- formulas ----------------------------------------------------------------------------------

math_verify = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("math_verify") is None,
    reason="math-verify is not installed")


@math_verify
@pytest.mark.parametrize(("expected", "answer", "ok"), [
    ("(x+1)^2", "Answer: $x^2+2x+1$", True),
    ("(x+1)^2", "Answer: $x^2+2x$", False),
    ("\\frac{\\sqrt{2}}{2}", "so \\boxed{\\frac{1}{\\sqrt{2}}}", True),
    ("0.5", "Answer: 1/2", True),
    ("5", "Answer: $__import__('os').system('id')$", False),
])
def test_formulas_are_compared_as_mathematics(expected: str, answer: str, ok: bool) -> None:
    assert verify(Math(expected, Limits(30.0, 2048)), answer).ok is ok


@math_verify
def test_a_formula_that_takes_for_ever_is_killed_and_cannot_be_told() -> None:
    start = time.perf_counter()
    verdict = verify(Math("1", Limits(1.0, 2048)), "$9^{9^{9^{9}}}$")
    assert verdict == Verdict(None, 0.0, "math-verify took over 1 seconds")
    assert time.perf_counter() - start < 20
    assert verify(Math("x"), "Answer: $" + "y+" * 2000 + "1$").ok is False
