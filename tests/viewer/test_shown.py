"""Live tree, plain lines and the summary."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from plait.core import Result
from plait.core.events import Event, RunEnded, Started
from plait.viewer import LiveTree, PlainLines, Scene, comparison_lines, summary_lines
from plait.viewer.words import fit, gist, seconds
from tests.viewer.runs import HEADER, ROOT, child, whole_run


def terminal(height: int = 20) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=True, width=80, height=height, _environ={}), out


def test_a_live_tree_draws_at_most_twelve_frames_a_second() -> None:
    console, out = terminal()
    now = 0.0
    with LiveTree(console, clock=lambda: now) as live:
        for event in whole_run():
            live.feed(event)
            for _ in range(10):
                now += 0.004
                live.tick()
        assert 8 <= live.frames <= now * 12 + 1
    assert "46+46=92" in out.getvalue()


def test_the_last_frame_is_drawn_whatever_the_clock_says() -> None:
    console, out = terminal()
    with LiveTree(console, clock=lambda: 0.0) as live:
        for event in whole_run():
            live.feed(event)
        assert "0.3" not in out.getvalue()
    assert live.frames == 2
    assert "0.3" in out.getvalue()


def test_a_live_tree_never_grows_beyond_the_terminal() -> None:
    console, out = terminal(height=12)
    now = 0.0
    events: list[Event] = [HEADER, ROOT]
    for index in range(50):
        events += child(index)
    with LiveTree(console, clock=lambda: now) as live:
        for event in events:
            now += 0.1
            live.feed(event)
    last = out.getvalue().rpartition("Make 92")[2]
    assert "more: " in last
    assert last.count("\n") < 12


def test_plain_lines_tell_the_run_one_event_of_note_a_line() -> None:
    lines: list[str] = []
    shown = PlainLines(lines.append)
    for event in [*whole_run(3), Started(4.0, "0.2", "0", "spawn", "judge", 2, "x", attempt=1)]:
        shown.feed(event)
    assert lines == [
        "    0.00 s  run nano plait-nano: native (apr), seed 7",
        "    0.00 s  0  starts",
        "    1.00 s  0.0  starts at token 2 of 0: #0,0",
        "    1.00 s  0.1  starts at token 2 of 0: #0,1",
        "    1.00 s  0.2  starts at token 2 of 0: #0,2",
        "    2.00 s  0.0  no solution after 2 tokens",
        "    2.00 s  0.1  done after 2 tokens: 46+46=92",
        "    2.00 s  0.2  failed after 2 tokens: the server closed the connection",
        "    2.00 s  0  joins 3 threads: 1 no solution, 1 done, 1 failed",
        "    4.00 s  0  warning: node #0,3 is called twice",
        "    4.00 s  0  done after 3 tokens: 46+46=92",
        "    4.00 s  0.2  is tried again (attempt 2) as judge: x",
    ]


def summary(events: list[Event]) -> list[str]:
    return [line.plain for line in summary_lines(Scene(events))]


def test_the_summary_says_answer_tokens_threads_path_and_time() -> None:
    assert summary(whole_run()) == [
        "answer       46+46=92",
        "             ✓ checks out",
        "tokens       11 generated, 2 wasted, 5 inserted by joins",
        "prompts      61 tokens, 34% of them cached",
        "threads      5 in 1 block, at most 4 at once, 1 level deep",
        "longest path 5 tokens, parallelism 2.20, acceleration 55%",
        "context      at most 17 tokens in one thread, 18 had one thread done it all",
        "time         4.00 s",
        "warnings     node #0,3 is called twice",
    ]


def test_the_summary_is_frank_about_runs_that_went_wrong() -> None:
    end = RunEnded(4.0, "budget", "1\n2", False, "native", "no answer in it")
    lines = "\n".join(summary([*whole_run()[:-1], end]))
    assert "answer       1\n             2\n             ✗ does not check out" in lines
    assert "the budget ended" in lines
    assert "fallback     no answer in it" in lines
    assert summary([HEADER, ROOT])[0] == "answer       none: the run did not end"
    assert summary([HEADER, RunEnded(0.0, "failed", None, None, "native", None)])[0] == (
        "answer       none")


def test_two_runs_are_compared_side_by_side() -> None:
    one = Result("0.1.0", "92", True, "answered", "native", "apr", None, 5, 1, 4, 1, 110, 40, 0, 0,
                 0, 0, False, 1.5)
    two = replace(one, method="sequential", correct=False, total_tokens=80, wall_seconds=3.0)
    text = "\n".join(line.plain for line in comparison_lines(
        one, two, {"token_speedup": 2.0, "attainable_speedup": None}))
    assert "answer                  right           wrong" in text
    assert "time                   1.50 s          3.00 s" in text
    assert "token speedup           2.00×" in text
    assert "attainable speedup    unknown" in text


def test_words_are_cut_and_durations_are_short() -> None:
    assert fit("abcdef", 4) == "abc…"
    assert fit("漢字漢字", 4) == "漢…"
    assert fit("abc", 0) == ""
    assert gist("</Thread>\n\n  7 * 8 = 56 \n</Thread>\n") == "7 * 8 = 56"
    assert gist("<a></a>") == ""
    assert [seconds(t) for t in (0.0, 9.994, 9.996, 99.96, 125.0)] == [
        "0.00 s", "9.99 s", "10.0 s", "1 min 40 s", "2 min 05 s"]
