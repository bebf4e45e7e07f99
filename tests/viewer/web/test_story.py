"""What a run's story tells, and what it sums up."""

from __future__ import annotations

from plait.core.events import Ended, Event, Joined, Noted, RunEnded, Started, Wrote
from plait.viewer.web import View
from tests.viewer.runs import HEADER, ROOT


def child(number: int, t: float = 1.0, role: str = "thread") -> Started:
    return Started(t, f"0.{number}", "0", "fork", role, 0)  # type: ignore[arg-type]


def told(*events: Event) -> list[str]:
    """The lines after those of every run."""
    lines = View([HEADER, ROOT, *events]).story.lines[1:]
    return [f"{line.thread} {line.text}".strip() + f" (+{line.others})" * bool(line.others)
            for line in lines]


def test_children_that_start_in_a_row_are_one_line_until_a_join() -> None:
    assert told(child(0), Wrote(1.1, "0.0", "x", 1), child(1, 3.0), Ended(4, "0.0", "done"),
                Joined(4, "0", ("0.0",)), child(2, 5.0)) == [
        "0 starts 2 threads", "0 joins 1 thread: 1 no solution", "0 starts 1 thread"]
    assert View([HEADER, ROOT, child(0), child(1, 3.0)]).story.lines[-1].detail == (
        "the last at 3.00 s")


def test_judges_mergers_and_the_fallback_are_called_by_what_they_do() -> None:
    assert told(child(0, role="judge"), child(1, role="judge"), child(2, role="merger"),
                child(3, role="fallback")) == [
        "0 asks a judge 2 times", "0 asks for a merge", "0 starts the fallback"]


def test_notes_in_the_same_words_are_one_line_and_stay_with_each_thread() -> None:
    limit = "stopped by the limit on seconds"
    events: list[Event] = [child(0), child(1), child(2)]
    events += [Noted(2, f"0.{n}", limit, warning=True) for n in range(3)]
    assert told(*events) == ["0 starts 3 threads", f"0.0 {limit} (+2)"]
    threads = View([HEADER, ROOT, *events]).story.threads
    assert [line.text for line in threads["0.2"]] == [limit]


def test_cancelled_children_are_told_by_their_parent_with_the_reason() -> None:
    assert told(child(0), child(1), *(Ended(2, f"0.{n}", "cancelled", "the others were enough")
                                      for n in range(2))) == [
        "0 starts 2 threads", "0 cancels 2 threads: the others were enough"]


def test_a_retry_and_the_end_are_lines_of_their_own() -> None:
    assert told(child(0), Started(2, "0.0", "0", "fork", "thread", 0, attempt=1),
                RunEnded(3, "answered", "7", False, "native", None)) == [
        "0 starts 1 thread", "0.0 is tried again (attempt 2)",
        "the question is answered; the answer does not check out"]
