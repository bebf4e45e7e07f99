"""The ThreadWeaver machine: published spacing exactly, defined outcomes for malformed output."""

from hypothesis import given
from hypothesis import strategies as st

from plait.core import Outcome
from plait.interfaces import Amend, End, Fork, Oddity, Wait
from plait.protocols.threadweaver import MOST, ThreadWeaver
from tests.protocols.drive import PLACES, cuts, events_of

BLOCK = (
    "<Parallel>\n<Outlines>\n<Outline>1: a</Outline>\n<Outline>2: b</Outline>\n</Outlines>"
)


def forks_of(text: str) -> list[Fork]:
    return [e for e in events_of(ThreadWeaver(), [text]) if isinstance(e, Fork)]


def oddities_of(text: str) -> list[str]:
    return [e.what for e in events_of(ThreadWeaver(), [text]) if isinstance(e, Oddity)]


def test_outlines_fork_threads_of_the_shared_context() -> None:
    machine = ThreadWeaver()
    *forks, wait = events_of(machine, ["so <think>", BLOCK])
    assert wait == Wait()
    assert [f.item for f in forks if isinstance(f, Fork)] == ["1", "2"]
    spec, _ = machine.child(forks[1])  # type: ignore[arg-type]
    assert (spec.family, spec.text, spec.label) == ("fork", "\n<Thread>\n2:", "2: b")


def test_the_join_has_the_published_spacing() -> None:
    machine = ThreadWeaver()
    forks = forks_of(BLOCK)
    machine.feed(BLOCK)
    outcomes = [Outcome("done", " A</Thread>"), Outcome("done", " B</Thread>")]
    assert BLOCK + machine.join(forks, outcomes).text + "</Parallel>" == (
        "<Parallel>\n<Outlines>\n<Outline>1: a</Outline>\n<Outline>2: b</Outline>\n</Outlines>\n"
        "<Thread>\n1: A</Thread><Thread>\n2: B</Thread>\n</Parallel>"
    )


def test_a_join_quotes_threads_token_for_token() -> None:
    machine = ThreadWeaver()
    forks = forks_of(BLOCK)
    machine.feed(BLOCK)
    outcome = Outcome("done", " A</Thread>")
    assert outcome in machine.join(forks, [outcome, outcome]).parts


def test_a_thread_ends_at_its_close_tag() -> None:
    _, thread = ThreadWeaver().child(Fork("1", "a", 0))
    assert thread.stops().strings == ("</Thread>",)
    assert events_of(thread, [" A x</Thr", "ead> more"]) == [End("done", " A x")]


def test_an_answer_without_outlines_is_sequential() -> None:
    assert events_of(ThreadWeaver(), ["just so"]) == [End("done", "just so")]


def test_a_second_block_reads_only_its_own_outlines() -> None:
    machine = ThreadWeaver()
    forks = [e for e in events_of(machine, [BLOCK]) if isinstance(e, Fork)]
    machine.join(forks, [Outcome("done", "</Thread>"), Outcome("done", "</Thread>")])
    second = "</Parallel> and\n<Outlines><Outline>7: c</Outline></Outlines>"
    assert [e.item for e in events_of(machine, [second]) if isinstance(e, Fork)] == ["7"]


# --- malformed output --------------------------------------------------------------------------


def test_a_thread_that_forgets_its_close_tag_is_closed_at_the_join() -> None:
    machine = ThreadWeaver()
    forks = forks_of(BLOCK)
    _, thread = machine.child(forks[0])
    (end,) = events_of(thread, [" A"])
    assert isinstance(end, End)
    assert (end.status, end.value) == ("malformed", " A")
    text = machine.join(forks, [Outcome("malformed", " A"), Outcome("budget", " B")]).text
    assert text == "\n<Thread>\n1: A\n</Thread><Thread>\n2: B\n</Thread>\n"


def test_a_thread_cut_by_length_is_a_matter_of_budget() -> None:
    _, thread = ThreadWeaver().child(Fork("1", "a", 0))
    (end,) = events_of(thread, [" A"], "length")
    assert isinstance(end, End)
    assert end.status == "budget"


def test_a_failed_thread_leaves_an_empty_one() -> None:
    machine = ThreadWeaver()
    forks = forks_of(BLOCK)
    text = machine.join(forks, [Outcome("failed"), Outcome("done", " B</Thread>")]).text
    assert text == "\n<Thread>\n1: (no result)</Thread><Thread>\n2: B</Thread>\n"


