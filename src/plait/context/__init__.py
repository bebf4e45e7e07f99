"""Against context-rot: what a thread gets to see, and how long it may grow before it starts clean.

Models get worse at using their context long before it is full. So every thread of a directed
method has an effective `Window` far below the engine's, its prompt holds what it needs and no more
(`relevance`), and a thread that outgrows its window writes down what it knows and goes on in a
clean context (`reset`). How full contexts became stands in the `report`.
"""

from plait.context.relevance import relevant, slices
from plait.context.report import ContextMeter, ContextReport, report_contexts
from plait.context.reset import Notes, write_on
from plait.context.window import Window

__all__ = [
    "ContextMeter",
    "ContextReport",
    "Notes",
    "Window",
    "relevant",
    "report_contexts",
    "slices",
    "write_on",
]
