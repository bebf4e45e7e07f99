"""A run for people: a live tree, plain lines, a summary and a timeline, all from its events."""

from plait.viewer.live import LiveTree
from plait.viewer.plain import PlainLines
from plait.viewer.report import report
from plait.viewer.scene import Scene
from plait.viewer.summary import comparison_lines, summary_lines

__all__ = ["LiveTree", "PlainLines", "Scene", "comparison_lines", "report", "summary_lines"]
