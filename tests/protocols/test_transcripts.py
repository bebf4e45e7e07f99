"""Transcripts that are not what the runtime would have left: each fault at its exact place."""

from __future__ import annotations

from time import process_time

import pytest

from plait.core import Outcome
from plait.interfaces import Amend, End, Fork, Oddity, Wait
from plait.protocols import CATALOGUE
from plait.protocols.asyncthink import POOL, AsyncThink, Worker
from plait.protocols.check import check
from plait.protocols.transcript import read_transcript
from tests.protocols.drive import events_of
from tests.protocols.golden import APR, ASYNCTHINK, BLOCKS

CALL = ("<Calling Sub Searches>\n<Start Sub Search 0 at level 1> Moving to Node #0,1\n"
        "<End Calling Sub Searches>")


def spoil(text: str, old: str, new: str) -> str:
    assert text.count(old) >= 1
    return text.replace(old, new, 1)


def faults(name: str, text: str) -> list[tuple[str, str]]:
    """Every fault, with what stands at its place."""
    return [(fault.what, text[fault.at : fault.at + 12]) for fault in
            check(CATALOGUE[name], text).faults]


# --- block formats -----------------------------------------------------------------------------

TW = BLOCKS["threadweaver"].text
SPOILT = [
    ("threadweaver", "</Thread><Thread>", "</Thread>\n<Thread>",
     "expected '<Thread>\\n2:' but this is '\\n<Thread>\\n2:'", "\n<Thread>\n2:"),
    ("threadweaver", "</Outlines>\n<Thread>", "</Outlines><Thread>",
     "expected '\\n<Thread>\\n1:' but this is '<Thread>\\n1:'", "<Thread>\n1: "),
    ("threadweaver", " 2 + 4 = 6</Thread>", " 2 + 4 = 6", "a thread is not closed by </Thread>",
     "<Thread>\n2: "),
    ("threadweaver", "<Thread>\n2: 1 + 3 = 4\nso 4</Thread>", "",
     "thread 2 is missing; expected '<Thread>\\n2:'", "\n</Parallel>"),
    ("threadweaver", "so 4</Thread>", "so 4</Thread><Thread>\n3: 1</Thread>",
     "thread 3 has no item", "<Thread>\n3: "),
    ("threadweaver", "so 4</Thread>", "so 4</Thread><Thread>\n2: 1</Thread>",
     "thread 2 stands here a second time", "<Thread>\n2: "),
    ("threadweaver", "so 4</Thread>\n", "so 4</Thread>",
     "expected '\\n' but this is ''", "</Parallel>\n"),
    ("threadweaver", "\n</Parallel>\n6", "\n6", "</Parallel> is missing after a block",
     "6 + 4 is 10."),
    ("threadweaver", "<Parallel>\n<Outlines>", "<Outlines>",
     "a block that is not opened by <Parallel>", "\n<Thread>\n1:"),
    ("threadweaver", "<Outline>2:", "<Outline>3:",
     "items are numbered 1, 3, not from 1 without gaps", "\n<Thread>\n1:"),
    ("threadweaver", " 2 + 4 = 6", " <Outlines> 6", "<Outlines> inside a thread", "<Outlines> 6"),
    ("threadweaver", " 2 + 4 = 6", " </Outlines>", "</Outlines> inside a thread is plain text",
     "</Outlines><"),
    ("threadweaver", "Two halves.", "<Thread>\n1:", "the model wrote <Thread> itself",
     "<Thread>\n1:\n"),
    ("npr", "<plan>2: check</plan>\n", "<plan>2: check</plan>\n<plan>2: so</plan>\n",
     "item 2 is given twice; the first counts", "<plan>2: so<"),
    ("npr", "\n<takeaway>\n", "\n", "expected '\\n<takeaway>\\n' after the last thread",
     "\nseven it is"),
    ("npr", "</takeaway>", "", "</takeaway> is missing after a block", "seven it is\n"),
    ("multiverse", "<Conclusion>\n5 and 6\n</Conclusion>", "<Conclusion>\n5 and 6\n",
     "</Conclusion> is missing after a block", "5 and 6\n\n</P"),
    ("parallel-r1", "</Parallel>\n<Summary>", "</Parallel><Summary>",
     "expected '</Parallel>\\n<Summary>' but this is '</Parallel><Summary>'", "</Parallel><"),
    ("parathinker", "surely 3</think4>", "surely 3</think4><think2>",
     "thread 2 stands here a second time", "<think2><sum"),
    ("parathinker", "answer is 3.</summary>", "answer is 3.</summary> and on",
     "text after </summary>", " and on"),
]


