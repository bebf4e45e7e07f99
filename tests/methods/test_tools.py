"""Any model that calls tools forks by itself; what goes wrong is told to it, and noted."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from plait.core import Budget, Request, Result, Sampling
from plait.core.events import Ended, Event, Joined, Started, Wrote
from plait.errors import EngineUnreachable, UsageError
from plait.methods.tools import read_last_turn
from plait.solve import solve
from plait.testing import Play, ScriptedEngine, run_virtual
from plait.trace import Trace, measure

Turn = Play | str


def spawn(*tasks: object) -> tuple[str, str]:
    return "spawn_threads", json.dumps({"tasks": tasks})


def join(*ids: str) -> tuple[str, str]:
    return "join_threads", json.dumps({"ids": ids} if ids else {})


class Run:
    """One request: the root's turns as scripted, threads that answer `work` of their task."""

    def __init__(
        self, turns: list[Turn], work: Callable[[str], Turn] = lambda task: f"did {task}",
        **budget: int | float,
    ) -> None:
        self.trace = Trace()
        self.turns = turns
        self.work = work
        self.prompts: list[str] = []
        self.engine = ScriptedEngine(self.script)

        async def main() -> Result:
            request = Request("Q?", budget=Budget(**budget))  # type: ignore[arg-type]
            return await solve(request, engine=self.engine, method="tools", trace=self.trace)

        self.result = run_virtual(main)

    def script(self, prompt: str, sampling: Sampling) -> Turn:
        if prompt.startswith("system: "):
            return self.work(prompt.partition("user: ")[2].strip())
        self.prompts.append(prompt)
        return self.turns[min(len(self.prompts), len(self.turns)) - 1]

    @property
    def told(self) -> list[dict[str, object]]:
        """The results of the root's calls, in the order in which it got them."""
        lines = self.prompts[-1].splitlines()
        return [json.loads(line.partition(": ")[2]) for line in lines
                if line.startswith(('tool: {', 'user: {'))]

    def events(self, kind: type[Event]) -> list[Event]:
        return [e for e in self.trace.events if isinstance(e, kind)]


def test_a_model_forks_and_joins_by_calling_tools() -> None:
    run = Run([Play("Two parts.", calls=[spawn("left", {"task": "right", "context": "x=1"})]),
               Play("", calls=[join("t1", "t2")]), "Both: 42"])
    assert (run.result.answer, run.result.fallback) == ("Both: 42", None)
    assert (run.result.method, run.result.threads, run.result.forks) == ("tools", 3, 1)
    assert (run.result.depth, run.result.max_parallel) == (1, 2)
    assert run.result.warnings == ()
    assert run.told == [
        {"threads": ["t1", "t2"]},
        {"results": [{"id": "t1", "status": "done", "result": "did left"},
                     {"id": "t2", "status": "done", "result": "did right\n\nx=1"}]}]
    assert all(prompt.startswith("user: Q?\n") for prompt in run.prompts)
    assert run.engine.calls.open == 0
    started = run.events(Started)
    assert [e.label for e in started[1:]] == ["t1: left", "t2: right"]
    assert "→ spawn_threads {\"tasks\"" in run.result.text
    assert "\n← {\"threads\": [\"t1\", \"t2\"]}\n" in run.result.text


def test_a_thread_starts_while_the_list_that_it_stands_in_is_still_written() -> None:
    run = Run([Play("", calls=[spawn("a " * 20, "b " * 20, "c " * 20)]),
               Play("", calls=[join()]), "42"])
    last_of_call = next(e.t for e in run.events(Wrote) if e.text.endswith("]}"))
    begun = [e.t for e in run.events(Started)][1:]
    assert begun[0] < begun[1] < begun[2] <= last_of_call
    assert [e.at for e in run.events(Started)][1:] == sorted(
        {e.at for e in run.events(Started)} - {0})
    metrics = measure(run.trace.events)
    assert metrics.total_tokens == sum(e.tokens for e in run.events(Wrote))
    assert metrics.parallel_share > 0.2
    assert metrics.critical_path_tokens < metrics.total_tokens


def test_the_parent_goes_on_after_it_has_spawned() -> None:
    run = Run([Play("", calls=[spawn("slow")]), Play("on and on", calls=[join()]), "42"],
              work=lambda task: Play(" word" * 30))
    went_on = next(e.t for e in run.events(Wrote) if "on" in e.text and e.thread == "0")
    ended = next(e.t for e in run.events(Ended) if e.thread == "0.0")
    joined = next(e.t for e in run.events(Joined))
    assert went_on < ended <= joined
    # the longest path goes through the thread: what was written before it, it, and the answer
    spawned = run.events(Started)[1].at
    assert run.result.critical_path_tokens == spawned + 30 + 1


