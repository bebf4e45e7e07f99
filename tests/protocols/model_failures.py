"""Rows of the table of failures: what models write that they should not. See `failures`."""

from __future__ import annotations

import re
from dataclasses import replace

from plait.core import Budget
from plait.protocols import CATALOGUE
from plait.testing import Play
from tests.protocols.cells import ANSWER, BLOCKS, LISTED, NUMBER, SEEDED, Case, Never, Row, the
from tests.protocols.words import WORDS, nodes


def unclosed(finish: str) -> Row:
    half = Play("half a thou", finish=finish)  # type: ignore[arg-type]
    status, why = ("malformed", "without") if finish == "eos" else ("budget", r"cut off \(length\)")
    both = f"thread 0.0, 0.1: .*{why}"
    row: Row = {
        name: Case(thread=(half, half), threads=(status, status), says=(both,),
                   holds=f"half a thou{the(name, 'mend')}")
        for name in BLOCKS}
    each = tuple(f"thread 0.{i}: .*{why}" for i in range(4))
    row["parathinker"] = Case(
        thread=(half,) * 4, threads=(status,) * 4, holds="half a thou</think1><think2>half",
        says=each if finish == "eos" else (f"thread 0.0, 0.1, 0.2, 0.3: .*{why}",))
    row["apr"] = Case(  # a search may end without a goal
        thread=(half, half), threads=("done",) * 2 if finish == "eos" else (status,) * 2,
        says=() if finish == "eos" else (both,), holds="(?s)<No Solution in Sub Search 0 .*<No")
    row["asyncthink"] = Case(thread=(half, half), threads=(status, status), says=each[:2],
                             holds="<JOIN-1>\nhalf a thou\n</JOIN-1>")
    return row


def without_item() -> Row:
    row: Row = {
        name: Case((WORDS[name].of(), ANSWER + "</Think>"), threads=(),
                   says=(f"{WORDS[name].trigger} without any item",)) for name in LISTED}
    row["apr"] = Case((WORDS["apr"].of(), ANSWER), threads=(),
                      fallback="a call without sub searches")
    row["asyncthink"] = Case(("So <FORK-1> </FORK-1> then <ANSWER>five</ANSWER>",), threads=(),
                             says=("<FORK-1> asks for nothing",))
    return row | SEEDED


def without_opening() -> Row:
    row: Row = {
        name: Case((WORDS[name].item.replace("{n}", "1") + WORDS[name].trigger,
                    ANSWER + "</Think>"), threads=(),
                   says=(f"{WORDS[name].trigger} without any item",)) for name in LISTED}
    row["apr"] = Case((nodes(3) + "\n<End Calling Sub Searches>", ANSWER), threads=(),
                      says=("<End Calling Sub Searches> without <Calling Sub Searches>",),
                      fallback="a call without sub searches")
    row["asyncthink"] = Case(("So </FORK-1> then </ANSWER>", " so <ANSWER>five</ANSWER>"),
                             threads=(), says=("</FORK-1> closes nothing",
                                               "</ANSWER> means nothing here"))
    return row | SEEDED


def left_open() -> Row:
    row: Row = {
        name: Case((WORDS[name].of("1", "2").removesuffix(WORDS[name].trigger) + "</Think>five",),
                   threads=(), says=(f"the text ends inside {the(name, 'list_open')}",))
        for name in LISTED}
    row["apr"] = Case((WORDS["apr"].block.removesuffix("\n<End Calling Sub Searches>"),),
                      says=("the text ends inside <Calling Sub Searches>",))
    row["asyncthink"] = Case(("So <FORK-1>part", ANSWER), threads=(),
                             says=("<FORK-1> is not closed; it is given up",),
                             fallback="the organiser gave no <ANSWER>")
    return row | dict.fromkeys(("parallel-r1", "parathinker"),
                               Never("there is nothing to leave open before the threads start"))


def given_twice() -> Row:
    row: Row = {
        name: Case((WORDS[name].of("1", "1"),), threads=("done",), holds=the(name, "suffix"),
                   says=("item 1 is given twice; the first counts",)) for name in LISTED}
    row["apr"] = Case((WORDS["apr"].of("1", "1"),), threads=("done",),
                      says=("node #0,1 is called twice in one block",))
    row["asyncthink"] = Case(
        (WORDS["asyncthink"].of("1", "1"),), threads=("done",), holds="<JOIN-2>\n\\(no such thread",
        says=("thread 1 is open already", "<JOIN-2>: no such thread"))
    return row | SEEDED


def gaps_and_dots() -> Row:
    row: Row = {
        name: Case((WORDS[name].of("1", "7.5", "9"),), threads=("done",) * 3,
                   holds=the(name, "later").replace(NUMBER, "7.5")) for name in LISTED}
    row["apr"] = Case((nodes(3) + "\n<Calling Sub Searches>\n<Start Sub Search 7 at level 1> Moving"
                       " to Node #0,2\n<End Calling Sub Searches>",), threads=("done",),
                      holds="in Sub Search 0 at level 1 at Node #0,2")
    row["asyncthink"] = Case(("<FORK-9>part</FORK-9> <FORK-07>part</FORK-07> <JOIN-07>",
                              " <JOIN-9>", " so <ANSWER>five</ANSWER>"),
                             holds="<JOIN-07>\nthought\n</JOIN-07> <JOIN-9>\nthought\n</JOIN-9>")
    return row | SEEDED


