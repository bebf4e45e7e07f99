"""What the numbers say, in words: the same ones on the page, in Markdown and in the terminal."""

from __future__ import annotations

import math

from plait.evals.stats import Comparison, Interval
from plait.evals.summary import ArmSummary, Summary, Versus


def headline(versus: Versus) -> str:
    """One sentence a comparison, accuracy first."""
    parts = [accuracy_words(versus.accuracy)]
    if versus.wall is not None:
        parts.append(f"{speed_words(versus.wall)} by the clock")
        if versus.attainable is not None:
            parts[-1] += f" ({versus.attainable.estimate:.2f}× attainable)"
    if versus.tokens is not None:
        parts.append(f"{speed_words(versus.tokens)} in tokens")
    return (f"{versus.arm} against {versus.base}, {versus.problems:,} problems: "
            + "; ".join(parts) + ".")


def accuracy_words(found: Comparison | None) -> str:
    if found is None:
        return "accuracy unknown (nothing was graded)"
    effect = found.effect
    shown = points(effect)
    if found.verdict == "tied":
        return f"accuracy tied at this sample size ({shown}; {needed_words(found)})"
    return f"accuracy {found.verdict} ({shown}, p {p_words(found.p)})"


def points(effect: Interval) -> str:
    """``+4.0 points [-1.2, +9.1]``; without the interval where there is none."""
    shown = f"{100 * effect.estimate:+.1f} points"
    if math.isinf(effect.low):
        return shown
    return f"{shown} [{100 * effect.low:+.1f}, {100 * effect.high:+.1f}]"


def speed_words(found: Comparison) -> str:
    effect = found.effect
    shown = times(effect)
    if found.verdict == "tied":
        return f"speed tied at {shown} ({needed_words(found)})"
    return f"{shown} as fast"


def needed_words(found: Comparison) -> str:
    if found.needed is None:
        return "no difference to be seen"
    if found.needed > 1_000_000:
        return "over a million more problems would decide"
    return f"about {found.needed:,} more problems would decide"


def times(effect: Interval) -> str:
    """``2.13× [1.90, 2.41]``; without the interval where there is none."""
    if effect.low <= 0 or math.isinf(effect.high):
        return f"{effect.estimate:.2f}×"
    return f"{effect.estimate:.2f}× [{effect.low:.2f}, {effect.high:.2f}]"


def share(interval: Interval) -> str:
    """``81.0 % [76.2, 85.0]``."""
    if math.isnan(interval.estimate):
        return "not graded"
    if math.isinf(interval.low):
        return f"{100 * interval.estimate:.1f} %"
    return (f"{100 * interval.estimate:.1f} %"
            f" [{100 * interval.low:.1f}, {100 * interval.high:.1f}]")


def p_words(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def step_words(summary: Summary) -> str:
    """Where the attainable speedup comes from, or that it is unknown."""
    known = summary.step_seconds
    if not known:
        return "Attainable is unknown: the step times of the engine were not measured."
    shown = ", ".join(f"{1000 * seconds:.3g} ms with {width}" for width, seconds in known.items())
    threads = "thread" if len(known) == 1 else "threads at once"
    return ("Attainable is the time in which the base was writing over what the very threads of"
            " these runs would take if the engine's steps were all that took time. Attained is the"
            f" part of it that was reached. A step took {shown} {threads}, measured between the"
            " tasks on short contexts; what long ones take beyond that counts as lost.")


def cautions(summary: Summary, at_once: int) -> list[str]:
    """What a reader must know before believing the numbers."""
    found = []
    if at_once > 1:
        found.append(f"{at_once} tasks ran side by side and shared the engine: times are longer"
                     " than for one alone, and a method that forks gains less.")
    for arm in summary.arms:
        found += _arm_cautions(arm)
    if any(v.problems < 30 for v in summary.versus):
        found.append("Fewer than 30 problems were compared: intervals are wide, and rare failures"
                     " do not show.")
    return found


def _arm_cautions(arm: ArmSummary) -> list[str]:
    found = []
    if arm.errors:
        found.append(f"{arm.errors} tasks of {arm.name} failed and count nowhere; --resume runs"
                     " them again.")
    if arm.ungraded:
        found.append(f"{arm.ungraded} answers of {arm.name} could not be graded and count in no"
                     " accuracy.")
    if arm.cached:
        found.append(f"{arm.cached} answers of {arm.name} came from the cache; their times are not"
                     " compared.")
    if arm.estimated:
        found.append(f"The engine did not report some token counts of {arm.name}: they are"
                     " estimates.")
    if arm.fell_back:
        found.append(f"{arm.fell_back} of {arm.tasks} answers of {arm.name} came from its"
                     " sequential fallback.")
    return found