def test_several_calls_in_one_turn_are_answered_each() -> None:
    run = Run([Play("", calls=[spawn("a"), spawn("b"), join("t2"), ("look_up", "{}")]),
               Play("", calls=[join()]), "42"])
    assert run.told == [
        {"threads": ["t1"]}, {"threads": ["t2"]},
        {"results": [{"id": "t2", "status": "done", "result": "did b"}]},
        {"error": "there is no tool `look_up`, only spawn_threads and join_threads"},
        {"results": [{"id": "t1", "status": "done", "result": "did a"}]}]
    assert run.result.warnings == (
        "look_up: there is no tool `look_up`, only spawn_threads and join_threads",)


@pytest.mark.parametrize(("calls", "told"), [
    ([("spawn_threads", '{"tasks": ["a", "b')],
     {"threads": ["t1"], "error": "not valid JSON"}),
    ([("spawn_threads", "[1]")], {"threads": [], "error": "not a JSON object"}),
    ([("spawn_threads", "")], {"threads": [], "error": "must be a list"}),
    ([spawn()], {"threads": [], "error": "is empty"}),
    ([spawn("a", " ", 7)], {"threads": ["t1"], "error": "task 2 is empty; task 3 is neither"}),
    ([spawn(*"x" * 66)], {"threads": [f"t{i}" for i in range(1, 65)],
                          "error": "tasks 65 to 66 were not started"}),
    ([spawn("a"), ("join_threads", "{")], {"error": "not valid JSON"}),
    ([join("t9")], {"results": [], "error": "there is no thread t9; none is open"}),
    ([join()], {"results": [], "error": "no thread is open"}),
    ([spawn("a"), join("t1"), join("t1")],
     {"results": [], "error": "thread t1 was joined before; none is open"}),
    ([spawn("a", "b"), join("t1", "t9")], {
        "results": [{"id": "t1", "status": "done", "result": "did a"}],
        "error": "there is no thread t9; open: t1, t2"}),
], ids=["cut", "list", "nothing", "empty", "blank", "many", "join-json", "unknown", "none open",
        "twice", "partly"])
def test_what_is_wrong_with_a_call_is_its_result_and_a_warning(
    calls: list[tuple[str, str]], told: dict[str, object]
) -> None:
    run = Run([Play("", calls=calls), Play("", calls=[join()]), "42"])
    got = run.told[len(calls) - 1]
    assert str(told["error"]) in str(got["error"])
    assert {**got, "error": 0} == {**told, "error": 0}
    assert any(str(told["error"]).split(";")[0] in w for w in run.result.warnings)
    assert run.result.answer == "42"
    assert run.result.fallback is None


def test_arguments_that_are_no_object_are_not_sent_back() -> None:
    run = Run([Play("", calls=[("spawn_threads", '{"tasks": [')]), "42"])
    assert run.result.answer == "42"
    # the conversation goes on with arguments that every server takes; the text keeps the model's
    assert '→ spawn_threads {"tasks": [\n←' in run.result.text


@pytest.mark.parametrize(("budget", "why"), [
    ({"threads": 2}, "the limit on threads is 2"), ({"depth": 1}, None)])
def test_limits_on_threads_are_told(budget: dict[str, int], why: str | None) -> None:
    run = Run([Play("", calls=[spawn("a", "b")]), Play("", calls=[join()]), "42"], **budget)
    assert run.result.answer == "42"
    if why is None:
        assert run.told[0] == {"threads": ["t1", "t2"]}
        return
    assert run.told[0] == {"threads": ["t1"], "error": f"task 2 was not started: {why}"}
    assert [r["id"] for r in run.told[1]["results"]] == ["t1"]  # type: ignore[attr-defined]


def test_threads_spawn_as_deep_as_the_budget_allows() -> None:
    def work(task: str) -> Turn:
        if "tool: " in task or task.count("deep") == 3:
            return f"level {task.partition(chr(10))[0].count('deep')}"
        return Play("", calls=[spawn("deep " + task), join()])

    turns: list[Turn] = [Play("", calls=[spawn("deep")]), Play("", calls=[join()]), "42"]
    assert Run(turns, work, depth=3).result.depth == 3
    run = Run(turns, work, depth=2)
    assert (run.result.answer, run.result.fallback) == ("42", None)
    assert "thread 0.0.0.0 was not started: the limit on depth is 2" in run.result.warnings


