"""The numbers of a finished run in a few calm lines, and two runs side by side."""

from __future__ import annotations

from rich.text import Text

from plait.context import ContextReport
from plait.core import Result
from plait.trace import Metrics
from plait.viewer.scene import Scene
from plait.viewer.words import harmless, number, one_line, seconds

KEY_WIDTH = 13
MOST_WARNINGS = 5


def summary_lines(scene: Scene) -> list[Text]:
    """Answer, tokens, threads, critical path and time of a run, as its events have it."""
    metrics = scene.meter.metrics()
    lines = [*_answer(scene), _entry("tokens", _tokens(metrics))]
    if metrics.cached_share is not None:
        lines.append(_entry("prompts", f"{number(metrics.prompt_tokens, 'token')}, "
                                       f"{metrics.cached_share:.0%} of them cached"))
    if metrics.threads > 1:
        lines.append(_entry("threads", _threads(metrics)))
    lines.append(_entry("longest path", _path(metrics)))
    if metrics.threads > 1:
        lines.append(_entry("context", _context(scene.contexts.report(metrics.useful_tokens))))
    lines.append(_entry("time", seconds(scene.elapsed)))
    if scene.ended is not None and scene.ended.fallback:
        lines.append(_entry("fallback", one_line(scene.ended.fallback), "yellow"))
    warnings = list(dict.fromkeys(scene.warnings))
    for index, warning in enumerate(warnings[:MOST_WARNINGS]):
        lines.append(_entry("" if index else "warnings", one_line(warning), "yellow"))
    if len(warnings) > MOST_WARNINGS:
        lines.append(_entry("", f"and {len(warnings) - MOST_WARNINGS} more", "yellow"))
    return lines


def comparison_lines(
    parallel: Result, sequential: Result, speedups: dict[str, float | None]
) -> list[Text]:
    """Both runs of a comparison as a small table, and what parallelism bought."""
    table = [
        ("", "parallel", "sequential"),
        ("method", parallel.method, sequential.method),
        ("answer", _verdict(parallel), _verdict(sequential)),
        ("tokens", f"{parallel.total_tokens:,}", f"{sequential.total_tokens:,}"),
        ("longest path", f"{parallel.critical_path_tokens:,}",
         f"{sequential.critical_path_tokens:,}"),
        ("time", seconds(parallel.wall_seconds), seconds(sequential.wall_seconds)),
    ]
    lines = [Text(f"{key:<{KEY_WIDTH}}{left:>16}{right:>16}", "" if key else "dim")
             for key, left, right in table]
    lines.append(Text())
    for name, value in speedups.items():
        shown = "unknown" if value is None else f"{value:.2f}×"
        lines.append(Text(f"{name.replace('_', ' '):<{KEY_WIDTH + 6}}{shown:>10}"))
    return lines


def _verdict(result: Result) -> str:
    if result.answer is None:
        return "none"
    return {True: "right", False: "wrong", None: "given"}[result.correct]


def _answer(scene: Scene) -> list[Text]:
    ended = scene.ended
    if ended is None:
        return [_entry("answer", "none: the run did not end", "yellow")]
    if ended.answer is None:
        return [_entry("answer", "none", "red")]
    first, *rest = harmless(ended.answer).split("\n")
    lines = [_entry("answer", first, "bold"), *(_entry("", line, "bold") for line in rest)]
    if ended.correct is not None:
        lines.append(_entry("", "✓ checks out", "green") if ended.correct
                     else _entry("", "✗ does not check out", "red"))
    if ended.finish == "budget":
        lines.append(_entry("", "the budget ended: this is the best answer so far", "yellow"))
    return lines


def _tokens(metrics: Metrics) -> str:
    parts = [f"{metrics.total_tokens:,} generated"]
    for count, what in ((metrics.wasted_tokens, "wasted"),
                        (metrics.verification_tokens, "to verify"),
                        (metrics.inserted_tokens, "inserted by joins")):
        if count:
            parts.append(f"{count:,} {what}")
    return ", ".join(parts) + (" (estimated)" if metrics.estimated else "")


def _threads(metrics: Metrics) -> str:
    return (f"{metrics.threads:,} in {number(metrics.forks, 'block')}, "
            f"at most {metrics.max_parallel} at once, {number(metrics.depth, 'level')} deep")


def _context(report: ContextReport) -> str:
    text = (f"at most {number(report.peak, 'token')} in one thread, "
            f"{report.sequential:,} had one thread done it all")
    return text + (f", {number(report.resets, 'reset')}" if report.resets else "")


def _path(metrics: Metrics) -> str:
    text = number(metrics.critical_path_tokens, "token")
    if metrics.threads > 1:
        text += f", parallelism {metrics.parallelism:.2f}"
        text += f", acceleration {metrics.acceleration_ratio:.0%}"
    return text


def _entry(key: str, value: str, style: str = "") -> Text:
    line = Text(overflow="fold")
    line.append(f"{key:<{KEY_WIDTH}}", "dim")
    line.append(value, style)
    return line