def too_many() -> Row:
    row: Row = {}
    for name in LISTED:
        form = CATALOGUE[name].form
        assert form is not None
        row[name] = Case((WORDS[name].of(*(str(i + 1) for i in range(form.most + 3))),),
                         threads=("done",) * form.most,
                         says=(f"more than {form.most} items; 3 skipped",))
    apr = replace(WORDS["apr"], nodes=nodes(70)).of(*map(str, range(70)))
    row["apr"] = Case((apr,), threads=("done",) * 64,
                      says=("more than 64 calls in one block: #0,64 and what follows",))
    overrun = Play(" <JOIN-4>\nmine\n</JOIN-4> <ANSWER>six</ANSWER>", chunk=99)
    row["asyncthink"] = Case(
        (WORDS["asyncthink"].of("1", "2", "3", "4"),), after=(" <JOIN-3>", overrun),
        threads=("done",) * 3, holds="<JOIN-4>\n\\(no worker was free\\)\n</JOIN-4> so <ANSWER>f",
        says=("the pool of 4 is full; 4 is not sent off", "<JOIN-4>: no worker was free"))
    return row | SEEDED


def inside_a_thread() -> Row:
    row: Row = {
        name: Case(thread=(WORDS[name].block + WORDS[name].thread,),
                   says=(f"{WORDS[name].trigger} inside a thread is plain text",))
        for name in ("threadweaver", "parason", "npr", "parallel-r1")}
    row["multiverse"] = Case(  # it nests: this is no failure
        thread=(WORDS["multiverse"].block,), threads=("done",) * 4,
        holds="(?s)<Path>\n1:<Think>.*<Path>\n1: thought.*<Path>\n2: thought.*<Conclusion>")
    row["parathinker"] = Never("nothing triggers a fork but the end of the prompt")
    row["apr"] = Case(thread=(WORDS["apr"].block,) * 2, threads=("malformed",) * 2,
                      says=("thread 0.0, 0.1: a sub search called sub searches",),
                      holds="(?s)<No Solution in Sub Search 0.*<No Solution in Sub Search 1")
    row["asyncthink"] = Case(
        thread=("<FORK-7>x</FORK-7> <JOIN-1> <RETURN>a <JOIN-2> b</RETURN>",),
        holds=r"<JOIN-1>\na \(JOIN-2> b\n</JOIN-1> <JOIN-2>\nthought")
    return row


def by_itself() -> Row:
    """The main line writes a thread, or what a join puts in."""
    row: Row = {
        name: Case((the(name, "first").replace(NUMBER, "1") + f" mine{the(name, 'close')} "
                    + WORDS[name].block,), holds=" mine", threads=("done", "done"),
                   says=(f"the model wrote {the(name, 'open')} itself",))
        for name in (*LISTED, "parallel-r1")}
    row["parathinker"] = Case(after=("<think3>mine</think3> five</summary>",),
                              threads=("done",) * 4, says=("the model wrote <think3> itself",),
                              holds="mine</think3> five")
    call = WORDS["apr"].block.partition("<Calling Sub Searches>")
    row["apr"] = Case((call[0] + "<Sub Searches>", call[2]), holds="Node #0,2: .*\n<Sub Sea",
                      says=("the model wrote <Sub Searches> itself",))
    row["asyncthink"] = Case(  # written in one chunk with the fork, before the stream can be left
        (Play("<FORK-1>part</FORK-1> <FORK-2>part</FORK-2> <JOIN-1>\nmine\n</JOIN-1>"
              " <ANSWER>six</ANSWER>", chunk=99),), holds="<JOIN-1>\nthought\n</JOIN-1> <JOIN-2>")
    return row


def its_siblings() -> Row:
    """A thread goes on with the next thread instead of ending."""
    def sibling(name: str) -> str:
        return f" mine {the(name, 'later')}".replace(NUMBER, "2") + WORDS[name].thread

    row: Row = {}
    for name in BLOCKS:
        words, rest = WORDS[name], WORDS[name].threads - 1
        turns = (sibling(name), *(words.thread,) * rest, words.after)  # the model takes the main
        row[name] = Case(  # line for an open thread: it opened one that it did not close
            thread=turns + ((words.rest,) if words.rest else ()), threads=("done",) * words.threads,
            says=(f"the model wrote {the(name, 'open').replace(NUMBER, '2')} itself",),
            holds=f"(?s) mine {the(name, 'later')}.*" + re.escape(words.after.split()[-1]))
    alone = Never("a thread sees nothing of its siblings and its text is not joined")
    return row | {"apr": alone, "asyncthink": alone}


def endless() -> Row:
    given = {"budget": Budget(rounds=6)}
    row: Row = {
        name: Case((WORDS[name].block, ANSWER), after=(WORDS[name].block,) * 5, given=given,
                   threads=("done",) * 12, says=("stopped after 6 rounds",),
                   fallback="the limit on rounds is 6") for name in (*LISTED, "apr")}
    row["parallel-r1"] = Case(
        after=(" so</Summary>", " <Parallel>") * 3 + (" so</Summary>", " <Parallel> five"),
        threads=("done",) * 8, says=("<Parallel> after 4 blocks is plain text",))
    row["parathinker"] = Never("there is one block, at the prompt")
    row["asyncthink"] = Case(
        (WORDS["asyncthink"].block, ANSWER), after=(" <FORK-1>part</FORK-1> <JOIN-1>",) * 4,
        given=given, threads=("done",) * 6, says=("stopped after 6 rounds",),
        fallback="the limit on rounds is 6")
    return row
