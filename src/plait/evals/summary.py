"""Records -> everything that a report says, as frozen values. Pure.

Arms are compared on the problems that both have finished, each problem counting once however often
it was put. Speedups by the clock leave out records from the cache: their times are another run's.
Speeds say nothing without accuracy, so a comparison always holds both, and also the speedup on the
problems that both arms solved, where an arm cannot win by giving up early.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from statistics import fmean, median

from plait.evals import stats
from plait.evals.arms import baseline
from plait.evals.stats import Comparison, Interval
from plait.evals.values import Record
from plait.trace import StepTime, curve, seconds_of

ByProblem = dict[str, list[Record]]
CONTEXTS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
"""Upper ends, in tokens, of the classes of context length."""
QUARTERS = ("shortest quarter", "second quarter", "third quarter", "longest quarter")


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """One arm. Tokens are sums, ``seconds`` and ``path`` means over tasks; ``accuracy`` is over
    problems. ``at_k``: names such as ``pass@4`` with their means over problems."""

    name: str
    problems: int
    tasks: int
    errors: int
    right: int
    wrong: int
    no_answer: int
    ungraded: int
    accuracy: Interval
    at_k: dict[str, float]
    seconds: float | None
    seconds_median: float | None
    seconds_p90: float | None
    path: float
    tokens: float
    activation: float
    width: float
    depth: float
    fell_back: int
    cut: int
    cached: int
    estimated: bool
    cost: float | None
    spent_tokens: dict[str, int]
    """``useful``, ``wasted``, ``verification``, ``inserted``, ``prefilled``, ``cached``."""
    spent_seconds: dict[str, float]
    """``first token``, ``one thread``, ``many threads``, ``runtime``."""


@dataclass(frozen=True, slots=True)
class Flip:
    """A problem that exactly one of two arms solved. ``gained``: the arm did, the base did not."""

    sample: str
    group: str
    gained: bool
    arm: Record
    base: Record


@dataclass(frozen=True, slots=True)
class Versus:
    """An arm against the base. None where there is nothing to divide."""

    arm: str
    base: str
    problems: int
    accuracy: Comparison | None
    wall: Comparison | None
    wall_median: Comparison | None
    wall_both_right: Comparison | None
    attainable: Interval | None
    """The speedup of sums that the engine's step times allow for the very threads of these runs,
    over the seconds in which the base was writing; None where step times are unknown."""
    attained: float | None
    """The speedup in time over the attainable one, on the same problems: 1.0 lost nothing."""
    tokens: Comparison | None
    tokens_median: Comparison | None
    ratios: tuple[tuple[float, float], ...]
    """Wall and token speedup of each problem."""
    flips: tuple[Flip, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One arm within one class of problems."""

    arm: str
    label: str
    tasks: int
    accuracy: Interval
    activation: float
    width: float


@dataclass(frozen=True, slots=True)
class Summary:
    """All of it. ``groups_are`` says what the groups are: the suite's own, or quarters of the
    base's length."""

    base: str
    arms: tuple[ArmSummary, ...]
    versus: tuple[Versus, ...]
    by_context: tuple[Cell, ...]
    by_group: tuple[Cell, ...]
    groups_are: str
    step_seconds: dict[int, float]
    """Threads at once -> seconds that a step of the engine took; empty where unknown."""

    def front(self, cost: Callable[[ArmSummary], float | None]) -> list[str]:
        """Names of the arms that no other arm beats in accuracy without costing more."""
        points = [(cost(a), a.accuracy.estimate, a.name) for a in self.arms]
        known = [(c, y, name) for c, y, name in points if c is not None and not isnan(y)]
        return [name for c, y, name in sorted(known)
                if not any(d <= c and z >= y and (d, z) != (c, y) for d, z, _ in known)]


