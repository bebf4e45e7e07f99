"""The search: many policies on the same problems, the hopeless ones given up early.

Optuna proposes (a tree-structured Parzen estimator for several objectives: accuracy, seconds,
tokens; Ozaki et al. 2022). Problems come in one fixed order for all policies, so every policy can
be compared with the best one so far problem by problem: it is given up as soon as Wilcoxon's
signed-rank test says that its scores are lower (one-sided, at `PRUNE`, from `FIRST` problems on)
and they are so by `LEAST` on average: two policies do not run at the same moment, and a machine
that drifts makes small differences that are as steady as real ones. Looking repeatedly gives up a
good policy now and then; it never lets a bad one win, since only policies that saw all problems are
compared in the end, and the winner is confirmed on others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from scipy.stats import wilcoxon

from plait.analysis.expect import fit_expected
from plait.errors import UsageError
from plait.evals import Sample
from plait.policy import Expected, PolicyFile
from plait.tune.bench import SEQUENTIAL, Bench, Taken
from plait.tune.goal import Goal
from plait.tune.space import Space, levels_of

PRUNE = 0.02
LEAST = 0.03
FIRST = 8
EVERY = 4
STARTS = 8
"""Trials that are drawn at random before the estimator begins."""
NAME = "plait"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A policy and what it came to on the problems of the search, means over them."""

    policy: PolicyFile
    taken: tuple[Taken, ...]
    score: float

    @property
    def accuracy(self) -> float:
        return fmean(t.right for t in self.taken)

    @property
    def seconds(self) -> float:
        return fmean(t.seconds for t in self.taken)

    @property
    def tokens(self) -> float:
        return fmean(t.tokens for t in self.taken)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to. ``parallel`` is the best policy without a threshold."""

    best: Candidate
    sequential: Candidate
    parallel: Candidate
    front: tuple[Candidate, ...]
    """No other policy is at once more accurate, faster and cheaper."""
    expected: Expected | None
    tried: int
    pruned: int


def open_study(
    store: Path | None, setup: dict[str, object], seed: int = 0
) -> optuna.Study:
    """The study in the folder ``store`` (None: in memory), new or gone on with.

    ``setup`` is all that must not change in between. Raises `UsageError` if it did.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage: BaseStorage = InMemoryStorage()
    if store is not None:
        storage = JournalStorage(JournalFileBackend(str(store / "study.journal")))
    study = optuna.create_study(
        study_name=NAME, storage=storage, load_if_exists=True,
        directions=["maximize", "minimize", "minimize"])
    study.sampler = optuna.samplers.TPESampler(
        seed=seed + len(study.trials), n_startup_trials=STARTS)
    before = study.user_attrs.get("setup")
    if before is not None and before != setup:
        changed = sorted(k for k in {**before, **setup} if before.get(k) != setup.get(k))
        raise UsageError(f"the search in {store} was begun with another {', '.join(changed)}",
                         hint="Go on with what it was begun with, or name another folder.")
    study.set_user_attr("setup", setup)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)  # it was stopped in the middle: once more
        if again := trial.system_attrs.get("fixed_params") or trial.params:
            study.enqueue_trial(again)
    return study


async def search(
    bench: Bench, samples: Sequence[Sample], space: Space, goal: Goal, study: optuna.Study, *,
    trials: int, tell: Callable[[str], None] = lambda line: None,
) -> Found:
    """Try policies on ``samples`` until ``study`` has ``trials`` trials that ended. ``tell`` gets a
    line about each. Engine errors pass through; the study can be gone on with."""
    sequential = tuple([await bench.take(SEQUENTIAL, s) for s in samples])
    expected = fit_expected([(s.question, t.tokens)
                             for s, t in zip(samples, sequential, strict=True)])
    run = _Search(bench, samples, goal, sequential)
    base = run.candidate(SEQUENTIAL, sequential)
    tell(_line("always sequential", base))
    levels = levels_of(samples, expected)
    if not study.trials:
        for start in space.starts():
            study.enqueue_trial(start)
    done: list[Candidate] = []
    pruned = 0
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    for old in ended:
        again = await run.evaluate(_replayed(old, space, levels, expected), None) \
            if old.state == TrialState.COMPLETE else None
        pruned += again is None
        if again is not None:
            done.append(again)
    for number in range(len(ended), trials):
        trial = study.ask()
        policy = space.suggest(trial, levels, expected)
        best = max((base, *done), key=lambda c: c.score)
        found = await run.evaluate(policy, None if _first_always(policy, done) else best)
        if found is None:
            pruned += 1
            study.tell(trial, state=TrialState.PRUNED)
        else:
            done.append(found)
            study.tell(trial, [found.accuracy, found.seconds, found.tokens])
        tell(_line(f"{number + 1} of {trials}: {describe(policy)}", found))
    always = [c for c in done if not c.policy.threshold]
    return Found(max((base, *done), key=lambda c: (c.score, -c.tokens)), base,
                 max(always or [base], key=lambda c: c.score), _front((base, *done)), expected,
                 trials, pruned)


