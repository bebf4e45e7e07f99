"""``plait trace FILE``: show a recorded run."""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from plait.cli.show import print_json, print_lines, say
from plait.context import report_contexts
from plait.trace import Metrics, measure, read_trace
from plait.viewer import Scene, report

app = typer.Typer(add_completion=False, rich_markup_mode=None)
AROUND = 40
"""Lines of the tree, and of the timeline, that a terminal gets without ``--all``."""
PIPE_WIDTH = 120


@app.command()
def trace(
    file: Annotated[str, typer.Argument(metavar="FILE", show_default=False,
                                        help="As written by `plait solve --trace FILE`.")],
    json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Show every thread.")] = False,
) -> None:
    """Show a recorded run: its tree, its numbers, its timeline."""
    recording = read_trace(file)
    if recording.truncated:
        say(f"{file} was cut off in its last line; the numbers are of what is there")
    if json:
        metrics, contexts = measure(recording.events), report_contexts(recording.events)
        print_json(_as_dict(metrics) | {
            "context_peak": contexts.peak, "context_sequential": contexts.sequential,
            "context_resets": contexts.resets, "context_peaks": contexts.peaks})
        return
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else PIPE_WIDTH
    lines = report(Scene(recording.events), width, None if everything else AROUND)
    print_lines(lines, "live" if terminal else "plain")


def _as_dict(metrics: Metrics) -> dict[str, object]:
    return {**asdict(metrics), "parallelism": metrics.parallelism,
            "acceleration_ratio": metrics.acceleration_ratio,
            "parallel_share": metrics.parallel_share, "activation": metrics.activation}
