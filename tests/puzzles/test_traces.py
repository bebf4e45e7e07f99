"""What training teaches is what the runtime speaks: perfect play through the real machines, the
real scheduler and the real method gives right answers."""

import re
from itertools import islice

import pytest

from plait.core import Outcome, Plan, Result
from plait.core.events import Wrote
from plait.interfaces import End, Fork, Wait
from plait.protocols import APR
from plait.puzzles import Problem, check, generate, search
from plait.puzzles.countdown import operations
from plait.puzzles.countdown_text import child_prompt, read_answer, render
from plait.puzzles.countdown_trace import (
    LOOK,
    apr_calls,
    apr_final,
    apr_joined,
    quick_look,
    search3,
    sequential4,
)
from plait.solve import solve
from plait.testing import run_virtual
from plait.trace import Trace
from tests.protocols.drive import cuts, events_of
from tests.puzzles.player import Player, continuation

THREES = [*islice(generate(21, 3, "natural"), 24), *islice(generate(21, 3, "unsolvable"), 12)]
FOURS = [*islice(generate(21, 4, "natural"), 10), *islice(generate(21, 4, "hard"), 6),
         *islice(generate(21, 4, "unsolvable"), 4)]
DEMO = Problem(92, (46, 39, 29, 20))


def words(problem: Problem) -> str:
    return f"Make {problem.target} from {', '.join(map(str, problem.numbers))}"


def is_right(problem: Problem, answer: str | None) -> bool:
    """Right steps where the search finds some, "no" where it finds none."""
    solvable = search(problem).path is not None
    return check(words(problem), answer) is True and (answer != "no") == solvable


def run(
    problem: Problem, plan: Plan, *, ids: bool = False, pieces: int = 4,
    trace: Trace | None = None,
) -> Result:
    async def main() -> Result:
        engine = Player(ids=ids, pieces=pieces)
        result = await solve(words(problem), engine=engine, plan=plan, trace=trace)
        assert engine.calls.open == 0
        return result

    return run_virtual(main)


# --- the texts and the machines ----------------------------------------------------------------


def test_a_three_number_search_is_written_as_the_card_shows() -> None:
    assert search3(Problem(19, (50, 9, 10))).text == (
        "\n50+10=60 60 9:69.51.\n50-10=40 40 9:49.31.\n50/10=5 9 5:14.4.45.\n"
        "50+9=59 59 10:69.49.\n50-9=41 41 10:51.31.\n10+9=19 50 19:69.31.\n"
        "10-9=1 50 1:51.49.50.\n10*9=90 90 50:140.40.\nNo solution found.")
    hit = search3(Problem(12, (33, 32, 13))).text
    assert hit.endswith("33-32=1 13 1:14.12!\n12,12 equal: Goal Reached\n"
                        "33-32=1,13-1=12\n12,12 equal: Goal Reached")


@pytest.mark.parametrize("problem", THREES, ids=str)
def test_a_search_of_three_numbers_ends_in_the_answer(problem: Problem) -> None:
    text = search3(problem).text
    assert is_right(problem, read_answer(text))
    (end,) = events_of(APR(render(problem, "apr")), cuts(text, [7, 50, 51, 300]))
    assert isinstance(end, End)
    assert end.status == "done"


@pytest.mark.parametrize("problem", FOURS, ids=str)
def test_a_search_of_four_numbers_ends_in_the_answer(problem: Problem) -> None:
    trace = sequential4(problem)
    assert is_right(problem, read_answer(trace.text))
    assert trace.path == search(problem).path


def test_a_quick_look_is_the_beginning_of_the_search_in_one_thread() -> None:
    found = [problem for problem in FOURS if quick_look(problem).path is not None]
    assert 0 < len(found) < len(FOURS)
    for problem in FOURS:
        look, whole = quick_look(problem), sequential4(problem)
        uncounted = re.sub(r"\n\d>", "\n>", look.text)
        assert whole.text.startswith(uncounted)
        assert (uncounted == whole.text) == (problem in found)


LATE = [problem for problem in FOURS if quick_look(problem).path is None]