@pytest.mark.parametrize(("name", "old", "new", "what", "place"), SPOILT)
def test_a_fault_of_a_block_has_its_place(
    name: str, old: str, new: str, what: str, place: str
) -> None:
    text = spoil(BLOCKS[name].text, old, new)
    assert (what, place) in faults(name, text)
    form = CATALOGUE[name].form
    assert form is not None
    assert read_transcript(form, text)[0].text == text


def test_a_transcript_that_ends_in_an_open_list_has_one_fault() -> None:
    text = TW[: TW.index("</Outlines>")]
    assert faults("threadweaver", text) == [("the text ends inside <Outlines>", "<Outlines>\n<")]


def test_a_number_of_thousands_of_digits_is_a_fault_like_any_other() -> None:
    text = APR.text.replace("Search 0", "Search " + "9" * 5000)
    assert "9 where 0 belongs" in faults("apr", text)[0][0]


@pytest.mark.parametrize(("name", "text"), [
    ("threadweaver", "<Outlines>\n" + "<Outline>1: a" * 20_000 + "</Outlines>"),
    ("threadweaver", "</Outlines>" * 20_000),
    ("threadweaver", "<Thread>\n1:" * 20_000),
    ("threadweaver", TW * 1_000),
    ("multiverse", "<Goal><Outline>1: a</Outline></Goal>\n<Path>\n1:" * 6_000),
    ("parathinker", "<think1>" * 20_000),
    ("apr", "<Calling Sub Searches>\n" * 15_000),
    ("apr", "Moving to Node #" + "0," * 100_000),
    ("asyncthink", "<FORK-1>a</FORK-1><JOIN-1>\nx\n</JOIN-1>" * 6_000),
    ("asyncthink", "<" * 200_000),
])
def test_a_long_transcript_is_read_in_time_whatever_is_in_it(name: str, text: str) -> None:
    since = process_time()
    assert check(CATALOGUE[name], text).size.total > 1_000
    assert process_time() - since < 5


# --- formats that spawn ------------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new", "what", "place"), [
    ("<Sub Searches>", CALL + "\n<Sub Searches>", "a call that no join has replaced",
     "<End Calling"),
    ("<End Sub Searches>\n", "", "<End Sub Searches> is missing", "<Sub Searche"),
    ("Search 1 at", "Search 5 at", "sub search 5 where 1 belongs", "<Goal Reache"),
    ("<Sub Searches>\n", "<Sub Searches>\nstray\n", "text that belongs to no successful sub search",
     "stray\n<No So"),
    ("<Sub Searches>\n", "<Sub Searches>", "<Sub Searches> and <End Sub Searches> stand on lines of"
     " their own", "<No Solution"),
    ("at Node #0,1>", "at Node #0,9>", "node #0,9 was never generated", "<No Solution"),
    ("Generated Node #0,1", "Generated Leaf #0,1", "node #0,1 was never generated", "<No Solution"),
])
def test_a_fault_of_a_search_has_its_place(old: str, new: str, what: str, place: str) -> None:
    assert (what, place) in faults("apr", spoil(APR.text, old, new))


@pytest.mark.parametrize(("written", "what"), [
    (CALL, []),
    (CALL + "\nmore", ["a call that no join has replaced"]),
    (CALL.replace("#0,1", "#7"), ["node #7 is called but was never generated",
                                  "a call without sub searches"]),
    ("<Calling Sub Searches>\n<End Calling Sub Searches>\n", ["a call without sub searches"]),
    ("<Calling Sub Searches>\n<Start Sub Search 0 at level 1> Moving to Node #0,1",
     ["the text ends inside <Calling Sub Searches>"]),
    ("<Calling Sub Searches>\n", ["the text ends inside <Calling Sub Searches>"]),
    ("<Sub Searches>\n<End Sub Searches>\n", ["a join of no sub search"]),
])
def test_the_end_of_a_search_is_read_too(written: str, what: list[str]) -> None:
    text = APR.text[: APR.text.index("<Sub Searches>")] + written
    assert [fault.what for fault in check(CATALOGUE["apr"], text).faults] == what


@pytest.mark.parametrize(("old", "new", "what", "place"), [
    ("\n</JOIN-2> then", " then", "</JOIN-2> is missing before this tag, or the tag was not quoted",
     "<FORK-2>and "),
    ("\nfour\n", "\nfour <JOIN-2>\n", "</JOIN-1> is missing before this tag, or the tag was not"
     " quoted", "<JOIN-2>\n</J"),
    ("\nfour\n", "four", "expected '\\nfour\\n</JOIN-1>' after <JOIN-1>", "four</JOIN-1"),
    (" <JOIN-1>\nfour\n</JOIN-1>", "", "the answer does not wait for 1", ""),
    ("</FORK-1>", "", "<FORK-1> is not closed; it is given up", "how many hav"),
    ("</FORK-1>", "</FORK-1></FORK-1>", "</FORK-1> closes nothing", " and <FORK-2"),
    ("<ANSWER>13</ANSWER>", "", "the organiser gave no <ANSWER>", ""),
    ("</ANSWER>", "</ANSWER> more", "text after </ANSWER>", " more"),
    ("</ANSWER>", "", "the text ends inside <ANSWER>", ""),
])
def test_a_fault_of_an_organiser_has_its_place(old: str, new: str, what: str, place: str) -> None:
    assert (what, place) in faults("asyncthink", spoil(ASYNCTHINK.text, old, new))


