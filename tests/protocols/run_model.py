"""Run a whole request on a scripted model, and hold it to what every run must hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from plait.core import Budget, Message, Plan, Request, Result, Sampling
from plait.core.events import Appended, Ended, Rewrote, Started, Wrote
from plait.protocols import CATALOGUE, BlockFormat
from plait.solve import solve
from plait.testing import ScriptedEngine, run_virtual
from plait.trace import Trace
from tests.protocols.words import Model


@dataclass(frozen=True)
class Ran:
    """What became of a request: its result, the root's status, its threads' in order."""

    result: Result
    root: str
    threads: tuple[str, ...]
    text: str
    """The root's own text, also where the fallback gave the answer."""


def run(
    model: Model, *, budget: Budget | None = None, window: int | None = None,
    sampling: Sampling | None = None, messages: tuple[Message, ...] = (), ids: bool = False,
    pieces: Callable[[str], list[str]] | None = None,
) -> Ran:
    """Ask ``model`` its format's question. Fails if a thread leaks or text is lost on the way."""
    engine = ScriptedEngine(model, window=window, ids=ids, pieces=pieces)
    request = Request("" if messages else model.words.question, messages, sampling or Sampling(),
                      budget or Budget())
    trace, plan = Trace(), Plan("native", model.words.name)

    async def ask() -> Result:
        return await solve(request, engine=engine, trace=trace, plan=plan)

    result = run_virtual(ask)
    calls = engine.calls
    assert (calls.open, calls.started) == (0, calls.finished + calls.failed + calls.left)
    roles = {e.thread: e.role for e in trace.events if isinstance(e, Started)}
    ended = {e.thread: e for e in trace.events if isinstance(e, Ended)}
    assert set(roles) == set(ended), "a thread never ended"
    names = [name for name in roles if name != "0" and roles[name] == "thread"]
    text = text_of(trace, "0")
    form = CATALOGUE[model.words.name].form
    if form is not None:
        check_joins(form, trace, text, names)
    if any(ended[name].status in ("malformed", "budget", "failed") for name in names):
        assert result.warnings, "a thread went wrong and nobody is told"
    assert len(set(result.warnings)) == len(result.warnings) <= 8
    return Ran(result, ended["0"].status, tuple(ended[n].status for n in names), text)


def text_of(trace: Trace, thread: str) -> str:
    """What stood in a thread's context behind its opening at the end, recounted from the trace."""
    text = ""
    opened = False
    for event in trace.events:
        if getattr(event, "thread", None) != thread:
            continue
        match event:
            case Started():
                text, opened = "", False
            case Appended(text=part):
                text, opened = (text + part if opened else ""), True
            case Wrote(text=part):
                text += part
            case Rewrote(text=gone):
                assert text.endswith(gone)
                text = text[: len(text) - len(gone)]
    return text


def check_joins(form: BlockFormat, trace: Trace, root: str, names: list[str]) -> None:
    """Every thread's text is quoted in full where it was joined, and all that the runtime puts in
    beside that are the format's own tags."""
    texts = {name: text_of(trace, name) for name in names}
    joined = {name: texts.get(name.rpartition(".")[0], root) for name in names}
    for event in trace.events:
        if isinstance(event, Ended) and event.thread in texts and event.status != "cancelled":
            assert texts[event.thread] in joined[event.thread], f"{event.thread} is lost"
    own = "|".join(re.escape(piece).replace(r"\{n\}", r"[\d.]+") for piece in (
        form.first, form.later, form.close, form.mend, form.suffix, form.tail_close,
        f" (no result){form.close}"))
    opened = set[str]()
    for event in trace.events:
        if not isinstance(event, Appended) or event.thread not in {"0", *names}:
            continue
        if event.thread == "0" and event.thread not in opened:
            opened.add(event.thread)  # the opening prompt
            continue
        assert re.fullmatch(own, event.text) or event.text in texts.values(), event.text