@pytest.mark.parametrize("look", [LOOK, 0])
@pytest.mark.parametrize("problem", LATE, ids=str)
def test_apr_calls_become_the_children_that_training_shows(problem: Problem, look: int) -> None:
    said = quick_look(problem).text if look else "\n"
    machine = APR(render(problem, "apr"))
    *forks, wait = events_of(machine, cuts(said + apr_calls(problem, look), range(0, 9000, 11)))
    moves = operations(problem.numbers)[look:]
    assert isinstance(wait, Wait)
    assert [f.item for f in forks if isinstance(f, Fork)] == [f"0,{k}" for k in range(len(moves))]
    outcomes = []
    for k, (fork, move) in enumerate(zip(forks, moves, strict=True)):
        assert isinstance(fork, Fork)
        state = Problem(problem.target, move.state)
        spec, child = machine.child(fork)
        assert spec.text == child_prompt(state, (move.text,), k)
        (end,) = events_of(child, [search3(state, (move.text,)).text])
        assert isinstance(end, End)
        outcomes.append(Outcome(end.status, value=end.value))
    found = [f for f in forks if isinstance(f, Fork)]
    splice = machine.join(found, outcomes)
    joined = apr_joined(problem, look=look)
    assert (splice.text, splice.since) == (joined.text, len(said))
    (end,) = events_of(machine, cuts(apr_final(problem, joined.path), [3, 8]))
    assert isinstance(end, End)
    assert (end.status, is_right(problem, (end.value or "no").split("\n")[0])) == ("done", True)


@pytest.mark.parametrize("problem", LATE[:6], ids=str)
def test_a_join_without_some_children_is_what_training_shows(problem: Problem) -> None:
    machine = APR(render(problem, "apr"))
    *forks, _ = events_of(machine, [quick_look(problem).text + apr_calls(problem)])
    found = [f for f in forks if isinstance(f, Fork)]
    present = set(range(0, len(found), 3))
    outcomes = []
    for k, move in enumerate(operations(problem.numbers)[LOOK:]):
        _, child = machine.child(found[k])
        text = search3(Problem(problem.target, move.state), (move.text,)).text
        (end,) = events_of(child, [text])
        assert isinstance(end, End)
        outcomes.append(Outcome(end.status, value=end.value) if k in present else None)
    assert machine.join(found, outcomes).text == apr_joined(problem, present).text


def test_the_player_refuses_what_training_never_showed() -> None:
    with pytest.raises(ValueError, match="never showed"):
        continuation(render(DEMO, "apr") + "\n<Sub Searches>\n")
    with pytest.raises(ValueError, match="never showed"):
        continuation("hello")


# --- the runtime -------------------------------------------------------------------------------


@pytest.mark.parametrize("early_stop", [False, True])
@pytest.mark.parametrize("problem", FOURS, ids=str)
def test_apr_answers_four_numbers_with_threads_where_a_look_is_not_enough(
    problem: Problem, early_stop: bool
) -> None:
    ids = sum(problem.numbers) % 2 == 0
    result = run(problem, Plan("native", "apr", early_stop=early_stop), ids=ids)
    assert is_right(problem, result.answer)
    assert (result.fallback, result.warnings) == (None, ())
    if problem not in LATE:
        assert (result.forks, result.threads) == (0, 1)
        return
    everyone = len(operations(problem.numbers)) - LOOK + 1
    assert result.forks == 1
    assert result.threads <= everyone if early_stop else result.threads == everyone
    assert result.critical_path_tokens < result.total_tokens


def test_early_stop_saves_tokens_where_a_solution_is_found_early() -> None:
    late, early = (run(DEMO, Plan("native", "apr", early_stop=e)) for e in (False, True))
    assert early.total_tokens < late.total_tokens
    assert early.answer == late.answer == "39-29=10,20/10=2,46*2=92"


@pytest.mark.parametrize("problem", THREES[:12] + THREES[-6:], ids=str)
def test_apr_answers_three_numbers_without_forking(problem: Problem) -> None:
    result = run(problem, Plan("native", "apr"))
    assert is_right(problem, result.answer)
    assert (result.fallback, result.threads) == (None, 1)


@pytest.mark.parametrize("problem", THREES[::4] + FOURS[::3], ids=str)
def test_one_thread_answers_by_itself(problem: Problem) -> None:
    result = run(problem, Plan("sequential"), pieces=64)
    assert is_right(problem, result.answer)
    assert (result.threads, result.fallback) == (1, None)


@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_the_answer_does_not_depend_on_how_the_text_is_cut_into_chunks(pieces: int) -> None:
    assert run(DEMO, Plan("native", "apr"), pieces=pieces).answer == "39-29=10,20/10=2,46*2=92"


def test_the_player_writes_every_token_of_a_run() -> None:
    trace = Trace()
    result = run(DEMO, Plan("native", "apr"), trace=trace)
    written = sum(e.tokens for e in trace.events if isinstance(e, Wrote))
    assert written == result.total_tokens
