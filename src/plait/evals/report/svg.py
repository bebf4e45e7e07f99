"""Small drawings as SVG text: axes, points with intervals, bars, steps. Pure.

Colours are CSS classes (``s0``.. for arms, ``p0``.. for parts of a whole), so that the page decides
what they look like in light and in dark. Every mark has a ``<title>``, which browsers show when the
pointer rests on it. Names come from users and are escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from plait.viewer.scale import compact, ticks

WIDTH, HEIGHT = 460, 280
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 14, 46


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from ``low`` to ``high`` onto pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)


def figure(body: Sequence[str], label: str, height: int = HEIGHT) -> str:
    """A drawing. ``label`` says in words what is to be seen."""
    inner = "".join(body)
    return (f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}"'
            f' xmlns="http://www.w3.org/2000/svg">{inner}</svg>')


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "middle") -> str:
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">'
            f"{escape(words)}</text>")


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
            f' class="{kind}"/>')


def rect(x: float, y: float, width: float, height: float, kind: str, title: str) -> str:
    return (f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}"'
            f' height="{max(0.0, height):.1f}" class="{kind}">'
            f"<title>{escape(title)}</title></rect>")


def dot(x: float, y: float, kind: str, title: str, radius: float = 5) -> str:
    return (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" class="{kind}">'
            f"<title>{escape(title)}</title></circle>")


def path(points: Sequence[tuple[float, float]], kind: str) -> str:
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{joined}" class="{kind}"/>'


def percent_axis(scale: Scale, name: str) -> list[str]:
    """The y axis of shares, with its grid."""
    found = []
    for value in ticks(scale.low, scale.high, 5):
        y = scale(value)
        found += [line(LEFT, y, WIDTH - RIGHT, y, "grid"),
                  text(LEFT - 6, y + 4, f"{value:.0%}", "tick", "end")]
    return [*found, _sideways(name)]


def value_axis(scale: Scale, name: str, height: int = HEIGHT) -> list[str]:
    """The x axis of numbers from 0, with its grid."""
    found = []
    for value in ticks(scale.low, scale.high, 5):
        x = scale(value)
        found += [line(x, TOP, x, height - BOTTOM, "grid"),
                  text(x, height - BOTTOM + 16, compact(value), "tick")]
    return [*found, text((LEFT + WIDTH - RIGHT) / 2, height - 8, name, "name")]


def _sideways(name: str) -> str:
    y = (TOP + HEIGHT - BOTTOM) / 2
    return (f'<text transform="translate(13 {y:.0f}) rotate(-90)" text-anchor="middle"'
            f' class="name">{escape(name)}</text>')

