"""Round values for axes."""

from __future__ import annotations

import math


def ticks(low: float, high: float, about: int = 5, *, whole: bool = False) -> list[float]:
    """Round values from ``low`` to ``high``, some ``about`` of them; ``whole``: no fractions."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    if whole:
        raw = max(1.0, raw)
    power = 10.0 ** math.floor(math.log10(raw))
    steps = (1, 2, 5, 10) if whole else (1, 2, 2.5, 5, 10)
    step = next(m * power for m in steps if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def compact(value: float) -> str:
    """``950``, ``1.2k``, ``3.4M``, ``0.25``."""
    for limit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{sign}"
    return f"{value:.3g}"