# --- AsyncThink at its seams -------------------------------------------------------------------


def test_an_organiser_asks_for_no_more_stops_than_a_server_takes() -> None:
    machine = AsyncThink()
    for number in range(9):
        machine.feed(f"<FORK-{number}>x</FORK-{number}>")
    assert len(machine.stops().strings) == POOL
    (amend,) = machine.feed("<JOIN-8>")
    assert isinstance(amend, Amend)
    assert "no worker was free" in amend.splice.text


def test_what_is_written_past_a_join_is_taken_out_again() -> None:
    machine, text = AsyncThink(), "<FORK-1>x</FORK-1> so <JOIN-1>"
    fork, wait = machine.feed(text + " I guess <JOIN-2> 7 <ANSWER>7</ANSWER>")
    assert isinstance(fork, Fork)
    assert wait == Wait(("1",))
    splice = machine.join([fork], [Outcome("done", value="8")])
    assert (splice.since, splice.text) == (len(text), "\n8\n</JOIN-1>")
    assert machine.feed(" <ANSWER>8</ANSWER>") == [End("done", "8")]


def test_a_place_in_the_pool_is_free_again_after_the_join() -> None:
    machine = AsyncThink(pool=2)
    fork, odd, wait = machine.feed("<FORK-1>x</FORK-1><FORK-2>y</FORK-2><JOIN-1>")
    assert isinstance(fork, Fork)
    assert odd == Oddity("the pool of 2 is full; 2 is not sent off")
    machine.join([fork], [Outcome("done", value="8")])
    again = machine.feed("<FORK-3>z</FORK-3>")
    assert [e.item for e in again if isinstance(e, Fork)] == ["3"]
    assert isinstance(wait, Wait)


def test_a_number_that_found_no_room_may_be_asked_for_again_once_joined() -> None:
    machine = AsyncThink(pool=2)
    (fork, *_) = machine.feed("<FORK-1>x</FORK-1><FORK-2>y</FORK-2><JOIN-2>")
    assert isinstance(fork, Fork)
    machine.feed("<JOIN-1>")
    machine.join([fork], [Outcome("failed")])
    assert [e.item for e in machine.feed("<FORK-2>y</FORK-2>") if isinstance(e, Fork)] == ["2"]


def test_all_open_workers_are_joined_at_the_end_and_the_organiser_goes_on() -> None:
    machine = AsyncThink()
    one, two = machine.feed("<FORK-1>x</FORK-1><FORK-2>y</FORK-2>.")
    assert isinstance(one, Fork)
    assert isinstance(two, Fork)
    odd, wait = machine.close("eos")
    assert isinstance(odd, Oddity)
    assert wait == Wait()
    splice = machine.join([one, two], [Outcome("done", value="a"), None])
    assert splice.text == "\n<JOIN-1>\na\n</JOIN-1>\n<JOIN-2>\n(no result: cancelled)\n</JOIN-2>"
    assert machine.close("eos") == [End("malformed", reason="the organiser gave no <ANSWER>")]


def test_an_abandoned_fork_is_given_up_wherever_the_text_goes_on() -> None:
    for then in ("<FORK-2>y</FORK-2>", "<JOIN-9>", "<ANSWER>5</ANSWER>"):
        (odd, *rest) = AsyncThink().feed(f"<FORK-1>x {then}")
        assert odd == Oddity("<FORK-1> is not closed; it is given up")
        assert rest


@pytest.mark.parametrize(("text", "finish", "end"), [
    ("so <RETURN> 8 </RETURN>", "stop", End("done", "8")),
    ("so 8", "eos", End("malformed", "so 8", "the worker ended without </RETURN>")),
    ("so <RETURN>8", "length", End("budget", "8", "the worker was cut off (length)")),
    ("so <RETURN>8", "stop",
     End("malformed", "8", "the engine stopped at a tag that its text does not show")),
])
def test_a_worker_ends_in_a_defined_way(text: str, finish: str, end: End) -> None:
    assert events_of(Worker(), [text], finish)[-1] == end  # type: ignore[arg-type]
