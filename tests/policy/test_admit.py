"""One more branch: wide where it costs nobody anything, one stream a request where all is full."""

import pytest

from plait.policy.admit import Ask, State, Step, admit, width_for

BATCHED = Step(fixed=0.005, each=0.0002)
FULL = Step(fixed=0.0, each=0.001)


def fill(step: Step, requests: int, forking: int, most: int = 64) -> list[int]:
    """The widths of ``forking`` requests that ask in turns, beside others with one stream each."""
    widths = [1] * requests
    asking = True
    while asking:
        asking = False
        for k in range(forking):
            state = State(sum(widths), requests, step)
            if widths[k] < most and admit(state, Ask(widths[k], most)).runs:
                widths[k] += 1
                asking = True
    return widths[:forking]


def test_alone_a_request_gets_all_that_it_wants() -> None:
    assert fill(BATCHED, 1, 1) == [64]
    assert fill(FULL, 1, 1) == [64]


def test_on_a_full_engine_every_request_has_one_stream() -> None:
    assert fill(FULL, 2, 1) == [1]
    assert fill(FULL, 8, 4) == [1] * 4


def test_where_steps_cost_the_same_for_all_nobody_is_held_back() -> None:
    assert fill(Step(0.005, 0.0), 8, 4) == [64] * 4
    assert fill(Step(), 8, 4) == [64] * 4


def test_the_width_falls_with_the_number_of_requests_and_is_the_same_for_all() -> None:
    widths = [fill(BATCHED, requests, 2) for requests in (2, 4, 8, 16, 32)]
    assert widths == sorted(widths, reverse=True)
    assert all(abs(a - b) <= 1 for a, b in widths)
    assert widths[0][0] > 8 > widths[-1][0]


def test_a_branch_that_would_queue_in_the_engine_waits_here() -> None:
    verdict = admit(State(16, 2, BATCHED, room=16.0), Ask(1))
    assert not verdict.runs
    assert verdict.why == "the engine queues beyond about 16 streams"


def test_memory_is_respected_by_who_is_alone_too() -> None:
    assert not admit(State(1, 1, memory=500), Ask(1, tokens=501)).runs
    assert admit(State(1, 1, memory=501), Ask(1, tokens=501)).runs


def test_a_deadline_gets_the_fewest_streams_that_meet_it() -> None:
    # 8 branches of 100 tokens beside 9 others, 10 ms a step and 1 ms more for each stream:
    # 8 rounds with 1 stream take 16 s, 4 with 2 streams 8.4 s, 3 with 3 streams 6.6 s.
    state = State(10, 10, Step(0.01, 0.001), length=100)
    assert width_for(state, Ask(1, 8, seconds=16.5)) == 1
    assert width_for(state, Ask(1, 8, seconds=9)) == 2
    assert width_for(state, Ask(1, 8, seconds=7)) == 3
    assert width_for(state, Ask(1, 8, seconds=1)) is None


@pytest.mark.parametrize(("seconds", "runs"),
                         [(None, False), (16.5, False), (9, True), (1, False)])
def test_a_deadline_asks_for_more_only_if_that_helps(seconds: float | None, runs: bool) -> None:
    state = State(10, 10, Step(0.0, 0.002), length=100)
    assert admit(state, Ask(1, 8, seconds=seconds)).runs == runs


def test_a_refusal_says_what_it_was_made_from() -> None:
    assert admit(State(4, 4, FULL), Ask(1)).why == (
        "4.0 requests with 4 streams would each be slower by 25%")
