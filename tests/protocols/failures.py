"""The table of failures: what goes wrong x wire format -> what becomes of the request.

A row gives every format a `Case`, or a `Never` with the reason why that format cannot fail so.
`test_failures` runs every case; what it expects where a case says nothing is a well-behaved run:
the root and its two threads are done, there is nothing to warn of, and no fallback.
"""

from __future__ import annotations

from typing import Any

from plait.testing import Play
from tests.protocols import engine_failures as engine
from tests.protocols import model_failures as model
from tests.protocols.cells import ANSWER, AT_ONCE, BLOCKS, EVERY, Case, Row
from tests.protocols.words import WORDS, Turn


def joins(first: tuple[Turn, ...], **outcome: Any) -> Row:
    """A mistake with joins: only AsyncThink's model names what it joins."""
    return {**dict.fromkeys((*BLOCKS, "apr"), AT_ONCE), "asyncthink": Case(first, **outcome)}


TABLE: dict[str, Row] = {
    "0 nothing goes wrong": {
        name: Case(threads=("done",) * WORDS[name].threads) for name in EVERY},
    "1 threads end without their close tag": model.unclosed("eos"),
    "1 threads are cut off by length": model.unclosed("length"),
    "2 the trigger without an item": model.without_item(),
    "2 the trigger without its opening tag": model.without_opening(),
    "2 the text ends inside the list": model.left_open(),
    "3 a number is given twice": model.given_twice(),
    "3 numbers with gaps and dots": model.gaps_and_dots(),
    "4 too many items": model.too_many(),
    "5 the trigger inside a thread": model.inside_a_thread(),
    "6 the main line writes threads or a join itself": model.by_itself(),
    "6 a thread writes its siblings": model.its_siblings(),
    "7 endless rounds": model.endless(),
    "8 the join fills the context": engine.window_full(),
    "9 one thread's request is refused": engine.one_fails(),
    "9 one thread's request breaks off": engine.one_breaks_off(),
    "9 all threads' requests are refused": engine.all_fail(),
    "9 the main line's request is refused": engine.main_line_fails(),
    "10 tags are several tokens": engine.many_tokens_a_tag(),
    "10 the engine hides a tag from the main line": engine.hidden(),
    "10 the engine hides the threads' tags": engine.hidden_in_threads(),
    "11 a join of an unknown number": joins(
        ("Well <JOIN-7> <ANSWER>", "<ANSWER>five</ANSWER>"), threads=(),
        says=("<JOIN-7>: no such thread",), holds=r"<JOIN-7>\n\(no such thread\)\n</JOIN-7><A"),
    "11 a number is joined twice": joins(
        ("<FORK-3>part</FORK-3> <JOIN-3>", " <JOIN-3>", "<ANSWER>five</ANSWER>"), threads=("done",),
        says=("<JOIN-3>: no such thread",), holds=r"thought\n</JOIN-3> <JOIN-3>\n\(no such thread"),
    "11 a number is used again": joins(
        ("<FORK-3>part</FORK-3> <JOIN-3>", " <FORK-3>more</FORK-3> <JOIN-3>",
         "<ANSWER>five</ANSWER>")),
    "11 threads are open at the answer": joins(
        ("<FORK-3>part</FORK-3> <ANSWER>five</ANSWER>",), thread=(Play("long " * 99),),
        threads=("cancelled",), says=("the answer does not wait for 3",)),
    "11 threads are open at the end of the text": joins(
        ("<FORK-3>part</FORK-3> that is all", "<ANSWER>five</ANSWER>"), threads=("done",),
        says=("the text ends without an answer; open workers are joined",),
        holds="all\n<JOIN-3>\nthought\n</JOIN-3><ANSWER>"),
    "11 threads are open where the text is cut off": joins(
        (Play("<FORK-3>part</FORK-3> and so", finish="length"), ANSWER),
        thread=(Play("long " * 99),), threads=("cancelled",),
        says=("the text is cut off before 3 is joined",), fallback=r"cut off \(length\)"),
    "11 a fork is abandoned": joins(
        ("<FORK-3>part <FORK-4>part</FORK-4> <JOIN-4>", "<ANSWER>five</ANSWER>"), threads=("done",),
        says=("<FORK-3> is not closed; it is given up",)),
    "11 the answer holds tags": joins(
        ("<FORK-3>part</FORK-3> <FORK-4>part</FORK-4> <JOIN-4>", " so <ANSWER>five <JOIN-3>",
         " or so</ANSWER>"), threads=("cancelled", "done"), holds="five <JOIN-3> or so</ANSWER>",
        thread=(Play("long " * 99),),
        says=("<JOIN-3> means nothing here", "the answer does not wait for 3")),
    "11 there is no answer": joins(
        ("I do not know", ANSWER), threads=(), fallback="the organiser gave no <ANSWER>"),
    "11 the text ends inside the answer": joins(
        ("<ANSWER>five",), threads=(), says=("the text ends inside <ANSWER>",)),
    "12 the prompt that switches it on is missing": engine.switched_on(),
    "12 a system message of the request's own": engine.own_system_message(),
    "13 a stop of the request's own": engine.own_stop(),
}
