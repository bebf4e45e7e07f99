"""An evaluation's folder -> report.html, report.md, report.csv, report.json."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, StrictUndefined

from plait.errors import TraceError, UsageError
from plait.evals.report import words
from plait.evals.report.charts import charts
from plait.evals.report.gates import Met, measures
from plait.evals.report.tables import arms_table, as_markdown, versus_table
from plait.evals.store import latest, read_plan, read_records, read_steps
from plait.evals.summary import Flip, Summary, summarise
from plait.evals.values import Record
from plait.trace import read_trace
from plait.viewer import Scene
from plait.viewer import report as trace_page
from plait.viewer.words import harmless

FLIPS = 60
"""Flipped problems that the page shows in full."""
TREE_WIDTH, TREE_HEIGHT = 116, 22
METHOD = ("Every method got the same problems with the same seeds, problem by problem, in an order"
          " drawn anew for each. Made by plait {version}.")


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was written: its summary, its sentences, and its files."""

    summary: Summary
    headlines: tuple[str, ...]
    cautions: tuple[str, ...]
    files: tuple[Path, ...]


def write_report(
    folder: Path, *, base: str | None = None, out: Path | None = None, gates: Sequence[Met] = ()
) -> Report:
    """Write the report of the evaluation in ``folder`` there, or to ``out``.

    Raises `UsageError` if there is no evaluation, nothing in it is finished, or the files cannot be
    written.
    """
    plan, summary = read_summary(folder, base)
    target = out or folder
    headlines = tuple(words.headline(v) for v in summary.versus)
    cautions = tuple(words.cautions(summary, int(plan.get("at_once", 1))))
    texts = {
        "report.html": _page(folder, target, plan, summary, headlines, cautions),
        "report.md": _markdown(plan, summary, headlines, cautions),
        "report.csv": _csv(summary),
        "report.json": _json(plan, summary, headlines, cautions, gates)}
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (target / name).write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"cannot write to {target}: {error.strerror}") from error
    return Report(summary, headlines, cautions, tuple(target / name for name in texts))


def read_summary(folder: Path, base: str | None = None) -> tuple[dict[str, Any], Summary]:
    """The plan and the summary of an evaluation. Raises `UsageError`, see `write_report`."""
    plan = read_plan(folder)
    try:
        summary = summarise(latest(read_records(folder)), base=base, seed=int(plan.get("seed", 0)),
                            order=list(plan.get("arms", ())), step_seconds=read_steps(folder))
    except ValueError as error:
        raise UsageError(f"{folder} cannot be reported: {error}",
                         hint="Go on with it: plait eval SUITE --resume --out DIR.") from error
    return plan, summary


def title_of(plan: dict[str, Any]) -> str:
    tier = f" ({plan['tier']})" if plan.get("tier") else ""
    return f"{plan.get('suite', 'evaluation')}{tier}"


def about(plan: dict[str, Any]) -> str:
    """One line: where problems came from, who answered, how."""
    parts = [f"{plan.get('samples', '?')} problems from {plan.get('source', '?')}",
             f"engine {plan.get('engine', '?')}"]
    if plan.get("model"):
        parts.append(f"model {plan['model']}")
    parts.append(f"grader {plan.get('grader', '?')}"
                 + (f" ({plan['judge']})" if plan.get("judge") else ""))
    parts.append(f"seed {plan.get('seed', 0)}")
    if plan.get("trials", 1) > 1:
        parts.append(f"{plan['trials']} trials")
    return " · ".join(map(str, parts))


def _page(
    folder: Path, target: Path, plan: dict[str, Any], summary: Summary,
    headlines: Sequence[str], cautions: Sequence[str],
) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=False)
    template = environment.from_string(
        (files("plait.evals.report") / "page.html").read_text(encoding="utf-8"))
    flips = [(v.arm, v.base, f) for v in summary.versus for f in v.flips]
    shown = [_flip(folder, target, *flip) for flip in flips[:FLIPS]]
    return template.render(
        title=title_of(plan), about=about(plan), headlines=headlines, cautions=cautions,
        arms=arms_table(summary), charts=charts(summary),
        versus=[(f"{v.arm} against {v.base}", versus_table(v)) for v in summary.versus],
        colours={arm.name: place % 8 for place, arm in enumerate(summary.arms)},
        flips=shown, more_flips=len(flips) - len(shown),
        steps=words.step_words(summary), foot=METHOD.format(version=plan.get("version", "?")))


def _flip(folder: Path, target: Path, arm: str, base: str, flip: Flip) -> dict[str, Any]:
    return {"gained": flip.gained, "sample": flip.sample, "group": flip.group,
            "sides": [_side(folder, target, flip.arm), _side(folder, target, flip.base)]}


def _side(folder: Path, target: Path, record: Record) -> dict[str, Any]:
    link = None
    if record.trace is not None:
        path = folder / record.trace
        link = record.trace if target == folder else path.resolve().as_uri()
    return {"arm": record.arm, "mark": record.mark, "reason": harmless(record.reason),
            "tokens": f"{record.total_tokens:,}", "path": f"{record.critical_path_tokens:,}",
            "seconds": f"{record.wall_seconds:.2f}", "trace": link,
            "answer": harmless(record.answer or "no answer")[:400], "tree": _tree(folder, record)}


def _tree(folder: Path, record: Record) -> str:
    """The threads of a run as text; nothing where the trace is not there."""
    if record.trace is None:
        return ""
    try:
        events = read_trace(folder / record.trace).events
    except TraceError:
        return ""
    return "\n".join(line.plain.rstrip() for line in
                     trace_page(Scene(events), TREE_WIDTH, TREE_HEIGHT))


def _markdown(
    plan: dict[str, Any], summary: Summary, headlines: Sequence[str], cautions: Sequence[str]
) -> str:
    parts = [f"# {title_of(plan)}", about(plan), *headlines,
             "\n".join(f"- {c}" for c in cautions), as_markdown(arms_table(summary)),
             *(f"## {v.arm} against {v.base}\n\n{as_markdown(versus_table(v))}"
               for v in summary.versus),
             words.step_words(summary) if summary.versus else ""]
    flips = [f"- {'gained' if f.gained else 'lost'} by {v.arm}: {f.sample}"
             for v in summary.versus for f in v.flips]
    if flips:
        parts += ["## Problems that flipped", "\n".join(flips)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _csv(summary: Summary) -> str:
    """Every measure of every arm, one a row: arm, measure, value."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("method", "measure", "value"))
    names = sorted((arm.name for arm in summary.arms), key=len, reverse=True)
    for key, value in measures(summary).items():
        arm = next(name for name in names if key.startswith(f"{name}."))
        writer.writerow((arm, key[len(arm) + 1 :], "" if value is None else value))
    return out.getvalue()


def _json(
    plan: dict[str, Any], summary: Summary, headlines: Sequence[str], cautions: Sequence[str],
    gates: Sequence[Met],
) -> str:
    """Everything, for programs. Numbers that are not finite are null."""
    content = {"plan": plan, "headlines": headlines, "cautions": cautions,
               "measures": measures(summary), "gates": [asdict(g) for g in gates],
               "summary": asdict(summary)}
    return orjson.dumps(_finite(content), option=orjson.OPT_INDENT_2).decode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value
