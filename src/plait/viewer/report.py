"""A whole run on one page: header, tree, summary, timeline."""

from __future__ import annotations

from rich.text import Text

from plait.viewer.scene import Scene
from plait.viewer.summary import summary_lines
from plait.viewer.timeline import timeline_lines
from plait.viewer.tree import tree_lines
from plait.viewer.words import fit, number, one_line, way


def header_lines(scene: Scene, width: int) -> list[Text]:
    """The question, and who is asked in which way."""
    run = scene.started
    if run is None:
        return []
    about = one_line(" · ".join(part for part in (run.engine, run.model, way(run)) if part))
    return [Text(fit(one_line(run.question), width), "bold"), Text(fit(about, width), "dim")]


def footer_line(scene: Scene, elapsed: float) -> Text:
    """Where a run stands: how many threads do what, tokens so far, and the time."""
    running = [s for s in scene.strands.values() if s.status is None]
    busy = sum(s.open_request is not None for s in running)
    text = (f"{busy} writing, {len(running) - busy} waiting, "
            f"{len(scene.strands) - len(running)} ended   {number(scene.tokens, 'token')}   "
            f"{elapsed:.1f} s")
    return Text(text, "dim")


def report(scene: Scene, width: int, height: int | None = None) -> list[Text]:
    """The page of a recorded run. ``height`` limits the lines of tree and timeline each."""
    parts = [
        header_lines(scene, width),
        tree_lines(scene, width, height),
        summary_lines(scene),
        timeline_lines(scene, width, height),
    ]
    lines: list[Text] = []
    for part in filter(None, parts):
        lines += [*([Text()] if lines else []), *part]
    return lines
