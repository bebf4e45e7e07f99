"""What a search came to, in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from plait.evals.stats import Comparison
from plait.tune.confirm import TUNED, Confirmation
from plait.tune.goal import Goal
from plait.tune.search import Candidate, Found, describe

SIGNS = {"better": "better than", "worse": "worse than", "tied": "not told apart from"}


def summary(found: Found, confirmed: Confirmation, goal: Goal) -> list[str]:
    """The story in lines: what was tried, what won, whether it holds up."""
    return [*_tried(found, goal), "", *_front(found), "", *_held_out(confirmed),
            *(_against(name, c) for name, c in confirmed.against), "", _advice(confirmed)]


def comment(found: Found, confirmed: Confirmation, goal: Goal, suite: str) -> str:
    """What the policy file says about itself."""
    return "\n".join([f"found by plait tune on {suite}; {goal.words()}",
                      *_held_out(confirmed), _advice(confirmed)])


def to_dict(found: Found, confirmed: Confirmation, goal: Goal) -> dict[str, object]:
    """The findings as JSON values, without single outcomes."""
    return {
        "goal": asdict(goal), "tried": found.tried, "pruned": found.pruned,
        "front": [_brief(c) for c in found.front],
        "search": {"tuned": _brief(found.best), "sequential": _brief(found.sequential),
                   "parallel": _brief(found.parallel)},
        "held_out": {"problems": confirmed.problems, "holds": confirmed.holds,
                     "sides": [asdict(s) for s in confirmed.sides],
                     "against": {name: asdict(c) for name, c in confirmed.against}},
    }


def _brief(c: Candidate) -> dict[str, object]:
    return {"policy": describe(c.policy), "accuracy": c.accuracy, "seconds": c.seconds,
            "tokens": c.tokens, "score": c.score}


def _tried(found: Found, goal: Goal) -> Iterator[str]:
    problems = len(found.sequential.taken)
    yield (f"tried {found.tried} policies on {problems} problems, {found.pruned} of them given up"
           " early")
    yield goal.words()


def _front(found: Found) -> Iterator[str]:
    yield "nothing tried was at once more accurate, faster and cheaper than one of these:"
    for c in found.front:
        mark = "*" if c is found.best else " "
        yield (f"  {mark} {c.accuracy:>4.0%} right {c.seconds:>8.2f} s {c.tokens:>8,.0f} tokens"
               f"  score {c.score:>6.3f}  {describe(c.policy)}")


def _held_out(confirmed: Confirmation) -> Iterator[str]:
    yield f"on {confirmed.problems} problems that the search did not see:"
    for s in confirmed.sides:
        yield (f"  {s.name:<18} score {s.score:>6.3f}  {s.accuracy.estimate:>4.0%} right"
               f" ({s.accuracy.low:.0%} - {s.accuracy.high:.0%}) {s.seconds:>8.2f} s"
               f" {s.tokens:>8,.0f} tokens  {describe(s.policy)}")


def _against(name: str, comparison: Comparison) -> str:
    e = comparison.effect
    line = (f"  {TUNED} is {SIGNS[comparison.verdict]} {name}: {e.estimate:+.3f}"
            f" ({e.low:+.3f} to {e.high:+.3f})")
    if comparison.needed:
        line += f"; {comparison.needed:,} more problems would tell"
    return line


def _advice(confirmed: Confirmation) -> str:
    kept = confirmed.kept.name
    if not confirmed.holds:
        return (f"the tuned policy does not hold up: {kept} is better on problems that the search"
                " did not see, so that is what was kept")
    if kept != TUNED:
        return (f"on problems that the search did not see {kept} scores no less than the tuned"
                " policy: the simpler one was kept")
    if confirmed.kept.policy.method == "sequential":
        return "no policy that goes parallel scored more than always sequential"
    if all(c.verdict == "better" for _, c in confirmed.against):
        return "the tuned policy holds up: it is better than both"
    return ("the tuned policy scores no less than the others, but so few problems do not tell it"
            " apart from all of them")
