"""The commands as a user or a script meets them: output, errors, exit statuses."""

from __future__ import annotations

import io
import json
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

from plait.errors import EngineUnreachable
from plait.protocols import CATALOGUE
from plait.testing import ScriptedEngine
from plait.version import VERSION
from tests.cli.conftest import Shell

KEYS = {
    "answer", "correct", "finish", "method", "protocol", "fallback", "threads", "forks",
    "max_parallel", "depth", "total_tokens", "critical_path_tokens", "prompt_tokens",
    "cached_tokens", "inserted_tokens", "wall_seconds", "trace", "version", "verified",
    "conflicts", "cost", "warnings", "wasted_tokens", "estimated", "reason",
}
SOLVE = ("solve", "think in parallel", "--protocol", "threadweaver")


def test_the_json_of_an_answer_is_one_object_with_the_agreed_keys(shell: Shell) -> None:
    status, out, err = shell(*SOLVE, "--json")
    result = json.loads(out)
    assert (status, err) == (0, "")
    assert out.count("\n") == 1
    assert set(result) == KEYS
    assert (result["answer"], result["finish"], result["correct"]) == ("42", "answered", None)
    assert (result["method"], result["protocol"]) == ("native", "threadweaver")
    assert (result["threads"], result["forks"], result["depth"]) == (3, 1, 1)
    assert (result["trace"], result["fallback"], result["version"]) == (None, None, VERSION)


@pytest.mark.parametrize("how", [("--json",), ("-q",), ()])
def test_a_protocol_that_is_to_be_found_out_is_said_on_standard_error(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, how: tuple[str, ...]
) -> None:
    ask = ("solve", "think in parallel", "--protocol", "auto", *how)
    status, _, err = shell(*ask)
    assert status == 0
    assert err == ("plait: no wire format is known for the model `script`: name one with --protocol"
                   " (`plait protocols` lists them), or use --method tools if it calls tools\n")
    monkeypatch.setattr(ScriptedEngine, "model", "Multiverse-32B")
    status, _, err = shell(*ask)
    assert err == ("plait: `Multiverse-32B` is taken for Multiverse4FM/Multiverse-32B, which writes"
                   " multiverse\n")
    assert shell(*ask, "--method", "sequential")[2] == ""


def test_a_comparison_holds_both_results_and_three_speedups(shell: Shell) -> None:
    status, out, _ = shell(*SOLVE, "--compare", "--json")
    both = json.loads(out)
    assert status == 0
    assert set(both) == {"parallel", "sequential", "token_speedup", "wall_speedup",
                         "attainable_speedup"}
    assert set(both["parallel"]) == set(both["sequential"]) == KEYS
    assert both["sequential"]["method"] == "sequential"
    expected = both["sequential"]["total_tokens"] / both["parallel"]["critical_path_tokens"]
    assert both["token_speedup"] == expected
    assert both["wall_speedup"] > 0
    assert both["attainable_speedup"] > 0


def test_a_pipe_gets_plain_lines_and_then_the_summary(shell: Shell) -> None:
    status, out, err = shell(*SOLVE)
    assert (status, err) == (0, "")
    assert "0.1  starts at token" in out
    assert "0  joins 2 threads: 2 done" in out
    assert "answer       42" in out
    assert "\x1b" not in out


def test_a_terminal_gets_a_tree_and_then_the_summary(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    status, out, _ = shell(*SOLVE)
    assert status == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out)
    assert "├─ 0.0  ✓ done" in shown
    assert "answer       42" in shown


def test_a_comparison_for_people_ends_in_a_table(shell: Shell) -> None:
    status, out, _ = shell(*SOLVE, "--compare")
    assert status == 0
    assert "parallel      sequential" in out
    assert "token speedup" in out


def test_quiet_prints_the_answer_and_nothing_else(shell: Shell) -> None:
    assert shell(*SOLVE, "--quiet") == (0, "42\n", "")
    assert shell(*SOLVE, "--quiet", "--compare") == (0, "42\n", "")


def test_the_question_may_come_from_standard_input(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"from \xff stdin"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stdin)
    assert shell("solve", "-", "--quiet")[0] == 0
    assert shell.engine is not None
    assert "from \ufffd stdin" in shell.engine.prompts[0]


def test_no_answer_is_status_one_and_says_so(shell: Shell) -> None:
    status, out, err = shell("solve", "nothing", "--method", "sequential", "--json")
    assert status == 1
    assert json.loads(out)["answer"] is None
    assert err.startswith("plait: no answer: ")
    assert err.count("\n") == 1


def test_a_used_up_budget_is_said_beside_the_answer(shell: Shell) -> None:
    status, out, err = shell("solve", "x", "--method", "sequential", "--total-tokens", "5",
                             "--quiet")
    assert (status, out) == (0, "one after the other, a\n")
    assert err == "plait: the budget ended; this is the best answer so far\n"


def test_an_engine_that_cannot_be_reached_is_status_three(shell: Shell) -> None:
    shell.fails = EngineUnreachable("no connection to http://x", hint="Is the server running?")
    status, out, err = shell("solve", "x", "--method", "sequential", "--json")
    assert (status, out) == (3, "")
    assert err == "plait: no connection to http://x. Is the server running?\n"
    assert shell("solve", "x", "--compare")[0] == 3


