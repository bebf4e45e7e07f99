"""The breaker: off after too many bad runs, on again by trials; alone, and inside `solve`."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from plait.core import Plan, Result
from plait.core.events import Decided, RunEnded, RunStarted, Started
from plait.core.rolling import Rolling
from plait.errors import UsageError
from plait.policy import Breaker, BreakerSettings
from plait.policy.breaker import MOST_LINES, Fate
from plait.policy.outliers import KNOWN, Outliers
from plait.policy.reasons import REASONS, reason_word
from plait.solve import Runtime, solve
from plait.testing import ScriptedEngine, run_virtual
from plait.trace import Trace
from tests.methods.play import chat

SMALL = BreakerSettings(window=4, least=3, share=0.5, rest=10.0, longest=35.0, probes=2)


def fed(*fates: Fate, settings: BreakerSettings = SMALL) -> Breaker:
    breaker = Breaker(settings)
    for moment, fate in enumerate(fates):
        breaker.record("plan", "m", fate, moment, moment + 0.5)
    return breaker


def test_bad_runs_switch_the_method_off_for_this_model_only() -> None:
    breaker = fed("good", "failed", "timeout")
    assert breaker.refusal("plan", "m", 3) == (
        "the method `plan` is switched off for 10 s more: of the last 3 runs 1 failed,"
        " 1 ran out of time")
    assert breaker.refusal("plan", "other", 3) is None
    assert breaker.refusal("explore", "m", 3) is None
    assert breaker.refusal("sequential", "m", 3) is None


def test_names_without_end_are_not_kept_without_end() -> None:
    breaker = Breaker(SMALL)
    for number in range(MOST_LINES + 10):
        breaker.record("plan", f"m{number}", "good", float(number), number + 1.0)
    models = [s.model for s in breaker.standings(1e6)]
    assert models == [f"m{n}" for n in range(10, MOST_LINES + 10)]


def test_a_few_bad_runs_among_good_ones_switch_nothing_off() -> None:
    assert fed("failed", "failed").refusal("plan", "m", 3) is None
    assert fed("good", "good", "good", "failed").refusal("plan", "m", 5) is None
    assert fed(*["cancelled"] * 20).refusal("plan", "m", 30) is None  # type: ignore[arg-type]


def test_old_runs_are_forgotten() -> None:
    breaker = fed("failed", "good", "good", "good", "good", "failed")
    assert breaker.refusal("plan", "m", 9) is None


def test_one_trial_at_a_time_switches_it_on_again() -> None:
    breaker = fed("failed", "failed", "failed")
    assert breaker.refusal("plan", "m", 13) is None
    assert "until a trial succeeds" in (breaker.refusal("plan", "m", 13) or "")
    breaker.record("plan", "m", "good", 13, 14)
    assert breaker.standings(14)[0].position == "probing"
    assert breaker.refusal("plan", "m", 14) is None
    breaker.record("plan", "m", "good", 14, 15)
    assert [breaker.refusal("plan", "m", 15) for _ in range(3)] == [None] * 3


def test_each_failed_trial_doubles_the_rest_up_to_the_longest() -> None:
    breaker, now, rests = fed("failed", "failed", "failed"), 2.5, []
    for _ in range(4):
        rests.append(breaker.standings(now)[0].left)
        now += rests[-1]
        assert breaker.refusal("plan", "m", now) is None
        breaker.record("plan", "m", "failed", now, now)
    assert rests == [10, 20, 35, 35]


def test_a_trial_that_is_never_reported_makes_room_for_another() -> None:
    breaker = fed("failed", "failed", "failed")
    assert breaker.refusal("plan", "m", 13) is None
    assert breaker.refusal("plan", "m", 22) is not None
    assert breaker.refusal("plan", "m", 23) is None


def test_runs_from_before_say_nothing_of_a_trial() -> None:
    breaker = fed("failed", "failed", "failed")
    assert breaker.refusal("plan", "m", 13) is None
    breaker.record("plan", "m", "failed", 1, 14)
    breaker.record("plan", "m", "good", 1, 14)
    assert breaker.standings(14)[0].position == "probing"
    assert breaker.refusal("plan", "m", 14) is not None


def test_runs_that_take_far_longer_than_usual_are_bad() -> None:
    breaker, now = Breaker(SMALL), 0.0
    for _ in range(KNOWN):
        breaker.record("plan", "m", "good", now, now + 1)
        now += 1
    assert breaker.refusal("plan", "m", now) is None
    for _ in range(2):
        breaker.record("plan", "m", "good", now, now + 9)
        now += 9
    assert "2 were outliers" in (breaker.refusal("plan", "m", now) or "")


@pytest.mark.parametrize(("wrong", "says"), [
    ({"window": 0}, "`window` is 0"), ({"share": 1.5}, "`share` is 1.5"),
    ({"least": 30}, "`least` is 30 but `window` only 20"),
    ({"longest": 1.0}, "`longest` is 1.0 but `rest` 30.0")])
def test_settings_out_of_range_are_refused(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        BreakerSettings(**wrong)  # type: ignore[arg-type]


class Machine(RuleBasedStateMachine):
    """Asks, reports and time in any order, against what one would say of the history by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(SMALL)
        self.outliers = Outliers()
        self.now = 0.0
        self.running: list[float] = []
        self.position, self.since, self.rest = "on", -1.0, SMALL.rest
        self.latest: list[str] = []
        self.trial: float | None = None
        self.passed = 0

    def turn(self, position: str) -> None:
        self.position, self.since, self.latest = position, self.now, []
        self.trial, self.passed = None, 0

    @rule(seconds=st.integers(1, 30))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        if self.position == "off" and self.now >= self.since + self.rest:
            self.turn("probing")
            self.breaker.standings(self.now)

    @rule()
    def ask(self) -> None:
        refusal = self.breaker.refusal("plan", "m", self.now)
        busy = self.trial is not None and self.now < self.trial + SMALL.rest
        assert (refusal is None) == (
            self.position == "on" or (self.position == "probing" and not busy))
        if refusal is None:
            self.running.append(self.now)
            if self.position == "probing":
                self.trial = self.now

    @precondition(lambda self: self.running)
    @rule(data=st.data(), fate=st.sampled_from(["good", "failed", "timeout", "cancelled"]))
    def report(self, data: st.DataObject, fate: Fate) -> None:
        began = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.breaker.record("plan", "m", fate, began, self.now)
        self.breaker.record("sequential", "m", "failed", began, self.now)
        if began < self.since or self.position == "off":
            return
        self.trial = None
        if fate == "cancelled":
            return
        slow = fate == "good" and self.outliers.add(0, self.now - began)
        bad = fate != "good" or slow
        if self.position == "probing":
            self.passed += 1
            if bad:
                self.rest = min(2 * self.rest, SMALL.longest)
                self.turn("off")
            elif self.passed == SMALL.probes:
                self.rest = SMALL.rest
                self.turn("on")
            return
        self.latest = [*self.latest, "bad" if bad else "good"][-SMALL.window:]
        if len(self.latest) >= SMALL.least and (
                self.latest.count("bad") >= SMALL.share * len(self.latest)):
            self.turn("off")

    @invariant()
    def it_stands_where_the_history_puts_it(self) -> None:
        for standing in self.breaker.standings(self.now):
            assert standing.method == "plan"
            assert standing.position == self.position
            assert 0 <= standing.left <= SMALL.longest
            assert bool(standing.why) == (self.position != "on")


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# --- inside `solve` ----------------------------------------------------------------------------


