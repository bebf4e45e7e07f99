"""From events to what a client is told."""

from __future__ import annotations

from plait.core.events import Committed, Ended, Event, Joined, RunStarted, Started, Wrote
from plait.server.narrate import LINE, Narrator, Thought, Words


def begun(method: str = "sequential", *children: str) -> list[Event]:
    root: list[Event] = [RunStarted(0.0, "r", "q", "e", "m", method, None, 0),
                         Started(0.0, "0", None, "root", "thread", 0)]
    return [*root, *(Started(0.0, name, "0", "spawn", "thread", 0, f"part {name[-1]}")
                     for name in children)]


def wrote(thread: str, text: str, t: float = 0.0, tokens: int = 1) -> Wrote:
    return Wrote(t, thread, text, tokens)


def said(narrator: Narrator, *events: Event) -> str:
    return "".join(p.text for p in narrator.take(events) if isinstance(p, Thought))


def test_what_is_committed_while_it_is_written_is_no_thought() -> None:
    narrator = Narrator()
    narrator.take(begun())
    assert narrator.take([wrote("0", "<think>Hm")]) == [Thought("0", "", "Hm")]
    pieces = narrator.take([wrote("0", ".</think>4", tokens=2), Committed(0.0, "0", "4")])
    assert pieces == [Thought("0", "", "."), Words("4")]
    assert narrator.take([wrote("0", "2"), Committed(0.0, "0", "2")]) == [Words("2")]
    assert "".join(narrator.answer) == "42"
    assert narrator.answer_tokens == 3


def test_text_behind_the_thoughts_waits_for_its_commit() -> None:
    narrator = Narrator()
    narrator.take(begun("native"))
    assert said(narrator, wrote("0", "one</th"), wrote("0", "ink>two")).startswith("one")
    assert said(narrator, wrote("0", " three")) == ""


def test_lines_of_threads_are_whole_and_named() -> None:
    narrator = Narrator()
    narrator.take(begun("explore", "0.0", "0.1"))
    assert said(narrator, wrote("0.0", "a "), wrote("0.1", "b ")) == ""
    assert said(narrator, wrote("0.0", "line\nrest")) == "[0.0 part 0] a line\n"
    assert said(narrator, wrote("0.1", "line\n")) == "[0.1 part 1] b line\n"
    assert said(narrator, Ended(0.0, "0.0", "done")) == "[0.0 part 0] rest"
    assert said(narrator, wrote("0.1", "x" * LINE)) == f"\n[0.1 part 1] {'x' * LINE}"


def test_a_slow_thread_is_heard_after_a_while() -> None:
    narrator = Narrator()
    narrator.take(begun("explore", "0.0", "0.1"))
    assert said(narrator, wrote("0.0", "a", 1.0)) == ""
    assert said(narrator, wrote("0.0", "b", 2.5)) == "[0.0 part 0] ab"


def test_neighbours_of_one_batch_are_one_piece() -> None:
    narrator = Narrator()
    narrator.take(begun())
    assert narrator.take([wrote("0", "a"), wrote("0", "b")]) == [Thought("0", "", "ab")]


def test_a_summary_tells_of_events() -> None:
    narrator = Narrator("summary")
    events = [*begun("explore", "0.0"), wrote("0.0", "abc", tokens=7), Ended(0.0, "0.0", "done"),
              Joined(0.0, "0", ("0.0",)), Committed(0.0, "0", "42")]
    pieces = narrator.take(events)
    assert [p.text for p in pieces] == [
        "0.0 (part 0) started\n0.0 (part 0) done, 7 tokens\n", "joined 1 thread\n", "42"]


def test_none_tells_the_answer_alone() -> None:
    narrator = Narrator("none")
    pieces = narrator.take([*begun(), wrote("0", "abc"), Committed(0.0, "0", "42")])
    assert pieces == [Words("42")]
    assert narrator.begun