@pytest.mark.parametrize(("arguments", "says"), [
    (("sovle", "x"), "plait: there is no command `sovle`. Known: solve,"),
    (("solve",), "plait: missing argument 'PROMPT'. See `plait solve --help`."),
    (("solve", "x", "--colour", "red"), "plait: no such option: --colour"),
    (("solve", "x", "--width", "wide"), "plait: invalid value for '--width'"),
    (("solve", "x", "--seed", "-1"), "plait: invalid value for '--seed'"),
    (("solve", " "), "plait: a request needs either a prompt or messages."),
    (("solve", "x", "--seconds", "0"), "plait: budget `seconds` is 0.0 but must be above 0"),
    (("solve", "x", "--temperature", "-1"), "plait: `temperature` is -1.0 but must be at least 0"),
    (("solve", "x", "--protocol", "apx"), "plait: there is no protocol `apx`. Did you mean `apr`?"),
    (("solve", "x", "--method", "guess"), "plait: there is no method `guess`."),
    (("solve", "x", "--trace", "no/such/folder"), "plait: cannot write the trace file no/such/"),
    (("trace", "missing"), "plait: cannot read the trace file missing: No such file"),
])
def test_a_usage_error_is_one_line_and_status_two(
    shell: Shell, arguments: tuple[str, ...], says: str
) -> None:
    status, out, err = shell(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(says)
    assert err.count("\n") == 1


def test_a_wrong_setting_in_the_file_is_a_usage_error(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAIT_WIDHT", "3")
    assert shell("solve", "x")[0] == 2


def test_a_bug_is_one_line_too(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*args: object, **options: object) -> None:
        raise ExceptionGroup("tasks", [ZeroDivisionError("by zero")])

    monkeypatch.setattr(import_module("plait.cli.solve"), "answer", broken)
    status, out, err = shell("solve", "x")
    assert (status, out) == (1, "")
    assert err.startswith("plait: internal error: ZeroDivisionError: by zero. This is a bug")
    monkeypatch.setenv("PLAIT_DEBUG", "1")
    assert "Traceback" in shell("solve", "x")[2]


def test_control_c_leaves_with_130_and_no_traceback(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("plait.cli.solve"), "answer", interrupted)
    assert shell("solve", "x") == (130, "", "plait: stopped\n")


def test_a_recorded_run_can_be_shown_and_measured(shell: Shell) -> None:
    result = json.loads(shell(*SOLVE, "--json", "--trace", "run.jsonl")[1])
    assert result["trace"] == "run.jsonl"
    status, out, err = shell("trace", "run.jsonl")
    assert (status, err) == (0, "")
    assert "├─ 0.0" in out
    assert "answer       42" in out
    assert "longest path" in out
    numbers = json.loads(shell("trace", "run.jsonl", "--json")[1])
    for name in ("total_tokens", "critical_path_tokens", "threads", "forks", "wall_seconds"):
        assert numbers[name] == result[name]
    assert numbers["activation"] is True


def test_a_comparison_records_both_runs(shell: Shell) -> None:
    both = json.loads(shell(*SOLVE, "--compare", "--json", "--trace", "run.jsonl")[1])
    assert both["parallel"]["trace"] == "run.jsonl"
    assert both["sequential"]["trace"] == "run.sequential.jsonl"
    assert shell("trace", "run.sequential.jsonl")[0] == 0


def test_a_trace_that_was_cut_off_is_shown_with_a_warning(shell: Shell) -> None:
    shell(*SOLVE, "--trace", "run.jsonl")
    with Path("run.jsonl").open("r+b") as file:
        file.truncate(file.seek(0, 2) - 9)
    status, out, err = shell("trace", "run.jsonl")
    assert status == 0
    assert "none: the run did not end" in out
    assert err == ("plait: run.jsonl was cut off in its last line; the numbers are of what is "
                   "there\n")


def test_version_and_help_are_shown_on_demand(shell: Shell) -> None:
    assert shell("--version") == (0, f"plait {VERSION}\n", "")
    assert "solve" in shell("--help")[1]
    assert shell()[1] == shell("--help")[1]
    assert "--critical-tokens" in shell("solve", "--help")[1]


def test_the_wire_formats_are_listed_with_what_is_known_of_them(shell: Shell) -> None:
    status, out, err = shell("protocols")
    assert (status, err) == (0, "")
    for name in CATALOGUE:
        assert re.search(rf"^{name}  .*\n  threads   ", out, re.MULTILINE)
    assert "trained with siblings that start at one position" in out
    listed = json.loads(shell("protocols", "--json")[1])
    assert [facts["name"] for facts in listed] == list(CATALOGUE)
    assert {facts["family"] for facts in listed} == {"fork", "spawn"}


WOVEN = ("<Parallel>\n<Outlines>\n<Outline>1: a</Outline>\n<Outline>2: b</Outline>\n</Outlines>\n"
         "<Thread>\n1: one two three</Thread><Thread>\n2: four</Thread>\n</Parallel>\ndone")


def test_a_transcript_is_checked_with_the_place_of_each_fault(shell: Shell) -> None:
    Path("good.txt").write_text(WOVEN)
    Path("bad.txt").write_text(WOVEN.replace("four</Thread>\n", "four\n"))
    status, out, err = shell("protocols", "check", "good.txt", "--protocol", "threadweaver")
    assert (status, err) == (0, "")
    assert "well formed" in out
    assert "3 threads in 1 block, 1 level deep" in out
    status, out, _ = shell("protocols", "check", "bad.txt", "--protocol", "threadweaver", "--json")
    report = json.loads(out)
    assert (status, report["well_formed"]) == (1, False)
    assert any("not closed" in fault["what"] for fault in report["faults"])
    assert report["published"]["measure"] == "1 - L/T"


def test_every_line_of_a_jsonl_file_is_a_transcript(shell: Shell) -> None:
    Path("two.jsonl").write_text(json.dumps({"text": WOVEN}) + "\n\n" + json.dumps({"text": "hi"}))
    status, out, _ = shell("protocols", "check", "two.jsonl", "--protocol", "parason", "--json")
    assert len(out.splitlines()) == 2
    assert status in (0, 1)


@pytest.mark.parametrize(("content", "protocol", "says"), [
    (None, "threadweaver", "cannot read"), ("{", "threadweaver", "line 1 is no JSON"),
    ('{"words": 1}', "threadweaver", "has no `text`"), ("{}", "thredweaver", "no protocol"),
    ("{}", "pasta", "PASTA is not run"),
])
def test_what_cannot_be_checked_is_one_line(
    shell: Shell, content: str | None, protocol: str, says: str
) -> None:
    if content is not None:
        Path("x.jsonl").write_text(content)
    status, out, err = shell("protocols", "check", "x.jsonl", "--protocol", protocol)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err


def test_a_decision_is_explained_with_what_it_was_made_from(shell: Shell) -> None:
    asked = ("solve", "x", "--policy", "threshold", "--explain")
    status, out, _ = shell(*asked)
    assert status == 0
    assert "the policy threshold chose sequential: about" in out
    assert "it looked at tokens 1, kind talk, numbers 0" in out
    assert ", threshold 400, estimated cost 250, " in out
    decision = json.loads(shell(*asked, "--json")[1])["decision"]
    assert (decision["policy"], decision["method"]) == ("threshold", "sequential")
    assert decision["inputs"]["threshold"] == "400"
    status, out, err = shell(*asked, "--quiet")
    assert "chose sequential" in err
    assert "chose" not in out


def test_the_threshold_is_a_setting(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAIT_THRESHOLD", "7")
    out = shell("solve", "x", "--policy", "threshold", "--explain", "--json")[1]
    assert json.loads(out)["decision"]["inputs"]["threshold"] == "7"
    assert shell("solve", "x", "--policy", "luck")[0] == 2


def test_a_directed_method_is_chosen_by_name_with_its_settings(shell: Shell) -> None:
    status, out, err = shell("solve", "2+2?", "--method", "explore", "--attempts", "2", "--merge",
                             "vote", "--json")
    result = json.loads(out)
    assert (status, err) == (0, "")
    assert (result["method"], result["answer"], result["threads"]) == ("explore", "42", 3)
    status, out, _ = shell("solve", "2+2?", "--method", "fixed", "--merge", "synthesize", "--json")
    assert json.loads(out)["answer"] == "merged"


def test_a_fallback_says_why(shell: Shell) -> None:
    status, out, _ = shell("solve", "2+2?", "--method", "refine", "--json")
    result = json.loads(out)
    assert (status, result["method"], result["answer"]) == (0, "refine", "42")
    assert result["fallback"].startswith("refining needs a model that chats")


@pytest.mark.parametrize(("arguments", "says"), [
    (("--method", "exploer"), "there is no method `exploer`. Did you mean `explore`?"),
    (("--method", "explore", "--merge", "majority"), "there is no merge `majority`."),
    (("--method", "explore", "--verify", "code:x.py"), "cannot read the tests x.py: No such file"),
    (("--method", "explore", "--prompts", "mine"), "there is no prompt set `mine`."),
    (("--method", "explore", "--attempts", "0"), "`attempts` is 0 but must be above 0"),
    (("--method", "fixed", "--attempts", "9"), "the method `fixed` makes 2 or 3 attempts, not 9."),
    (("--method", "plan", "--plan", "straggler"), "`straggler` of a plan is '' but must be hedge"),
    (("--method", "plan", "--window", "50"), "`window` is 50 but must be at least 64"),
    (("--method", "plan", "--plan", "cut"), "`cut` is no option of a plan. Known: least, most"),
    (("--method", "refine", "--rounds", "4"), "`rounds` is (4,) but must end in a round of 1"),
    (("--roles", "judge"), "`roles` has 'judge', which names no role's engine."),
])
def test_a_mistake_in_a_directed_method_is_one_line_and_status_two(
    shell: Shell, arguments: tuple[str, ...], says: str
) -> None:
    status, out, err = shell("solve", "2+2?", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"plait: {says}")
    assert err.count("\n") == 1
