"""The tree of a run while it happens, redrawn in place.

Drawing costs time that the run may need (an embedded engine shares the processor), so a frame is
drawn at most twelve times a second, and never by a thread of its own: `feed` draws when a frame is
due, `tick` is for a timer that catches what came just after one and lets the clock go on.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from plait.core.events import Event
from plait.viewer.report import footer_line, header_lines
from plait.viewer.scene import Scene
from plait.viewer.tree import tree_lines

FRAME = 1 / 12
"""Seconds between two frames."""
AROUND = 7
"""Lines of the terminal that the tree may not use: header, footer, blank lines, the prompt."""
SYNC_BEGIN, SYNC_END = "\x1b[?2026h", "\x1b[?2026l"
"""Terminals that know these show a frame at once and never half of it; others ignore them."""


class LiveTree:
    """Use as a context manager; ``feed`` is a sink for `plait.trace.Trace`."""

    def __init__(
        self, console: Console, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self.scene = Scene()
        self.frames = 0
        self._console = console
        self._clock = clock
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._began: float | None = None
        self._drawn = float("-inf")

    def __enter__(self) -> LiveTree:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._draw(last=True)
        self._live.stop()

    def feed(self, event: Event) -> None:
        """Take in an event; draw if a frame is due."""
        if self._began is None:
            self._began = self._clock() - event.t
        self.scene.feed(event)
        self.tick()

    def tick(self) -> None:
        """Draw if a frame is due."""
        if self._clock() - self._drawn >= FRAME:
            self._draw()

    def _draw(self, *, last: bool = False) -> None:
        self._drawn = self._clock()
        lines = self._frame(last=last)
        self.frames += 1
        self._mark(SYNC_BEGIN)
        self._live.update(Text("\n").join(lines), refresh=True)
        self._mark(SYNC_END)
        self._console.file.flush()

    def _mark(self, sequence: str) -> None:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._console.file.write(sequence)

    def _frame(self, *, last: bool) -> list[Text]:
        scene, width = self.scene, self._console.width
        lines = header_lines(scene, width)
        lines += [Text(), *tree_lines(scene, width, max(3, self._console.height - AROUND))]
        if not last and scene.root is not None:
            elapsed = 0.0 if self._began is None else self._clock() - self._began
            lines += [Text(), footer_line(scene, elapsed)]
        return lines