def answers(broken: list[bool], count: int) -> list[tuple[Result, Trace]]:
    """``count`` requests to a model that is driven natively, one after the other. While ``broken``
    holds something it writes nothing, unless it is asked for one thread. A rest goes by after six.
    """
    traces: list[Trace] = []

    def script(prompt: str, sampling: object) -> str:
        events = traces[-1].events
        parallel = any(isinstance(e, RunStarted) and e.method == "native" for e in events)
        fallback = any(isinstance(e, Started) and e.role == "fallback" for e in events)
        return "" if broken and parallel and not fallback else "<think>hm</think>1"

    async def main() -> list[tuple[Result, Trace]]:
        found = []
        async with Runtime(ScriptedEngine(script), breaker=Breaker(SMALL)) as runtime:
            for _ in range(count):
                traces.append(Trace())
                found.append((await solve("1?", runtime=runtime, protocol="threadweaver",
                                          trace=traces[-1]), traces[-1]))
                if len(found) == 6:
                    broken.clear()
                    await anyio.sleep(SMALL.rest)
        return found

    return run_virtual(main)


def test_requests_answer_in_one_thread_while_the_method_is_off_and_come_back() -> None:
    found = answers([True], 9)
    assert [r.method for r, _ in found] == ["native"] * 3 + ["sequential"] * 3 + ["native"] * 3
    assert all(r.answer for r, _ in found)
    off, trace = found[3]
    assert (off.fallback or "").startswith("the method `native` is switched off for ")
    assert off.reason == off.fallback
    decided = next(e for e in trace.events if isinstance(e, Decided))
    assert (decided.method, decided.why) == ("sequential", off.fallback)
    assert "breaker=native off" in decided.inputs
    ended = next(e for e in trace.events if isinstance(e, RunEnded))
    assert reason_word(ended.fallback) == "breaker"
    assert found[8][0].fallback is None


def test_a_plan_that_the_caller_insists_on_is_not_refused() -> None:
    async def main() -> Result:
        engine = ScriptedEngine(lambda p, s: "<think>hm</think>so\nAnswer: 1")
        breaker = Breaker(SMALL)
        for _ in range(3):
            breaker.record("fixed", engine.model, "failed", 0, 0)
        async with Runtime(engine, breaker=breaker) as runtime:
            return await solve(chat(), runtime=runtime, plan=Plan("fixed"))

    assert run_virtual(main).method == "fixed"


# --- outliers and reasons ----------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.floats(0.01, 1.0))
def test_rolling_percentiles_are_those_of_the_latest_values(
    values: list[float], share: float
) -> None:
    rolling = Rolling(20)
    for value in values:
        rolling.add(value)
    latest = sorted(values[-20:])
    found = rolling.percentile(share)
    assert sum(v <= found for v in latest) >= share * len(latest) - 1e-9
    assert sum(v < found for v in latest) < share * len(latest) + 1e-9


def test_an_outlier_took_twice_as_long_as_nearly_all_others() -> None:
    outliers = Outliers()
    assert not any(outliers.add("a", 1.0 + 0.01 * i) for i in range(KNOWN))
    assert outliers.limit("a") == pytest.approx(2 * 1.18)
    assert not outliers.add("a", 2.3)
    assert outliers.add("a", 2 * 2.4)
    assert not outliers.add("b", 99.0)


@pytest.mark.parametrize(("reason", "word"), [
    ("seconds", "time"), ("the engine is overloaded: HTTP 429", "overloaded"),
    ("the planner would not split it: steps follow", "declined"),
    ("no valid plan: it is no JSON", "no_plan"), ("the text holds no answer", "no_answer"),
    ("the limit on rounds is 3", "budget"), ("a plan needs a model that chats", "unsupported"),
    ("the parts contradict each other: height", "contradiction"), ("x", "other")])
def test_reasons_have_a_word_of_a_short_list(reason: str, word: str) -> None:
    assert reason_word(reason) == word
    assert word in REASONS
    assert reason_word(None) == ""
