"""Explore on scripted models: how many attempts, when it stops, what it cancels, what it falls
back to."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from plait.core import Budget, Part, Plan, Request, Sampling, Verdict
from plait.core.events import Ended, Started, Wrote
from plait.errors import EngineUnreachable, UsageError
from plait.merge import Best, Synthesize, Vote
from plait.methods import Explore
from plait.testing import Play
from plait.verify import Function, Judge, Puzzle
from tests.methods.play import Ran, chat, run, turns

GONE = Play("", error=EngineUnreachable("gone"))
PUZZLE = "Make 92 from 46, 39, 29 and 20"
RIGHT = "39-29=10,20/10=2,46*2=92"


def says(answer: str, words: int = 3) -> Play:
    """Some thoughts, some words, an answer."""
    return Play("<think>hm</think>" + "so " * words + f"\nAnswer: {answer}", every=0.1)


def answers(*values: str) -> Callable[..., Play]:
    """The k-th request gives the k-th value, each one later than the one before."""
    plays = [says(v, 3 + 3 * k) for k, v in enumerate(values)]
    return turns(*plays)  # type: ignore[return-value]


def explore(script: Any, request: Request | None = None, **options: Any) -> Ran:
    return run(Explore(**options), script, request, plan=Plan("explore", retries=0))


def part(value: str, **fields: Any) -> Part:
    return Part(f"It is {value}", value, **fields)


# --- how many, and when to stop -------------------------------------------------------------------


def test_four_attempts_that_agree_are_enough() -> None:
    ran = explore(answers("56"))
    assert (ran.result.answer or "").endswith("Answer: 56")
    assert ran.engine.calls.started == 4
    assert "explore: the vote is decided with probability 0.95, after 4 of at most 8 attempts" in (
        ran.notes)
    assert ran.result.fallback is None


def test_a_dissenting_vote_starts_as_many_more_as_could_settle_it() -> None:
    ran = explore(answers("56", "54", "56", "56", "56", "56", "56", "56"))
    started = [e.t for e in ran.of(Started) if e.parent == "0"]
    ended = [e.t for e in ran.of(Ended) if e.thread == "0.1"]
    assert sum(t == 0.0 for t in started) == 4
    assert sum(t == ended[0] for t in started) >= 2
    assert ran.engine.calls.started <= 8
    assert (ran.result.answer or "").endswith("56")


def test_the_vote_stops_as_soon_as_it_cannot_turn_and_the_rest_is_cancelled_at_once() -> None:
    script = answers("1", "1", "2", "1", "1", "1", "1", "1")
    ran = explore(script, attempts=5)
    assert "explore: the vote cannot turn any more, after 4 of at most 5 attempts" in ran.notes
    decided = max(e.t for e in ran.of(Ended) if e.status == "done" and e.thread != "0")
    assert ran.cancelled
    assert all(0 <= e.t - decided <= 0.05 for e in ran.cancelled)
    assert len(ran.cancelled) == ran.engine.calls.left
    assert all(e.t <= decided + 0.05 for e in ran.of(Wrote))
    assert ran.result.wasted_tokens > 0


def test_attempts_differ_by_temperature_and_advice_and_share_what_comes_before_it() -> None:
    seen: list[Sampling] = []

    def script(prompt: str, sampling: Sampling) -> Play:
        seen.append(sampling)
        return says("56")

    ran = explore(script)
    assert [s.temperature for s in seen] == [0.0, 0.6, 0.8, 1.0]
    assert len({s.seed for s in seen[1:]}) == 3
    prompts = ran.engine.prompts
    assert len(set(prompts)) == 4
    assert all(p.startswith(prompts[0].rstrip()) for p in prompts)
    assert "prompt attempt (instruct) " in " ".join(ran.notes)
    assert [e.role for e in ran.of(Started) if e.parent == "0"] == ["worker"] * 4


def test_the_users_temperature_is_kept_where_there_is_one() -> None:
    seen: list[float] = []

    def script(prompt: str, sampling: Sampling) -> Play:
        seen.append(sampling.temperature)
        return says("56")

    explore(script, chat(sampling=Sampling(temperature=0.3)))
    assert set(seen) == {0.3}


def test_the_same_seed_and_the_same_model_give_the_same_run() -> None:
    def essence(ran: Ran) -> list[Any]:
        return list(ran.trace.events[1:])

    script = ("1", "2", "1", "3", "1", "1", "2", "1")
    assert essence(explore(answers(*script))) == essence(explore(answers(*script)))


def test_width_limits_how_many_work_at_once_but_not_how_many_are_made() -> None:
    ran = explore(answers("1", "2", "1", "1", "1", "1"), chat(budget=Budget(width=2)))
    assert ran.result.max_parallel == 2
    assert ran.engine.calls.started > 4


def test_a_merge_that_reads_everything_gets_all_attempts() -> None:
    def script(prompt: str, sampling: object) -> Play:
        return Play("merged") if "Part 1" in prompt else says("56")

    ran = explore(script, attempts=5, merge=Synthesize())
    assert ran.result.answer == "merged"
    assert len(ran.started("worker")) == 5
    assert ran.engine.prompts[-1].count("> Answer: 56") == 5
    assert "<think>" not in ran.engine.prompts[-1]


def test_best_by_a_judge_chooses_among_all_attempts() -> None:
    def script(prompt: str, sampling: object) -> Play:
        if "Best: 1" in prompt:
            found = re.search(r"Answer (\d+)[^\n]*:\n(?:> [^\n]*\n)*> Answer: 7\b", prompt)
            assert found is not None
            return Play(f"Best: {found[1]}")
        return script.next.pop(0)  # type: ignore[attr-defined]

    script.next = [says("5"), says("7"), says("6")]  # type: ignore[attr-defined]
    ran = explore(script, attempts=3, merge=Best())
    assert (ran.result.answer or "").endswith("Answer: 7")


# --- the decision itself, without a model ---------------------------------------------------------


@pytest.mark.parametrize(("ended", "wanted"), [
    ([], 4), (["1"], 4), (["1", "1"], 4), (["1", "2"], 7), (["1", "1", "2"], 7),
    (["1", "2", "3"], 8), (["1", "2", "3", "4", "5", "6"], 8),
])
def test_always_as_many_are_wanted_as_would_settle_it(ended: list[str], wanted: int) -> None:
    stand = Explore().stand([part(v) for v in ended], chat())
    assert (stand.settled, stand.wanted) == ("", wanted)


@pytest.mark.parametrize("options", [{"attempts": 0}, {"sure": 0.5}, {"sure": 1.1}])
def test_values_out_of_range_are_one_clear_error(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="`explore` got"):
        Explore(**options)


def test_failed_attempts_are_no_votes_but_use_up_the_limit() -> None:
    lost = Part("", ok=False, reason="gone")
    assert Explore().stand([lost] * 3, chat()).wanted == 7
    assert Explore(attempts=4).stand([lost, part("1"), lost], chat()).wanted == 4
    assert not Explore(attempts=4).stand([lost, part("1"), lost], chat()).settled
    assert Explore(attempts=4).stand([lost, part("1"), part("1")], chat()).settled == (
        "the vote cannot turn any more")


def test_with_a_checker_every_wrong_answer_lets_two_more_attempts_start() -> None:
    explorer = Explore(attempts=9, verifier=Puzzle())
    wrong = part("1", verdict=Verdict(False))
    wanted = [explorer.stand([wrong] * k, chat()).wanted for k in range(4)]
    assert wanted == [4, 6, 8, 9]
    assert explorer.stand([wrong, part("2", verdict=Verdict(True))], chat()).settled == (
        "an answer passed verification")


def test_a_verifier_that_never_can_tell_leaves_it_to_the_vote() -> None:
    explorer = Explore(verifier=Puzzle())
    unclear = part("1", verdict=Verdict(None))
    assert explorer.stand([unclear] * 4, chat()).settled.startswith("the vote is decided")


# --- votes -------------------------------------------------------------------------------------


def test_confidence_weighs_votes_and_asks_the_engine_for_log_probabilities() -> None:
    asked: list[bool] = []

    def script(prompt: str, sampling: Sampling) -> Play:
        asked.append(sampling.logprobs)
        return says("1" if len(asked) % 2 else "2")

    ran = explore(script, attempts=4, merge=Vote("confidence"))
    assert all(asked)
    assert any("the engine gave no log-probabilities" in n for n in ran.notes)
    asked.clear()
    explore(script, attempts=4)
    assert not any(asked)


def test_one_sure_attempt_outweighs_two_unsure_ones() -> None:
    script = turns(Play("Answer: 1", logprob=-3.0), Play("Answer: 1", logprob=-3.0),
                   Play("Answer: 2", logprob=-0.1))
    sure = explore(script, attempts=3, merge=Vote("confidence"))
    assert sure.result.answer == "Answer: 2"
    assert any(n.startswith("vote (confidence): 1 of 3 for '2', 2 for '1'") for n in sure.notes)


def test_a_tie_is_said() -> None:
    ran = explore(answers("1", "2", "1", "2"), attempts=4)
    assert any("; a tie, drawn by lot" in n for n in ran.notes)
    assert ran.result.answer is not None


# --- verification ------------------------------------------------------------------------------


def test_the_first_answer_that_passes_ends_it_and_is_marked_verified() -> None:
    verifier = Function(lambda question, answer: answer.endswith("56"))
    ran = explore(answers("54", "55", "56", "56", "56", "56"), verifier=verifier)
    assert (ran.result.answer or "").endswith("Answer: 56")
    assert ran.result.verified is True
    assert "function says wrong" in ran.notes
    passed = next(e.t for e in ran.of(Ended) if e.value and e.value.endswith("56"))
    assert ran.cancelled
    assert all(e.t - passed <= 0.05 for e in ran.cancelled)


def test_answers_to_a_puzzle_are_checked_by_its_rules() -> None:
    ran = explore(answers("46+46=92", RIGHT), chat(PUZZLE), verifier=Puzzle())
    assert ran.result.verified is True
    assert (ran.result.answer or "").endswith(RIGHT)
    assert any(n.startswith("puzzle says wrong: 46 in 46+46=92") for n in ran.notes)


def test_judges_work_side_by_side_each_below_its_attempt() -> None:
    def script(prompt: str, sampling: object) -> Play:
        return Play("Verdict: wrong - no", every=0.5) if "Verdict:" in prompt else says("1")

    ran = explore(script, attempts=3, verifier=Judge())
    judges = ran.started("judge")
    assert [e.parent for e in judges] == ["0.0", "0.1", "0.2"]
    assert len({e.t for e in judges}) == 1
    assert ran.result.fallback == "verification rejected 3 of 3 answers (no)"


def test_judges_that_fail_leave_it_to_the_vote() -> None:
    def script(prompt: str, sampling: object) -> Play:
        return GONE if "Verdict:" in prompt else says("1")

    ran = explore(script, verifier=Judge())
    assert ran.result.fallback is None
    assert (ran.result.answer or "").endswith("Answer: 1")
    assert ran.result.verified is None
    assert any(n.startswith("judge says unclear: the judge failed: gone") for n in ran.notes)


def test_cancelled_attempts_take_their_judges_with_them() -> None:
    def script(prompt: str, sampling: object) -> Play:
        if "Verdict:" not in prompt:
            return says("1")
        script.count += 1  # type: ignore[attr-defined]
        fast = script.count == 1  # type: ignore[attr-defined]
        return Play("Verdict: right", every=0.1 if fast else 5.0)

    script.count = 0  # type: ignore[attr-defined]
    ran = explore(script, verifier=Judge())
    assert ran.result.verified is True
    assert {e.thread for e in ran.cancelled} >= {"0.1", "0.1.0", "0.2", "0.2.0"}


# --- failures ----------------------------------------------------------------------------------


def test_attempts_that_fail_are_left_out_of_the_vote() -> None:
    ran = explore(turns(GONE, says("56"), Play("<think>never ends"), says("56"), says("56"),
                        says("56")))
    assert (ran.result.answer or "").endswith("Answer: 56")
    assert ran.result.fallback is None


def test_an_attempt_that_the_engine_failed_is_tried_again_alone() -> None:
    ran = run(Explore(), turns(GONE, says("56")), plan=Plan("explore", retries=1))
    again = [e for e in ran.of(Started) if e.attempt]
    assert [e.thread for e in again] == ["0.0"]
    assert (ran.result.answer or "").endswith("56")


@pytest.mark.parametrize(("play", "reason"), [
    (GONE, "all 8 attempts failed (gone)"),
    (Play("<think>never ends"), "all 8 attempts failed (it wrote no answer)"),
    (Play("cut", finish="length"), "all 8 attempts failed (it was cut off (length))"),
])
def test_if_all_attempts_fail_sequential_reasoning_answers_and_says_why(
    play: Play, reason: str
) -> None:
    ran = explore(turns(*[play] * 8, Play("sequential")))
    assert (ran.result.answer, ran.result.fallback) == ("sequential", reason)
    assert ran.result.method == "explore"
    assert len(ran.started("fallback")) == 1


def test_attempts_that_no_budget_allows_are_no_attempts() -> None:
    ran = explore(turns(says("1"), says("2"), says("3"), Play("sequential")),
                  chat(budget=Budget(threads=3)), attempts=5)
    assert ran.engine.calls.started <= 4
    assert ran.result.answer is not None


def test_a_model_with_an_opening_of_its_own_gives_its_sequential_answer_instead_of_repeating_it(
) -> None:
    request = Request(prompt=PUZZLE)
    ran = explore(lambda p, s: "46+46=92", request, verifier=Puzzle(), attempts=4)
    assert ran.engine.prompts == [PUZZLE] * 4
    assert (ran.result.answer, ran.result.verified) == ("46+46=92", False)
    assert ran.result.fallback is None
    assert any(w.startswith("verification rejected 4 of 4 answers") for w in ran.result.warnings)
    assert not ran.started("fallback")


def test_a_model_with_an_opening_of_its_own_is_asked_in_its_own_words() -> None:
    ran = explore(turns("46+46=92", RIGHT), Request(prompt=PUZZLE), verifier=Puzzle())
    assert set(ran.engine.prompts) == {PUZZLE}
    assert (ran.result.answer, ran.result.correct, ran.result.verified) == (RIGHT, True, True)
    assert {e.family for e in ran.of(Started) if e.parent == "0"} == {"fork"}


def test_when_time_runs_out_the_answer_that_leads_comes_back_marked() -> None:
    slow = Play("so " * 500 + "Answer: 3", every=0.1)
    script = turns(says("2"), says("1"), says("1"), slow)
    ran = explore(script, chat(budget=Budget(seconds=8.0)))
    assert (ran.result.answer or "").endswith("Answer: 1")
    assert (ran.result.finish, ran.result.fallback) == ("budget", None)
    assert "the time is up" in ran.result.warnings
    assert ran.result.wall_seconds <= 6.05


def test_when_time_runs_out_before_any_answer_the_rest_of_it_is_for_sequential_reasoning() -> None:
    slow = Play("so " * 500 + "Answer: 3", every=0.1)
    ran = explore(turns(slow, slow, slow, slow, Play("sequential", every=0.1)),
                  chat(budget=Budget(seconds=8.0)))
    assert (ran.result.answer, ran.result.fallback) == ("sequential", "seconds")


# --- with a wire format in each attempt -----------------------------------------------------------

BLOCK = ("<Parallel>\n<Outlines>\n<Outline>1: a</Outline>\n<Outline>2: b</Outline>\n"
         "</Outlines>")


def test_each_attempt_may_fork_by_itself_and_what_is_below_it_is_sampled_as_it_is() -> None:
    temperatures: dict[str, set[float]] = {"fork": set(), "below": set()}

    def weaver(prompt: str, sampling: Sampling) -> Play | str:
        if prompt.rstrip().endswith(("1:", "2:")):
            temperatures["below"].add(sampling.temperature)
            return Play(" found</Thread>", every=0.1)
        if prompt.endswith("</Thread>\n"):
            return "</Parallel>\n</think>\n3"
        temperatures["fork"].add(sampling.temperature)
        return "<think>" + BLOCK

    ran = run("explore", weaver, Request(prompt="1+2?"), protocol="threadweaver")
    assert (ran.result.answer, ran.result.fallback) == ("3", None)
    assert ran.result.protocol == "threadweaver"
    assert ran.result.depth == 2
    assert temperatures["fork"] == temperatures["below"] == {0.0, 0.6, 0.8, 1.0}