def test_a_thread_that_fails_or_runs_dry_is_told_with_what_it_had() -> None:
    def work(task: str) -> Turn:
        if task == "fails":
            return Play("half", error=EngineUnreachable("gone"), error_after=1)
        return "word " * 400

    run = Run([Play("", calls=[spawn("fails", "long")]), Play("", calls=[join()]), "42"], work,
              total_tokens=600)
    assert run.result.answer == "42"
    failed, dry = run.told[1]["results"]  # type: ignore[misc]
    assert (failed["status"], failed["reason"]) == ("failed", "gone")
    assert dry["status"] == "budget"
    assert dry["result"].startswith("word word")
    assert run.result.total_tokens <= 600


def test_an_answer_while_threads_are_open_is_given_again_with_what_they_found() -> None:
    run = Run([Play("", calls=[spawn("a", "b")]), "I wait for the threads.", "42"])
    assert run.result.answer == "42"
    assert run.told[1] == {
        "error": "you ended your turn while threads were open: t1, t2. Here is what they found;"
                 " give the whole answer now.",
        "results": [{"id": "t1", "status": "done", "result": "did a"},
                    {"id": "t2", "status": "done", "result": "did b"}]}
    assert run.result.warnings == ("the answer does not wait for t1, t2",)
    silent = Run([Play("", calls=[spawn("a")]), "7 at first", ""])
    assert (silent.result.answer, silent.result.fallback) != (None, None)


def test_endless_rounds_end_with_one_turn_that_may_call_nothing() -> None:
    run = Run([Play("so far 7", calls=[spawn("a"), join()])] * 4 + ["8"], rounds=3)
    assert "stopped after 3 rounds of calls" in run.result.warnings
    assert (run.result.fallback, run.result.answer) == ("rounds", "8")
    started = [e for e in run.events(Started) if e.role == "thread"]
    assert len(started) == 1 + 3  # what the last turn calls for is not started
    good = Run([Play("", calls=[spawn("a"), join()])] * 2 + ["42"], rounds=2)
    assert (good.result.answer, good.result.fallback) == ("42", None)
    assert [told.get("notice") for told in good.told][1:] == [None] + 2 * [
        "this was the last round of calls: answer now, without calling anything"]


def test_time_that_ends_while_threads_work_leads_to_an_answer_on_what_is_left() -> None:
    def work(task: str) -> Turn:
        return Play("slow " * 1000, every=1.0)

    run = Run([Play("", calls=[spawn("a")]), Play("", calls=[join()]), "42"], work, seconds=20.0)
    assert run.result.fallback == "seconds"
    assert run.result.answer == "42"
    assert run.result.wall_seconds < 20
    assert run.engine.calls.open == 0


def test_calls_that_a_server_passes_on_as_text_lead_to_sequential_reasoning() -> None:
    text = '<tool_call>{"name": "spawn_threads", "arguments": {"tasks": ["a"]}}</tool_call>'
    run = Run([text, "42"])
    assert run.result.answer == "42"
    assert run.result.fallback is not None
    assert "--tool-call-parser" in run.result.fallback
    assert any("falling back to sequential" in w for w in run.result.warnings)


def test_a_model_that_calls_nothing_just_answers() -> None:
    run = Run(["<think>easy</think> 42"])
    assert (run.result.answer, run.result.threads, run.result.fallback) == ("42", 1, None)


def test_thoughts_do_not_stand_in_the_answer_and_stay_out_of_what_was_said() -> None:
    run = Run([Play("<think>split</think>Splitting.", calls=[spawn("a"), join()]),
               "<think>sum</think>42"])
    assert run.result.answer == "42"
    assert "assistant: Splitting.\n" in run.prompts[1]


def test_a_wire_format_and_tools_exclude_each_other() -> None:
    async def main() -> Result:
        return await solve("Q?", engine=ScriptedEngine(lambda p, s: "x"), method="tools",
                           protocol="apr")

    with pytest.raises(UsageError, match="drives no wire format"):
        run_virtual(main)


@pytest.mark.parametrize(("text", "answer"), [
    ("42", "42"), ("\n→ spawn_threads {", None), ("\n→ spawn_threads {}\n← {}\n", None),
    ("x\n→ join_threads {}\n← {}\n<think>a</think>42", "42"),
    ("x\n→ join_threads {}\n← {}\n← {}\nso\n→ join_threads {}", None)])
def test_the_answer_stands_in_the_last_turn(text: str, answer: str | None) -> None:
    assert read_last_turn(text) == answer