@dataclass(frozen=True, slots=True)
class _Search:
    bench: Bench
    samples: Sequence[Sample]
    goal: Goal
    sequential: tuple[Taken, ...]

    def candidate(self, policy: PolicyFile, taken: tuple[Taken, ...]) -> Candidate:
        return Candidate(policy, taken, fmean(self.goal.scores(taken, self.sequential)))

    async def evaluate(self, policy: PolicyFile, best: Candidate | None) -> Candidate | None:
        """The policy on all samples; None if it was given up against ``best``."""
        taken: list[Taken] = []
        rival = self.goal.scores(best.taken, self.sequential) if best is not None else []
        for sample in self.samples:
            taken.append(await self.bench.take(policy, sample))
            count = len(taken)
            if rival and count < len(self.samples) and count >= FIRST and count % EVERY == 0:
                mine = self.goal.scores(taken, self.sequential)
                if hopeless(mine, rival[:count]):
                    return None
        return self.candidate(policy, tuple(taken))


def hopeless(mine: Sequence[float], rival: Sequence[float]) -> bool:
    """Are my scores lower than the rival's on the same problems, at `PRUNE` and by `LEAST`?"""
    apart = np.subtract(mine, rival)
    if apart.mean() > -LEAST:
        return False
    apart = apart[np.abs(apart) > 1e-12]
    if len(apart) < FIRST:
        return False
    return bool(wilcoxon(apart, alternative="less", method="approx").pvalue < PRUNE)


def _first_always(policy: PolicyFile, done: Sequence[Candidate]) -> bool:
    """Is it the first that goes parallel always, in its way? It is what others are measured by, so
    it is never given up."""
    return not policy.threshold and not any(
        (c.policy.method, c.policy.protocol) == (policy.method, policy.protocol)
        and not c.policy.threshold for c in done)


def _replayed(
    trial: optuna.trial.FrozenTrial, space: Space, levels: Sequence[float],
    expected: Expected | None,
) -> PolicyFile:
    """The policy of a trial from before; its outcomes are in the bench's store."""
    fixed = optuna.trial.FixedTrial(trial.params)
    return space.suggest(fixed, levels, expected)  # type: ignore[arg-type]


def _front(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Those that no other is at least as good as in all three respects and better in one."""

    def beats(a: Candidate, b: Candidate) -> bool:
        mine = (a.accuracy, -a.seconds, -a.tokens)
        other = (b.accuracy, -b.seconds, -b.tokens)
        return mine != other and all(x >= y for x, y in zip(mine, other, strict=True))

    kept: dict[tuple[float, float, float], Candidate] = {}
    for one in candidates:
        if not any(beats(other, one) for other in candidates):
            kept.setdefault((one.accuracy, one.seconds, one.tokens), one)
    return tuple(sorted(kept.values(), key=lambda c: c.seconds))


def describe(policy: PolicyFile) -> str:
    """A policy in a few words."""
    if policy.method == "sequential":
        return "always sequential"
    way = policy.method + (f":{policy.protocol}" if policy.protocol else "")
    parts = [f"{way} from {policy.threshold:,} tokens on" if policy.threshold else f"always {way}"]
    if policy.width is not None:
        parts.append(f"width {policy.width}")
    if policy.depth is not None:
        parts.append(f"depth {policy.depth}")
    if policy.merge is not None:
        parts.append(f"merge {policy.merge}")
    if policy.early_stop:
        parts.append("early stop")
    return ", ".join(parts)


def _line(name: str, found: Candidate | None) -> str:
    if found is None:
        return f"{name}: given up"
    return (f"{name}: score {found.score:.3f}, {found.accuracy:.0%} right, {found.seconds:.2f} s,"
            f" {found.tokens:,.0f} tokens")
