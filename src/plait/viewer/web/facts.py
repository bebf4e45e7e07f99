"""What a run took, in a few figures that say what they mean."""

from __future__ import annotations

from dataclasses import dataclass

from plait.trace import Metrics
from plait.viewer.web.view import View
from plait.viewer.words import number, seconds

_LIMITS = {
    "total_tokens": "tokens of all threads", "critical_tokens": "tokens on the critical path",
    "seconds": "seconds", "width": "threads at once", "depth": "levels", "threads": "threads",
    "window": "tokens in one context", "live_tokens": "tokens held at once", "cost": "cost",
    "rounds": "rounds of forking"}


@dataclass(frozen=True, slots=True)
class Fact:
    """A figure, and a few words on what it is."""

    name: str
    value: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of the request and what was used of it (None: the trace does not say)."""

    name: str
    limit: str
    used: str | None = None
    share: float = 0.0
    """From 0 to 1."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of all tokens."""

    kind: str
    name: str
    tokens: int
    begin: float
    """In per cent of the whole, where it begins and how wide it is."""
    width: float


def facts(view: View) -> list[Fact]:
    """The figures at the head of a run's page."""
    m = view.scene.meter.metrics()
    guess = " (some counts estimated)" if m.estimated else ""
    found = [
        Fact("Time", seconds(view.scene.elapsed), "by the clock"),
        Fact("Critical path", f"{m.critical_path_tokens:,}",
             "tokens that had to be written one after the other"),
        Fact("All tokens", f"{m.total_tokens:,}", f"written by all threads{guess}"),
        Fact("Parallelism", f"{m.parallelism:.2f}×", "all tokens over the critical path"),
        Fact("Threads", f"{m.threads:,}", f"at most {m.max_parallel:,} at the engine at once, "
             f"{number(m.depth, 'level')} deep" if m.threads > 1 else "it never forked")]
    if m.cached_share is not None:
        found.append(Fact("Cached", f"{m.cached_share:.0%}",
                          f"of {m.prompt_tokens:,} tokens that the engine had to read"))
    return found


def parts(metrics: Metrics) -> list[Part]:
    """What became of the tokens. Empty where there are none."""
    found: list[Part] = []
    begin = 0.0
    for kind, name, tokens in (("useful", "useful", metrics.useful_tokens),
                               ("judged", "to verify", metrics.verification_tokens),
                               ("wasted", "wasted", metrics.wasted_tokens)):
        if tokens:
            width = 100 * tokens / metrics.total_tokens
            found.append(Part(kind, name, tokens, begin, width))
            begin += width
    return found


def limits(view: View) -> list[Limit]:
    """The limits of the request, and how near it came to each."""
    started = view.scene.started
    if started is None:
        return []
    m = view.scene.meter.metrics()
    peak = view.scene.contexts.report(m.useful_tokens).peak
    used: dict[str, float] = {
        "total_tokens": m.total_tokens, "critical_tokens": m.critical_path_tokens,
        "seconds": view.scene.elapsed, "depth": m.depth, "threads": m.threads, "window": peak}
    found = []
    for item in started.limits:
        name, _, value = item.partition("=")
        limit, spent = _float(value), used.get(name)
        share = min(1.0, spent / limit) if spent is not None and limit else 0.0
        found.append(Limit(_LIMITS.get(name, name), _shown(limit), None if spent is None
                           else _shown(round(spent, 2)), share))
    return sorted(found, key=lambda one: -one.share)


def against(view: View, base: View) -> list[Fact]:
    """What parallelism bought beside a sequential run of the same question."""
    ours, theirs = view.scene.meter.metrics(), base.scene.meter.metrics()
    wall = base.scene.elapsed / view.scene.elapsed if view.scene.elapsed else None
    tokens = (theirs.total_tokens / ours.critical_path_tokens
              if ours.critical_path_tokens else None)
    spent = ours.total_tokens / theirs.total_tokens if theirs.total_tokens else None
    return [
        Fact("Wall speedup", _times(wall),
             f"{seconds(view.scene.elapsed)} instead of {seconds(base.scene.elapsed)}"),
        Fact("Token speedup", _times(tokens), f"{ours.critical_path_tokens:,} tokens one after "
             f"the other instead of {theirs.total_tokens:,}"),
        Fact("Tokens spent", _times(spent),
             f"{ours.total_tokens:,} instead of {theirs.total_tokens:,}"),
        Fact("Answers", _verdicts(view, base), "of this run, and of the other")]


def _verdicts(view: View, base: View) -> str:
    words = []
    for one in (view, base):
        ended = one.scene.ended
        if ended is None or ended.answer is None:
            words.append("none")
        else:
            words.append({True: "right", False: "wrong", None: "given"}[ended.correct])
    return " · ".join(words)


def _times(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}×"


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,g}"
