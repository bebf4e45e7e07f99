"""An analysis for people: calm lines for a terminal, a page of Markdown, one JSON object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from textwrap import wrap

from rich.cells import cell_len
from rich.text import Text

from plait.analysis.analyse import Analysis
from plait.analysis.gain import TaskGain
from plait.evals.stats import Interval
from plait.viewer.words import fit, number, one_line, pad, seconds

KEY = 13
BAR = 24
MOST_TASKS = 12
LONGEST_NAME = 28
ASSUMED = ("what parallelism would buy is read from the wording of the answers and assumes that"
           " threads are written side by side at no loss: a bound to check with `plait eval`, not a"
           " promise")

TASKS = "Tasks, by what"
WIDTH = 96
"""Columns of a value, before it goes on in the next line."""

Section = tuple[str, list[tuple[str, str]]]


def to_dict(analysis: Analysis) -> dict[str, object]:
    """The findings as JSON values."""
    return {**asdict(analysis), "speedups": {str(n): s for n, s in analysis.speedups},
            "skipped": dict(analysis.skipped), "repeats": {
                **asdict(analysis.repeats), "share": analysis.repeats.share,
                "equation_share": analysis.repeats.equation_share,
                "state_share": analysis.repeats.state_share}}


def terminal_lines(analysis: Analysis) -> list[Text]:
    """The report for a terminal, one `Text` a line."""
    lines = [Text(_headline(analysis), "bold"), Text()]
    for title, rows in _sections(analysis):
        lines.append(Text(title, "bold"))
        lines += [line for key, value in rows for line in _entry(key, value)]
        lines.append(Text())
    return [*lines, Text("note: " + ASSUMED, "dim")]


def markdown(analysis: Analysis) -> str:
    """The report as a page of Markdown."""
    parts = ["# Where parallel threads would help", "", _headline(analysis), ""]
    for title, rows in _sections(analysis):
        parts += [f"## {title}", ""]
        if title.startswith(TASKS):
            parts += _task_table(analysis.tasks)
        else:
            parts += ["| | |", "|---|---|"]
            parts += [f"| {_cell(key)} | {_cell(value)} |" for key, value in rows]
        parts.append("")
    return "\n".join([*parts, f"*Read it with care: {ASSUMED}.*", ""])


def _entry(key: str, value: str) -> Iterator[Text]:
    """A row, its value wrapped beside the key."""
    room = KEY + 2 if cell_len(key) <= KEY - 2 else LONGEST_NAME
    for index, line in enumerate(wrap(value, WIDTH, drop_whitespace=False) or [""]):
        shown = pad("  " + key, room) if not index else " " * room
        yield Text.assemble((shown, "dim"), line if not index else line.lstrip())


def _task_table(tasks: Sequence[TaskGain]) -> Iterator[str]:
    yield "| task | would save | share | faster | mean tokens | repeats | accuracy |"
    yield "|---|---|---|---|---|---|---|"
    for gain in tasks:
        yield (f"| {_cell(one_line(gain.task))} | {_saved(gain)} | {gain.share:.0%}"
               f" | {gain.speedup:.2f}× | {gain.mean_tokens:,.0f} | {gain.repeated:.0%}"
               f" | {_share(gain.accuracy)} |")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").strip()


def _headline(analysis: Analysis) -> str:
    words = f"{number(analysis.calls, 'answer')} to {number(analysis.problems, 'problem')}"
    if analysis.estimated:
        words += "; tokens that were not logged are counted as words and signs"
    left = ", ".join(f"{why} ({count})" for why, count in analysis.skipped)
    return words + (f"; left out: {left}" if left else "")


def _sections(analysis: Analysis) -> Iterator[Section]:
    yield "Recommended start", list(_recommended(analysis))
    yield "Parallel share", list(_parallel(analysis))
    yield f"{TASKS} {analysis.options.threads} threads would save", list(_tasks(analysis))
    yield "Tokens and latency", list(_growth(analysis))
    yield "Accuracy against length", list(_rot(analysis))
    yield "Repeated exploration", list(_repeats(analysis))


def _recommended(analysis: Analysis) -> Iterator[tuple[str, str]]:
    best = analysis.recommendation
    yield "method", best.method + (f" ({best.protocol})" if best.protocol else "")
    if best.threshold is not None:
        yield "threshold", f"go parallel from {best.threshold:,} expected tokens on"
    if best.width is not None:
        yield "width", f"{best.width} threads" + (
            ", stop early when the answer is there" if best.early_stop else "")
    for index, reason in enumerate(best.reasons):
        yield "" if index else "because", reason


def _parallel(analysis: Analysis) -> Iterator[tuple[str, str]]:
    yield "share", f"{analysis.share:.0%} of the tokens stand in parts that do not need each other"
    yield "Amdahl", ", ".join(f"{n} threads {s:.2f}×" for n, s in analysis.speedups)
    yield "bound", f"{analysis.bound:.2f}× with any number of threads (longest chain of thoughts)"


def _tasks(analysis: Analysis) -> Iterator[tuple[str, str]]:
    yield " " * KEY, (f"{'saved':>18} {'share':>6} {'faster':>7} {'tokens':>7} {'repeats':>8}"
               "  accuracy")
    for gain in analysis.tasks[:MOST_TASKS]:
        yield pad(fit(one_line(gain.task), LONGEST_NAME - 4), KEY), _task(gain)
    if len(analysis.tasks) > MOST_TASKS:
        yield "", f"and {number(len(analysis.tasks) - MOST_TASKS, 'task')} more"


def _task(gain: TaskGain) -> str:
    return (f"{_saved(gain):>18} {gain.share:>6.0%} {gain.speedup:>6.2f}×"
            f" {gain.mean_tokens:>7,.0f} {gain.repeated:>8.0%}  {_share(gain.accuracy)}")


def _saved(gain: TaskGain) -> str:
    saved = seconds(gain.saved) if gain.unit == "seconds" else f"{gain.saved:,.0f} tokens"
    return f"{saved} ({gain.saved / gain.spent if gain.spent else 0.0:.0%})"


def _growth(analysis: Analysis) -> Iterator[tuple[str, str]]:
    growth = analysis.growth
    t = growth.tokens
    yield "tokens", (f"median {t.p50:,.0f}, 90 % below {t.p90:,.0f}, 99 % below {t.p99:,.0f};"
                     f" the longest tenth writes {growth.tail_tokens:.0%} of all")
    if growth.seconds is None:
        yield "seconds", "unknown: the log has no times, or too few"
        return
    s = growth.seconds
    yield "seconds", (f"median {seconds(s.p50)}, 90 % below {seconds(s.p90)}; the longest tenth"
                      f" takes {growth.tail_seconds or 0:.0%} of all")
    if growth.each is not None and growth.fixed is not None:
        agree = f" (rank correlation {growth.fit:.2f})" if growth.fit is not None else ""
        yield "growth", (f"{growth.fixed:.2f} s and {growth.each * 1000:.1f} s for each 1,000"
                         f" tokens{agree}")
    if growth.bend is not None:
        yield "bend", f"a token of a long answer takes {growth.bend:.2f} times one of a short one"


def _rot(analysis: Analysis) -> Iterator[tuple[str, str]]:
    rot = analysis.rot
    if rot is None:
        yield "accuracy", "unknown: the log has no verdicts"
        return
    yield "accuracy", _share(rot.accuracy)
    for part in rot.bins:
        filled = round(BAR * part.accuracy.estimate)
        yield f"to {part.high:,}", f"{'█' * filled}{'·' * (BAR - filled)} {_share(part.accuracy)}"
    if rot.knee is None:
        yield "knee", f"none found: {rot.why}"
        return
    k = rot.knee
    yield "knee", (f"at {k.tokens:,} tokens ({k.low:,} - {k.high:,}): {k.before.estimate:.0%}"
                   f" before, {k.beyond.estimate:.0%} beyond it, where {k.share:.0%} of the"
                   f" answers are (p = {k.p:.2f})")
    yield "", "hard problems are long as well: only shorter contexts can tell which it is"


def _repeats(analysis: Analysis) -> Iterator[tuple[str, str]]:
    r = analysis.repeats
    yield "passages", (f"{r.share:.1%} of the text: {r.repeated_passages:,} of {r.passages:,}"
                       " lines are near-duplicates of earlier ones")
    yield "equations", f"{r.repeated_equations:,} of {r.equations:,} stand earlier in the same text"
    yield "states", f"{r.repeated_states:,} of {r.states:,} were visited before in the same text"
    if analysis.again:
        yield "most often", ", ".join(f"{one_line(e)} ({n} times)" for e, n in analysis.again[:3])


def _share(interval: Interval | None) -> str:
    if interval is None:
        return "unknown"
    return f"{interval.estimate:.0%} ({interval.low:.0%} - {interval.high:.0%}, n={interval.n:,})"
