"""`docs/protocols.md`, written from what the code knows: catalogue, facts, and machines at work.

The pictures are runs: each format's example is played on its own machine, and what the machine
asks for is drawn. The command ``plait protocols --markdown`` prints the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from plait.core import Outcome
from plait.interfaces import Amend, ChildSpec, End, Event, Fork, Splice, Wait
from plait.protocols import apr, asyncthink, blocks
from plait.protocols.catalogue import CATALOGUE, REFUSED, Known
from plait.protocols.examples import EXAMPLES, Example

INTRO = """\
# Wire formats

<!-- Made by `plait protocols --markdown > docs/protocols.md`; a test holds it to the code. -->

A wire format is how a *model* says that it wants to fork, and what it reads once its threads are
joined. plait runs the formats below on engines as they are: `plait solve --protocol NAME`. There
are two families. In the first, threads continue the parent's own context (prefix caching makes
that cheap). In the second they start from prompts of their own.

To bring a format of your own: [adding a protocol](adding-a-protocol.md).
"""

ENGINES = """\
## On which servers

All of them are driven through plain text completion: vLLM, SGLang, llama.cpp, any OpenAI-compatible
server. What differs between these (which stop ended a text, whether tags stay visible) is handled
for vLLM and llama.cpp as real servers showed it in tests. **SGLang's dialect is tested on recorded
shapes only.** A server that hides control tokens from its text cannot drive a format whose tags
are such tokens; the result then warns of it, and the answer is made sequentially. In the tests
`apr` and `threadweaver` run on real tokens (plait-nano's), the other six on scripted models.
"""

PICTURES = """\
In the pictures `⏎` is a line break; `│` divides what a thread is given from what it writes. Text
stands in the order in which it comes to be: the main line, its threads (side by side in time), what
the runtime puts in when they are joined, the main line again. A thread that continues its parent's
context has the whole main line up to there before what is drawn.
"""


def markdown() -> str:
    """The whole page, with a line break at its end."""
    parts = [INTRO, *_overview(), "", ENGINES, PICTURES]
    for name, known in CATALOGUE.items():
        parts += [*_section(known), "```text", *draw(known, EXAMPLES[name]), "```", ""]
    return "\n".join([*parts, *_malformed(), *_refused()]).rstrip() + "\n"


# --- words -------------------------------------------------------------------------------------


def _overview() -> Iterator[str]:
    yield "| name | format | threads | stops to fork at | nesting | trained context | paper |"
    yield "|---|---|---|---|---|---|---|"
    for name, known in CATALOGUE.items():
        facts = known.facts
        cells = (f"[`{name}`](#{name})", facts.title, _FAMILY[facts.family], _trigger(known),
                 facts.nesting, _context(known), facts.paper)
        yield f"| {' | '.join(cells)} |"


_FAMILY = {"fork": "continue the parent's context", "spawn": "start from prompts of their own"}


def _trigger(known: Known) -> str:
    if known.form is not None:
        return f"`{known.form.trigger}`" if known.form.trigger else "the end of the prompt"
    return {"apr": f"`{apr.END_CALL}`; threads start before it",
            "asyncthink": "nothing: the parent goes on"}[known.facts.name]


def _context(known: Known) -> str:
    longest = known.facts.trained_context
    return f"{longest:,} tokens" if longest else "not published"


def _section(known: Known) -> Iterator[str]:
    facts = known.facts
    yield f"## {facts.name}"
    yield ""
    yield f"{facts.title}, {facts.paper}. Threads {_FAMILY[facts.family]}."
    yield ""
    yield f"- **Nesting**: {facts.nesting}."
    yield f"- **A join holds**: {_plain(facts.joins)}."
    models = ", ".join(m if " " in m else f"`{m}`" for m in facts.models)
    yield f"- **Models known to write it**: {models or 'none are published'}."
    yield f"- **Switched on by**: {_switch(known)}"
    yield f"- **Trained context**: {_context(known)}. **Published sampling**: {_sampling(known)}."
    yield f"- **What its paper counts**: {facts.measure}."
    if facts.mismatch:
        yield f"- **Not as in training**: {_plain(facts.mismatch)}."
    yield from (f"- **Mind**: {_plain(caveat)}." for caveat in facts.caveats)
    yield ""


def _switch(known: Known) -> str:
    facts = known.facts
    if facts.suffix:
        return f"these words behind the question, which plait puts there: `{facts.suffix.strip()}`"
    if facts.system:
        return ("a system message, which plait adds unless the request has one:\n\n"
                f"  > {_plain(facts.system)}\n")
    return "nothing; none is needed."


def _plain(text: str) -> str:
    """``text`` in Markdown: outside of code its tags are words, not HTML."""
    pieces = text.split("`")
    pieces[::2] = [piece.replace("<", "&lt;") for piece in pieces[::2]]
    return "`".join(pieces)


def _sampling(known: Known) -> str:
    facts = known.facts
    if facts.temperature is None:
        return "not known"
    top = f", top-p {facts.top_p}" if facts.top_p is not None else ""
    return f"temperature {facts.temperature}{top}"


def _malformed() -> Iterator[str]:
    yield "## What malformed output comes to"
    yield ""
    yield "No output of a model is an error. Whatever is off is in the result's `warnings`."
    tables = (("Block formats", blocks), ("`apr`", apr), ("`asyncthink`", asyncthink))
    for title, module in tables:
        yield from ("", f"{title}:", "", "```text", *_table_in(module.__doc__ or ""), "```")
    yield ""


def _table_in(doc: str) -> list[str]:
    """The last indented table of a docstring whose rows have two columns."""
    tables = re.findall(r"(?:^    \S.*  .*\n|^     +\S.*\n)+", doc, re.MULTILINE)
    return [line[4:] for line in tables[-1].splitlines()]


def _refused() -> Iterator[str]:
    yield "## Refused"
    yield ""
    yield "| name | paper | why | instead |"
    yield "|---|---|---|---|"
    for refused in REFUSED:
        names = ", ".join(f"`{name}`" for name in refused.names)
        yield f"| {names} | {refused.paper} | {refused.reason} | {refused.instead} |"


# --- pictures ----------------------------------------------------------------------------------

_MARGIN = 10


def draw(known: Known, example: Example) -> list[str]:
    """The lines of a picture: ``example`` played on the machine of the format."""
    machine = known.machine(example.prompt)
    turns, threads = list(example.turns), list(example.threads)
    lines: list[str] = []
    outcomes: dict[str, Outcome] = {}
    forks: dict[str, Fork] = {}
    events: Sequence[Event] = machine.begin()
    if events:
        lines.append("prompt".ljust(_MARGIN) + "...")
    while events or turns:
        if not events:
            turn = turns.pop(0)
            lines += _rows("model", turn)
            events = machine.feed(turn) or machine.close("eos")
        for fork in (e for e in events if isinstance(e, Fork)):
            spec, child = machine.child(fork)
            text = threads.pop(0)
            lines += _rows(f"thread {len(example.threads) - len(threads)}", _given(spec) + text)
            (end,) = child.feed(text) or child.close("eos")
            assert isinstance(end, End)
            forks[fork.item], outcomes[fork.item] = fork, Outcome(end.status, text, end.value)
        match events[-1]:
            case Wait(items):
                wanted = list(forks) if items is None else list(items)
                splice = machine.join([forks.pop(i) for i in wanted],
                                      [outcomes[i] for i in wanted])
                lines += _joined(known, splice)
            case Amend(splice, _) if splice.text:
                lines += _joined(known, splice)
        events = ()
    return lines


def _given(spec: ChildSpec) -> str:
    """What a thread's context holds of its own before it writes, up to the bar."""
    words = [f"[{m.role}] {m.content if len(m.content) < 60 else m.content[:36] + '...'}\n"
             for m in (spec.prompt.messages if spec.prompt else ())]
    return f"{''.join(words)}{spec.text}│"


def _joined(known: Known, splice: Splice) -> list[str]:
    rows = _rows("joined", splice.text)
    if known.facts.name == "apr":
        rows[0] += f"   (in place of everything from {apr.CALL} on)"
    return rows


def _rows(who: str, text: str) -> list[str]:
    """``text`` beside the name of who wrote it, every line break to be seen."""
    *broken, last = text.split("\n")
    pieces = [f"{piece}⏎" for piece in broken] + ([last] if last else [])
    return [(who if index == 0 else "").ljust(_MARGIN) + piece
            for index, piece in enumerate(pieces)]