def summarise(
    records: Iterable[Record], *, base: str | None = None, seed: int = 0,
    order: Sequence[str] = (), step_seconds: Mapping[int, float] | None = None,
) -> Summary:
    """The summary of an evaluation's latest records.

    ``base`` is the arm that the others are compared with, ``order`` that of the others,
    ``step_seconds`` what a step of the engine takes with so many threads at once, as far as that
    was measured. Raises ValueError if the base has no records, or there are none at all.
    """
    arms: dict[str, ByProblem] = {}
    failed: dict[str, int] = defaultdict(int)
    for record in records:
        if record.status == "error":
            failed[record.arm] += 1
        problems = arms.setdefault(record.arm, {})
        if record.status == "done":
            problems.setdefault(record.sample, []).append(record)
    if not any(arms.values()):
        raise ValueError("no task was finished")
    place = {name: number for number, name in enumerate(order)}
    names = sorted(arms, key=lambda name: (name != baseline(sorted(arms)),
                                           place.get(name, len(place)), name))
    chosen = base or names[0]
    if not arms.get(chosen):
        raise ValueError(f"`{chosen}` has no finished tasks")
    names.sort(key=lambda name: name != chosen)
    arms = {name: arms[name] for name in names}
    cells, what = _by_group(arms, chosen)
    points = dict(step_seconds or {})
    step_time = curve(points) if 1 in points else None
    return Summary(
        chosen,
        tuple(_arm(name, arms[name], failed[name], seed) for name in names if arms[name]),
        tuple(_versus((name, chosen), arms[name], arms[chosen], step_time, seed)
              for name in names if name != chosen and arms[name]),
        _by_context(arms), cells, what, points)


def _arm(name: str, problems: ByProblem, errors: int, seed: int) -> ArmSummary:
    tasks = [r for rs in problems.values() for r in rs]
    marks = [r.mark for r in tasks]
    times = sorted(r.wall_seconds for r in tasks if not r.cached)
    costs = [r.cost for r in tasks if r.cost is not None]

    def total(column: str) -> float:
        return float(sum(getattr(r, column) for r in tasks))

    return ArmSummary(
        name=name, problems=len(problems), tasks=len(tasks), errors=errors,
        right=marks.count("right"), wrong=marks.count("wrong"),
        no_answer=marks.count("no answer"), ungraded=marks.count("ungraded"),
        accuracy=accuracy(problems, seed), at_k=_at_k(problems),
        seconds=fmean(times) if times else None, seconds_median=median(times) if times else None,
        seconds_p90=times[min(len(times) - 1, int(0.9 * len(times)))] if times else None,
        path=total("critical_path_tokens") / len(tasks), tokens=total("total_tokens") / len(tasks),
        activation=sum(r.forks > 0 for r in tasks) / len(tasks),
        width=total("max_parallel") / len(tasks), depth=total("depth") / len(tasks),
        fell_back=sum(r.fallback is not None for r in tasks),
        cut=sum(r.finish == "budget" for r in tasks), cached=sum(r.cached for r in tasks),
        estimated=any(r.estimated for r in tasks), cost=sum(costs) if costs else None,
        spent_tokens={
            "useful": int(total("useful_tokens")), "wasted": int(total("wasted_tokens")),
            "verification": int(total("verification_tokens")),
            "inserted": int(total("inserted_tokens")),
            "prefilled": int(total("prompt_tokens") - total("cached_tokens")),
            "cached": int(total("cached_tokens"))},
        spent_seconds={
            "first token": _timed(tasks, "first_seconds"),
            "one thread": _timed(tasks, "one_seconds"),
            "many threads": _timed(tasks, "many_seconds"),
            "runtime": _timed(tasks, "idle_seconds")})


def _timed(tasks: Sequence[Record], column: str) -> float:
    return float(sum(getattr(r, column) for r in tasks if not r.cached))


def shares(problems: ByProblem) -> dict[str, float]:
    """Problem -> share of its graded trials that are right."""
    found: dict[str, float] = {}
    for sample, tasks in problems.items():
        marks = [r.right for r in tasks if r.right is not None]
        if marks:
            found[sample] = sum(marks) / len(marks)
    return found


