"""The tables of a report, as text cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from plait.evals.report import words
from plait.evals.stats import Comparison, Interval
from plait.evals.summary import ArmSummary, Summary, Versus


@dataclass(frozen=True, slots=True)
class Table:
    """Heads, and rows of as many cells."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def arms_table(summary: Summary) -> Table:
    """One row an arm."""
    at = list(dict.fromkeys(name for arm in summary.arms for name in arm.at_k))
    priced = any(arm.cost is not None for arm in summary.arms)
    heads = ("method", "problems", "accuracy", *at, "wrong", "no answer", "seconds", "median",
             "p90", "longest path", "tokens", "wasted", "forked", "width", "fell back",
             *(("cost",) if priced else ()))
    return Table(heads, tuple(_arm_row(arm, at, priced) for arm in summary.arms))


def _arm_row(arm: ArmSummary, at: list[str], priced: bool) -> tuple[str, ...]:
    total = arm.tokens * arm.tasks
    wasted = arm.spent_tokens["wasted"] / total if total else 0.0
    return (arm.name, f"{arm.problems:,}", words.share(arm.accuracy),
            *(f"{100 * arm.at_k[name]:.1f} %" if name in arm.at_k else "-" for name in at),
            f"{arm.wrong:,}", f"{arm.no_answer:,}", words.seconds(arm.seconds),
            words.seconds(arm.seconds_median), words.seconds(arm.seconds_p90), f"{arm.path:,.0f}",
            f"{arm.tokens:,.0f}", f"{wasted:.0%}", f"{arm.activation:.0%}", f"{arm.width:.1f}",
            f"{arm.fell_back:,}",
            *((f"{arm.cost:,.2f}" if arm.cost is not None else "-",) if priced else ()))


def versus_table(versus: Versus) -> Table:
    """One row a measure."""
    heads = ("measure", "effect", "verdict", "p", "problems", "more needed")
    return Table(heads, tuple(_versus_rows(versus)))


def _versus_rows(versus: Versus) -> list[tuple[str, ...]]:
    rows = [_row("accuracy", versus.accuracy, words.points),
            _row("speedup in time, of sums", versus.wall, words.times),
            _row("speedup in time, median", versus.wall_median, words.times),
            _row("speedup in time, both right", versus.wall_both_right, words.times)]
    if versus.attainable is not None and versus.attained is not None:
        n = f"{versus.attainable.n:,}"
        rows += [("attainable in time, of sums", words.times(versus.attainable), "", "", n, ""),
                 ("attained, of the attainable", f"{versus.attained:.0%}", "", "", n, "")]
    rows += [_row("speedup in tokens, of sums", versus.tokens, words.times),
             _row("speedup in tokens, median", versus.tokens_median, words.times)]
    return [row for row in rows if row]


def _row(
    measure: str, found: Comparison | None, shown: Callable[[Interval], str]
) -> tuple[str, ...]:
    """Nothing where there is nothing to compare."""
    if found is None:
        return ()
    return (measure, shown(found.effect), found.verdict, words.p_words(found.p).removeprefix("= "),
            f"{found.effect.n:,}", "-" if found.needed in (None, 0) else f"{found.needed:,}")


def as_markdown(table: Table) -> str:
    """A Markdown table; bars in names are escaped."""
    def row(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([row(table.heads), "|" + "---|" * len(table.heads), *map(row, table.rows)])
