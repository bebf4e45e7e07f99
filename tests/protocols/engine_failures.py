"""Rows of the table of failures: what engines and requests do to a run. See `failures`."""

from __future__ import annotations

from dataclasses import replace

from plait.core import Budget, Message, Prompt, Request, Sampling
from plait.errors import EngineRefused, EngineUnreachable
from plait.protocols import CATALOGUE, prepare
from plait.protocols.facts import HIDDEN_STOP
from plait.testing import Play
from tests.protocols.cells import (
    ANSWER,
    BLOCKS,
    EVERY,
    LISTED,
    NO_SWITCH,
    REFUSED,
    Case,
    Row,
    the,
)
from tests.protocols.words import QUESTION, WORDS, Turn


def window_full() -> Row:
    """Each thread fits the window, all of them together do not."""
    says = ("stopped by the limit on the context window",)
    given = {name: {"budget": Budget(window=80 + switch_tokens(name))} for name in WORDS}
    row: Row = {
        name: Case((WORDS[name].block, ANSWER), thread=("word " * 40 + WORDS[name].thread,) * 2,
                   given=given[name], says=says, holds="(word ){40}",
                   fallback=r"cut off \(window\)")
        for name in (*LISTED, "parallel-r1")}
    row["parathinker"] = Case((ANSWER,), thread=("word " * 40 + "</think{n}>",) * 4,
                              threads=("done",) * 4, given=given["parathinker"], says=says,
                              fallback=r"cut off \(window\)")
    row["apr"] = Case(  # what the searches found is in the join, and is the answer
        given={"budget": Budget(window=120)}, says=says, holds=r"(5\+4=9 ){50}",
        thread=("Goal Reached " + "5+4=9 " * 50 + "Goal Reached",) * 2)
    row["asyncthink"] = Case(
        (WORDS["asyncthink"].block, ANSWER), given=given["asyncthink"], says=says,
        holds="(word ){39}",
        thread=("<RETURN>" + "word " * 40 + "</RETURN>",) * 2, fallback=r"cut off \(window\)")
    return row


def switch_tokens(name: str) -> int:
    """Tokens of what switches the format on: they stand in the context as well."""
    asked = prepare(Request(prompt=QUESTION), CATALOGUE[name].facts)
    return Prompt(messages=asked.messages).tokens


def one_fails() -> Row:
    return _failing((REFUSED,), "failed", "no; given up")


def one_breaks_off() -> Row:
    """A request that broke off is made again, alone; what it had written does not count."""
    row = _failing((Play(" hal", error=EngineUnreachable("gone"), error_after=1),), "done",
                   "gone; tried again")
    return {name: replace(case, holds="") for name, case in row.items() if isinstance(case, Case)}


def all_fail() -> Row:
    row = _failing((REFUSED,) * 2, "failed", "no; given up")
    row["parathinker"] = replace(row["parathinker"], thread=(REFUSED,) * 4)  # type: ignore[type-var]
    return {name: replace(case, threads=("failed",) * len(case.threads))
            for name, case in row.items() if isinstance(case, Case)}


def _failing(thread: tuple[Turn, ...], status: str, says: str) -> Row:
    row: Row = {name: Case(thread=thread, threads=(status, "done"), says=(says,),
                           holds=rf" \(no result\){the(name, 'close')}")
                for name in (*LISTED, "parallel-r1")}
    row["parathinker"] = Case(thread=thread, threads=(status, *("done",) * 3), says=(says,),
                              holds=r"<think1> \(no result\)</think1>")
    row["apr"] = Case(thread=thread, threads=(status, "done"), says=(says,),
                      holds="<No Solution in Sub Search 0")
    row["asyncthink"] = Case(thread=thread, threads=(status, "done"), says=(says,),
                             holds=r"<JOIN-1>\n\(no result: failed\)\n</JOIN-1>")
    return row


def main_line_fails() -> Row:
    full = Play("", error=EngineRefused("the context is too long"))
    row: Row = {name: Case((WORDS[name].block, ANSWER), after=(full,),
                           threads=("done",) * WORDS[name].threads,
                           fallback="the context is too long") for name in EVERY}
    row["parathinker"] = replace(row["parathinker"], first=(ANSWER,))  # type: ignore[type-var]
    return row