def accuracy(problems: ByProblem, seed: int = 0) -> Interval:
    """Wilson's interval where every problem was put once, else the cluster bootstrap's."""
    values = list(shares(problems).values())
    if all(v in (0.0, 1.0) for v in values) and all(len(rs) == 1 for rs in problems.values()):
        return stats.wilson(int(sum(values)), len(values))
    found = stats.mean_interval(values, seed=seed) if values else stats.wilson(0, 0)
    return Interval(found.estimate, max(0.0, found.low), min(1.0, found.high), found.n)


def _at_k(problems: ByProblem) -> dict[str, float]:
    """pass@k, avg@k and maj@k for k = 1, 2, 4... up to what every problem has."""
    graded = [[r for r in rs if r.right is not None] for rs in problems.values()]
    graded = [rs for rs in graded if rs]
    most = min((len(rs) for rs in graded), default=0)
    found: dict[str, float] = {}
    k = 2
    while k <= most:
        right = [[bool(r.right) for r in rs] for rs in graded]
        found[f"pass@{k}"] = fmean(stats.pass_at_k(r, k) for r in right)
        found[f"avg@{k}"] = fmean(stats.avg_at_k(r, k) for r in right)
        if all(r.read is not None or r.mark == "no answer" for rs in graded for r in rs):
            found[f"maj@{k}"] = fmean(
                stats.maj_at_k([r.read if r.mark != "no answer" else None for r in rs], good, k)
                for rs, good in zip(graded, right, strict=True))
        k *= 2
    return found


def _versus(
    names: tuple[str, str], arm: ByProblem, base: ByProblem, step_time: StepTime | None, seed: int
) -> Versus:
    common = [s for s in arm if s in base]
    a, b = shares(arm), shares(base)
    graded = [s for s in common if s in a and s in b]
    wall = _pairs(arm, base, common, _wall)
    path = _pairs(arm, base, common, _path)
    both = [s for s in graded if a[s] == b[s] == 1.0]
    attainable, attained = _attainable(arm, base, wall, step_time, seed)
    ratios = [(wall[s][0] / wall[s][1] if s in wall and min(wall[s]) > 0 else nan,
               path[s][0] / path[s][1] if s in path and min(path[s]) > 0 else nan)
              for s in common]
    return Versus(
        *names, len(common),
        stats.compare_accuracy([a[s] for s in graded], [b[s] for s in graded], seed=seed)
        if graded else None,
        _sums(list(wall.values()), seed), _medians(list(wall.values())),
        _sums([wall[s] for s in both if s in wall], seed), attainable, attained,
        _sums(list(path.values()), seed), _medians(list(path.values())),
        tuple(ratios), _flips(arm, base, graded))


def _wall(record: Record) -> float | None:
    return None if record.cached else record.wall_seconds


def _path(record: Record) -> float | None:
    return float(record.critical_path_tokens)


def _attainable(
    arm: ByProblem, base: ByProblem, wall: dict[str, tuple[float, float]],
    step_time: StepTime | None, seed: int,
) -> tuple[Interval | None, float | None]:
    """The attainable speedup in time, and the part of it that was reached."""
    if step_time is None:
        return None, None

    ideal = {s: fmean(seconds_of(dict(r.steps), step_time) for r in arm[s]) for s in wall
             if all(r.steps and not r.cached for r in arm[s])}
    writing = {s: fmean(r.one_seconds + r.many_seconds for r in base[s] if not r.cached)
               for s in ideal}
    allowed = _sums([(writing[s], ideal[s]) for s in ideal], seed)
    if allowed is None:
        return None, None
    reached = sum(wall[s][0] for s in ideal) / sum(wall[s][1] for s in ideal)
    return allowed.effect, reached / allowed.effect.estimate


