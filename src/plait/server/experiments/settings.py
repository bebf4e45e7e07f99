"""What a live experiment compares, from a TOML file.

    [[experiment]]
    name = "plan-lists"
    b = "threshold"         # the policy on trial: a name, or a policy file (*.toml)
    # a = "auto"            # what it is compared with; by default the gateway's own policy
    share = 0.1             # of the traffic that goes to B (shadow: that B repeats)
    # mode = "shadow"       # everybody gets A's answer; B is measured afterwards
    by = "user"             # who stays with one policy: user, session, key, or request
    metric = "seconds"      # seconds, tokens, answered, or rating (not in shadow mode)
    # scale = 10.0          # seconds or tokens that count half
    # models = ["m"]        # only requests for these
    # most = 20000          # units (users, ... or pairs) after which nothing more is counted
    # at_once = 1           # shadow: runs at one moment
    # per_hour = 60         # shadow: runs in an hour
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

from plait.core.files import read_toml
from plait.errors import UsageError
from plait.policy import POLICIES, PolicyFile, read_policy
from plait.tune.betting import ALPHA

Mode = Literal["split", "shadow"]
Unit = Literal["user", "session", "key", "request"]
Metric = Literal["seconds", "tokens", "answered", "rating"]
Arm = Literal["A", "B"]
SCALES = {"seconds": 10.0, "tokens": 1000.0}


@dataclass(frozen=True, slots=True)
class ExperimentSettings:
    """One experiment; see the module's docstring. ``a`` None: the gateway's own policy.

    Raises `UsageError` for values out of range.
    """

    name: str
    b: str | PolicyFile
    a: str | PolicyFile | None = None
    share: float = 0.1
    mode: Mode = "split"
    by: Unit = "user"
    metric: Metric = "seconds"
    scale: float | None = None
    alpha: float = ALPHA
    models: tuple[str, ...] = ()
    most: int = 20_000
    at_once: int = 1
    per_hour: int = 60

    def __post_init__(self) -> None:
        where = f"experiment `{self.name}`"
        for name, known in (("mode", Mode), ("by", Unit), ("metric", Metric)):
            if getattr(self, name) not in get_args(known):
                raise UsageError(f"{where}: `{name}` is {getattr(self, name)!r:.60}",
                                 hint=f"Known: {', '.join(get_args(known))}.")
        if not 0 < self.share < 1 and not (self.share == 1 and self.mode == "shadow"):
            raise UsageError(f"{where}: `share` is {self.share} but must be between 0 and 1")
        if not 0 < self.alpha < 1:
            raise UsageError(f"{where}: `alpha` is {self.alpha} but must be between 0 and 1")
        for name in ("scale", "most", "at_once", "per_hour"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UsageError(f"{where}: `{name}` is {value} but must be above 0")
        if self.metric == "rating" and self.mode == "shadow":
            raise UsageError(f"{where}: nobody sees, so nobody rates, a shadow's answer",
                             hint='Take the metric "seconds", "tokens" or "answered".')
        for policy in (self.a, self.b):
            if isinstance(policy, str) and policy not in POLICIES:
                raise UsageError(f"{where}: there is no policy `{policy:.60}`",
                                 hint=f"Known: {', '.join(POLICIES)}, or a policy file, *.toml.")

    @property
    def half(self) -> float:
        """Seconds or tokens that count half."""
        return self.scale if self.scale is not None else SCALES.get(self.metric, 1.0)


def read_experiments(path: str | Path) -> tuple[ExperimentSettings, ...]:
    """The experiments in a file; policy files are looked for beside it. Raises `UsageError`."""
    path = Path(path)
    table = read_toml(path, f"the experiments {path}", "are")
    entries = table.pop("experiment", None)
    if table or not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise UsageError(f"{path} holds no list of experiments",
                         hint="Each begins with the line [[experiment]].")
    found = tuple(_experiment(entry, path) for entry in entries)
    names = [e.name for e in found]
    if twice := next((n for n in names if names.count(n) > 1), None):
        raise UsageError(f"{path} has two experiments of the name `{twice}`")
    return found


_TYPES: dict[str, tuple[type, ...]] = {
    "share": (int, float), "alpha": (int, float), "scale": (int, float), "models": (list,),
    "most": (int,), "at_once": (int,), "per_hour": (int,)}


def _experiment(entry: dict[str, Any], path: Path) -> ExperimentSettings:
    known = [f.name for f in fields(ExperimentSettings)]
    for name, value in entry.items():
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise UsageError(f"{path}: an experiment has no `{name:.60}`",
                             hint=f"The nearest known one is `{near}`.")
        if not isinstance(value, _TYPES.get(name, (str,))) or isinstance(value, bool):
            raise UsageError(f"{path}: `{name}` of an experiment cannot be {value!r:.60}")
    for name in ("name", "b"):
        if not entry.get(name):
            raise UsageError(f"{path}: an experiment lacks `{name}`", hint=f'Add {name} = "...".')
    values: dict[str, Any] = {**entry, "models": tuple(map(str, entry.get("models", ())))}
    values |= {name: _policy(entry[name], path) for name in ("a", "b") if name in entry}
    return ExperimentSettings(**values)


def _policy(name: str, path: Path) -> str | PolicyFile:
    return read_policy(path.parent / name) if name.endswith(".toml") else name