def many_tokens_a_tag() -> Row:
    return {name: Case(threads=("done",) * WORDS[name].threads, given={"pieces": list})
            for name in EVERY}


def hidden() -> Row:
    """The main line stops at a tag that the engine leaves out of the text."""
    gone = Play("So it is", finish="stop")
    row: Row = {name: Case((gone, ANSWER), threads=(), says=(HIDDEN_STOP,), fallback=HIDDEN_STOP,
                           holds="^So it is$") for name in (*LISTED, "parallel-r1")}
    row["parathinker"] = Case(after=(gone,), threads=("done",) * 4, holds="So it is$",
                              says=(HIDDEN_STOP, "the model ended without </summary>"))
    row["apr"] = Case((gone, ANSWER), threads=(), says=(HIDDEN_STOP,),
                      fallback=HIDDEN_STOP)
    row["asyncthink"] = Case((gone, ANSWER), threads=(), says=(HIDDEN_STOP,),
                             fallback="the organiser gave no <ANSWER>")
    return row


def hidden_in_threads() -> Row:
    gone = Play(" thought", finish="stop")
    row: Row = {name: Case(thread=(gone,) * WORDS[name].threads,
                           threads=("malformed",) * WORDS[name].threads,
                           says=(HIDDEN_STOP, "thread 0.0, 0.1: the thread ended without"),
                           holds=" thought" + the(name, "mend")) for name in BLOCKS}
    row["parathinker"] = replace(row["parathinker"], says=(  # type: ignore[type-var]
        HIDDEN_STOP, *(f"thread 0.{i}: the thread ended without" for i in range(4))))
    row["apr"] = Case(thread=(gone,), threads=("malformed", "done"), holds="<No Solution in Sub",
                      says=(HIDDEN_STOP, f"thread 0.0: {HIDDEN_STOP}"))
    row["asyncthink"] = Case(thread=(gone,), threads=("malformed", "done"), holds="\nthought\n",
                             says=(HIDDEN_STOP, f"thread 0.0: {HIDDEN_STOP}"))
    return row


def switched_on() -> Row:
    row: Row = dict.fromkeys(("threadweaver", "parason", "apr", "parathinker"), NO_SWITCH)
    for name in ("npr", "parallel-r1", "asyncthink"):
        row[name] = Case(reads="^system: " + CATALOGUE[name].facts.system[:40])
    row["multiverse"] = Case(reads=rf"{QUESTION[:-1]}\? Think step by step and in parallel before")
    return row


def own_system_message() -> Row:
    given = {"messages": (Message("system", "Be brief."), Message("user", QUESTION))}
    row: Row = dict.fromkeys(("threadweaver", "parason", "apr", "parathinker"), NO_SWITCH)
    row["multiverse"] = Case(given=given, reads="^system: Be brief.\nuser: .* and in parallel")
    for name in ("npr", "parallel-r1", "asyncthink"):
        row[name] = Case(("I say <ANSWER>five</ANSWER>",), given=given, threads=(),
                         reads="^system: Be brief.\nuser: Why", says=("the model never forked",))
    return row


OWN_STOP = {"sampling": Sampling(stop=("HALT",))}


def own_stop() -> Row:
    """The request has a stop of its own, which the model writes in its answer."""
    row: Row = {
        name: Case(after=(WORDS[name].after + " HALT more",), given=OWN_STOP, holds="HALT$")
        for name in (*LISTED, "apr")}
    row["parallel-r1"] = Case(after=(" so</Summary>", "\nfive HALT more"), given=OWN_STOP,
                              holds="HALT$")
    row["parathinker"] = Case(after=(" five HALT more",), threads=("done",) * 4, given=OWN_STOP,
                              says=("the model ended without </summary>",), holds="HALT$")
    row["asyncthink"] = Case(after=(" so <ANSWER>five HALT more",), given=OWN_STOP, holds="HALT$",
                             says=("the text ends inside <ANSWER>",))
    return row