def _pairs(
    arm: ByProblem, base: ByProblem, samples: Sequence[str],
    value: Callable[[Record], float | None],
) -> dict[str, tuple[float, float]]:
    """Problem -> means of ``value`` in the base and in the arm, where both have one."""
    found: dict[str, tuple[float, float]] = {}
    for sample in samples:
        ours = [v for r in arm[sample] if (v := value(r)) is not None]
        theirs = [v for r in base[sample] if (v := value(r)) is not None]
        if ours and theirs:
            found[sample] = fmean(theirs), fmean(ours)
    return found


def _sums(pairs: list[tuple[float, float]], seed: int) -> Comparison | None:
    if not pairs or min(sum(p[0] for p in pairs), sum(p[1] for p in pairs)) <= 0:
        return None
    return stats.ratio_of_means([p[0] for p in pairs], [p[1] for p in pairs], seed=seed)


def _medians(pairs: list[tuple[float, float]]) -> Comparison | None:
    good = [p for p in pairs if min(p) > 0]
    return stats.median_of_ratios([p[0] for p in good], [p[1] for p in good]) if good else None


def _flips(arm: ByProblem, base: ByProblem, samples: Sequence[str]) -> tuple[Flip, ...]:
    """By the first trial of each."""
    found = []
    for sample in samples:
        one = min(arm[sample], key=lambda r: r.trial)
        two = min(base[sample], key=lambda r: r.trial)
        if one.right is not None and two.right is not None and one.right != two.right:
            found.append(Flip(sample, one.group, one.right, one, two))
    return tuple(sorted(found, key=lambda f: (f.gained, f.group, f.sample)))


def _by_context(arms: dict[str, ByProblem]) -> tuple[Cell, ...]:
    cells = []
    for name, problems in arms.items():
        classes: dict[int, list[Record]] = defaultdict(list)
        for record in (r for rs in problems.values() for r in rs):
            ends = [end for end in CONTEXTS if record.longest_context <= end]
            classes[ends[0] if ends else CONTEXTS[-1] + 1].append(record)
        for end in sorted(classes):
            label = f"≤ {end:,}" if end <= CONTEXTS[-1] else f"> {CONTEXTS[-1]:,}"
            cells.append(_cell(name, label, classes[end]))
    return tuple(cells)


def _by_group(arms: dict[str, ByProblem], base: str) -> tuple[tuple[Cell, ...], str]:
    """The suite's groups; where it has none, quarters of the base's total tokens."""
    groups = {r.sample: r.group for ps in arms.values() for rs in ps.values() for r in rs}
    what = "the suite's groups"
    if not any(groups.values()):
        length = {s: fmean(r.total_tokens for r in rs) for s, rs in arms[base].items()}
        order = sorted(length, key=lambda s: (length[s], s))
        groups = {s: QUARTERS[4 * place // len(order)] for place, s in enumerate(order)}
        what = f"quarters of the problems by how many tokens {base} took"
    labels = _in_order(groups.values())
    cells = []
    for name, problems in arms.items():
        for label in labels:
            tasks = [r for s, rs in problems.items() if groups.get(s) == label for r in rs]
            if tasks:
                cells.append(_cell(name, label or "(none)", tasks))
    return tuple(cells), what


def _in_order(labels: Iterable[str]) -> list[str]:
    """Each once: quarters by length, numbered levels by their number, others as they came."""
    found = list(dict.fromkeys(labels))
    if set(found) <= set(QUARTERS):
        return [name for name in QUARTERS if name in found]
    numbers = [re.findall(r"\d+", label) for label in found]
    if all(len(n) == 1 for n in numbers):
        return sorted(found, key=lambda label: int(re.findall(r"\d+", label)[0]))
    return found


def _cell(arm: str, label: str, tasks: Sequence[Record]) -> Cell:
    """Accuracy by Wilson over tasks: classes are for looking, not for deciding."""
    graded = [r.right for r in tasks if r.right is not None]
    return Cell(arm, label, len(tasks), stats.wilson(sum(graded), len(graded)),
                sum(r.forks > 0 for r in tasks) / len(tasks),
                fmean(r.max_parallel for r in tasks))