def test_no_outline_means_no_fork_and_the_model_goes_on() -> None:
    (amend,) = events_of(ThreadWeaver(), ["<Outlines>\n</Outlines>"])
    assert isinstance(amend, Amend)
    assert amend.splice.text == ""


def test_a_stray_trigger_does_not_fork_old_outlines_again() -> None:
    machine = ThreadWeaver()
    forks = [e for e in events_of(machine, [BLOCK]) if isinstance(e, Fork)]
    machine.join(forks, [Outcome("done", "</Thread>"), Outcome("done", "</Thread>")])
    (amend,) = events_of(machine, [" oh </Outlines>"])
    assert isinstance(amend, Amend)


def test_a_number_given_twice_counts_once() -> None:
    text = BLOCK.replace("2: b", "1: b")
    assert [(f.item, f.text) for f in forks_of(text)] == [("1", " a")]
    again = BLOCK.replace("2: b", "1: b</Outline><Outline>1: c")
    assert oddities_of(again) == ["item 1 is given twice; the first counts"]


def test_gaps_and_dotted_numbers_are_taken_as_they_are() -> None:
    text = "<Outlines><Outline> 3 : a</Outline><Outline>1.2: b</Outline></Outlines>"
    assert [f.item for f in forks_of(text)] == ["3", "1.2"]


def test_an_unclosed_outline_ends_at_the_next() -> None:
    text = "<Outlines><Outline>1: a\n<Outline>2: b</Outline></Outlines>"
    assert [f.text for f in forks_of(text)] == [" a\n", " b"]


def test_too_many_outlines_are_cut_at_the_limit() -> None:
    items = "".join(f"<Outline>{i}: x</Outline>" for i in range(MOST + 3))
    assert len(forks_of(f"<Outlines>{items}</Outlines>")) == MOST
    assert oddities_of(f"<Outlines>{items}</Outlines>") == [f"more than {MOST} items; 3 skipped"]


def test_a_trigger_inside_a_thread_is_plain_text_and_noted_once() -> None:
    _, thread = ThreadWeaver().child(Fork("1", "a", 0))
    assert events_of(thread, [BLOCK + BLOCK + "</Thread>"]) == [
        Oddity("</Outlines> inside a thread is plain text"), End("done", BLOCK + BLOCK)]


def test_a_thread_that_writes_its_siblings_is_noted_and_kept() -> None:
    _, thread = ThreadWeaver().child(Fork("1", "a", 0))
    assert events_of(thread, [" A <Thread>\n2: B</Thread>"]) == [
        Oddity("the model wrote <Thread> itself"), End("done", " A <Thread>\n2: B")]


def test_a_stop_that_the_text_does_not_show_is_no_answer() -> None:
    odd, end = events_of(ThreadWeaver(), ["so"], "stop")
    assert isinstance(odd, Oddity)
    assert "hide special tokens" in odd.what
    assert end == End("malformed", "so", "the engine stopped at a tag that its text does not show")


def test_a_list_left_open_at_the_end_does_not_fork() -> None:
    text = "<Parallel><Outlines><Outline>1: a</Outline>"
    assert isinstance(events_of(ThreadWeaver(), [text])[-1], End)
    assert "ends inside" in oddities_of(text)[0]


def test_threads_written_by_the_main_line_are_noted_and_kept() -> None:
    events = events_of(ThreadWeaver(), ["<Thread>\n1: A</Thread>"])
    assert isinstance(events[0], Oddity)
    assert events[1] == End("done", "<Thread>\n1: A</Thread>")


# --- properties --------------------------------------------------------------------------------

PIECES = st.sampled_from([
    BLOCK, "<Outlines>", "</Outlines>", "<Outline>1: x</Outline>", "<Outline>", "2: y",
    "</Outline>",
    "<Thread>", "</Thread>", "\n", "<", "word ", "é",
])


@given(st.lists(PIECES, max_size=8).map("".join), PLACES)
def test_chunking_never_matters(text: str, places: list[int]) -> None:
    whole = events_of(ThreadWeaver(), [text])
    assert events_of(ThreadWeaver(), cuts(text, places)) == whole
    assert events_of(ThreadWeaver(), list(text)) == whole


@given(st.text(max_size=200))
def test_any_text_ends_in_a_defined_way(text: str) -> None:
    assert isinstance(events_of(ThreadWeaver(), [text])[-1], Wait | Amend | End)
