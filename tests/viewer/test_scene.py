"""What a scene knows of each thread while events come in."""

from __future__ import annotations

from plait.core.events import Answered, Asked, Ended, Started, Wrote
from plait.viewer import Scene
from tests.viewer.runs import HEADER, ROOT, child, over, whole_run


def test_a_thread_is_queued_then_reads_then_writes_then_thinks() -> None:
    scene = Scene([HEADER, ROOT])
    seen = [scene.strands["0"].state]
    for event in (Asked(0.1, "0", 9, None), Wrote(0.2, "0", "x", 1),
                  Answered(0.3, "0", "stop", 9, 0, 1)):
        scene.feed(event)
        seen.append(scene.strands["0"].state)
    assert seen == ["queued", "reading", "writing", "thinking"]


def test_a_thread_waits_for_its_running_children_only() -> None:
    scene = Scene([HEADER, ROOT, *child(0), *child(1), *over(0, "done")])
    assert scene.strands["0"].state == "waits for 1"


def test_how_a_thread_ended_is_said_in_plain_words() -> None:
    ends = [("done", "7"), ("done", None), ("budget", None), ("malformed", None), ("failed", "7")]
    scene = Scene([HEADER, ROOT])
    for index, (status, value) in enumerate(ends):
        for event in [*child(index), *over(index, status, value)]:
            scene.feed(event)
    states = [scene.strands[f"0.{i}"].state for i in range(len(ends))]
    assert states == ["done", "no solution", "out of budget", "malformed", "failed"]
    scene.feed(Ended(3.0, "0", "done"))
    assert scene.strands["0"].state == "no answer"


def test_a_retry_goes_on_in_the_same_strand_and_runs_again() -> None:
    scene = Scene([HEADER, ROOT, *child(0), *over(0, "failed", reason="lost")])
    scene.feed(Started(3.0, "0.0", "0", "spawn", "thread", 2, attempt=1))
    strand = scene.strands["0.0"]
    assert (strand.attempt, strand.status, strand.reason, strand.end) == (1, None, "", None)
    assert len(scene.strands["0"].children) == 1
    assert scene.strands["0"].state == "waits for 1"


def test_the_whole_run_is_known_at_its_end() -> None:
    scene = Scene(whole_run())
    assert scene.ended is not None
    assert scene.tokens == 11
    assert scene.elapsed == 4.0
    assert scene.warnings == ["node #0,3 is called twice"]
    assert all(strand.open_request is None for strand in scene.strands.values())
