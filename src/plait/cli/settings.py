"""Settings of the command line: `plait.toml` < `PLAIT_*` variables < flags.

A setting has one name everywhere: ``total_tokens`` in the file, ``PLAIT_TOTAL_TOKENS`` in the
environment, ``--total-tokens`` as a flag. An unknown name is an error that names the nearest known
one, since a setting that is silently ignored is worse than none. Keys of servers are never
settings: they come from the environment alone, so that no file and no process list shows them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar, cast

from plait.core import Budget, Directions, Price, Request, Sampling
from plait.core.events import Role
from plait.errors import UsageError
from plait.policy import PolicyFile, read_policy

FILE = "plait.toml"
PREFIX = "PLAIT_"
NOT_SETTINGS = ("PLAIT_API_KEY", "PLAIT_DEBUG")
"""Variables that others read: keys, and what only makes sense for one call."""
ENGINES = ("`nano`, the base URL of a server, pool: and several, hf: and a model, or the path of a"
           " GGUF file.")
"""What ``--engine`` takes, for its help."""
TABLES = ("serve",)
"""Tables of the file that hold the settings of one command; their variables begin with their
name, such as ``PLAIT_SERVE_PORT``."""
SECRET = ("key", "secret", "password", "bearer")
LARGEST = 2**63 - 1
T = TypeVar("T")
ROLES = ("planner", "worker", "merger", "judge")
"""Roles that may be served by another engine than the main one."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to answer a question. None: whatever the engine, the policy or `Budget` says."""

    engine: str = "nano"
    model: str | None = None
    protocol: str | None = None
    method: str | None = None
    seed: int = 0
    temperature: float | None = None
    max_tokens: int | None = None
    total_tokens: int | None = None
    critical_tokens: int | None = None
    seconds: float | None = None
    width: int | None = None
    depth: int | None = None
    trace: str | None = None
    attempts: int | None = None
    merge: str | None = None
    verify: str | None = None
    prompts: str | None = None
    rounds: str | None = None
    """Threads in each round of `refine`: "8, 4, 1"."""
    roles: str | None = None
    """Engines of roles: "judge=http://127.0.0.1:8001/v1 NAME, planner=..."."""
    policy: str | None = None
    """A name (see `plait.policy.decide`), or a policy file, *.toml."""
    threshold: int | None = None
    branching: str = "load"
    """Who starts a request's further threads (see `plait.solve.Runtime`)."""
    plan: str | None = None
    """Options of the method `plan`: "judge, straggler=cut, percentile=0.9"."""
    window: int | None = None
    cost: float | None = None
    prices: str | None = None
    """Prices per million tokens: "NAME=PROMPT/GENERATED, OTHER=PROMPT/GENERATED/CACHED"."""
    windows: str | None = None
    """Effective windows of models: "NAME=8192, OTHER=2048"; `window` is for the others."""

    profiles: str | None = None
    """The folder in which `plait engine check` keeps what it finds; none: it is not kept."""

    def request(self, prompt: str) -> Request:
        """The request for ``prompt``. Raises `UsageError` for values out of range."""
        return Request(
            prompt=prompt,
            sampling=Sampling(**self._given("temperature", "max_tokens")),
            budget=Budget(**self._given("total_tokens", "critical_tokens", "seconds", "width",
                                        "depth", "cost")),
            seed=self.seed,
            directions=self._directions(),
        )

    def engines(self) -> dict[Role, tuple[str, str | None]]:
        """Engine and model of every role that has its own. Raises `UsageError`."""
        found: dict[Role, tuple[str, str | None]] = {}
        for entry in (self.roles or "").split(","):
            if not entry.strip():
                continue
            role, mark, where = entry.partition("=")
            if role.strip() not in ROLES or not mark or not where.split():
                raise UsageError(f"`roles` has {entry.strip()!r:.60}, which names no role's engine",
                                 hint=f"Say ROLE=ENGINE MODEL, with a role of {', '.join(ROLES)}.")
            engine, *model = where.split(maxsplit=1)
            found[cast(Role, role.strip())] = (engine, model[0].strip() if model else None)
        return found

    def decider(self) -> str | PolicyFile | None:
        """The policy in force: a name, or what a policy file holds. Raises `UsageError` if the
        file cannot be read or is contradicted."""
        if self.policy is None or not self.policy.endswith(".toml"):
            return self.policy
        given = [n for n in ("method", "protocol", "threshold") if getattr(self, n) is not None]
        if given:
            raise UsageError(f"a policy file decides on `{given[0]}`",
                             hint=f"Leave out `{given[0]}`, or `policy`.")
        return read_policy(self.policy)

    def _directions(self) -> Directions:
        given = self._given("attempts", "merge", "verify", "prompts", "window", "threshold",
                            "plan")
        if self.rounds is not None:
            try:
                given["rounds"] = tuple(int(count) for count in self.rounds.split(","))
            except ValueError:
                raise UsageError(f"`rounds` is {self.rounds!r:.60} but must be whole numbers",
                                 hint="Say 8,4,1, for example.") from None
        return Directions(**given)

    def price_table(self) -> dict[str, Price]:
        """Prices by model. Raises `UsageError`."""
        return _by_model("prices", self.prices, Price.parse)

    def fit(self, request: Request, model: str) -> Request:
        """``request`` with the window that the settings have for ``model``."""
        window = _by_model("windows", self.windows, int).get(model)
        if window is None:
            return request
        return replace(request, directions=replace(request.directions, window=window))

    def _given(self, *names: str) -> dict[str, Any]:
        return {n: getattr(self, n) for n in names if getattr(self, n) is not None}


def _by_model(name: str, text: str | None, read: Callable[[str], T]) -> dict[str, T]:
    """``NAME=VALUE, NAME=VALUE`` as a dictionary. Raises `UsageError`."""
    found: dict[str, T] = {}
    for entry in filter(str.strip, (text or "").split(",")):
        model, mark, value = entry.rpartition("=")
        try:
            found[model.strip()] = read(value.strip())
        except ValueError:
            mark = ""
        if not mark or not model.strip():
            raise UsageError(f"`{name}` has {entry.strip()!r:.60}, which gives no model a value",
                             hint="Say NAME=VALUE, OTHER=VALUE.")
    return found


KNOWN = {f.name: str(f.type).split(" | ")[0] for f in fields(Settings)}
"""Every setting and its type: ``str``, ``int``, ``float`` or ``bool``."""


def load_settings(
    flags: Mapping[str, object], environ: Mapping[str, str], folder: Path
) -> Settings:
    """The settings in force in ``folder``. ``flags`` holds None for those that were not given.

    Raises `UsageError` with the place of what is wrong.
    """
    return Settings(**gather(KNOWN, flags, environ, folder))  # type: ignore[arg-type]


def gather(
    known: Mapping[str, str], flags: Mapping[str, object], environ: Mapping[str, str],
    folder: Path, table: str = "",
) -> dict[str, object]:
    """What was said of the settings ``known`` (name to type). ``table``: where they stand in the
    file, and what their variables begin with. Raises `UsageError`."""
    values = _from_file(folder / FILE, known, table) | _from_environment(environ, known, table)
    return values | {name: value for name, value in flags.items() if value is not None}


def _from_file(path: Path, known: Mapping[str, str], table: str) -> dict[str, object]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{FILE} is not valid TOML: {error}") from error
    if table:
        found = found.get(table, {})
        if not isinstance(found, dict):
            raise UsageError(f"`{table}` in {FILE} must be a table [{table}]")
    else:
        found = {name: value for name, value in found.items() if name not in TABLES}
    for name, value in found.items():
        shown = f"`{table}.{name}`" if table else f"`{name}`"
        if name not in known and any(word in name.lower() for word in SECRET):
            raise UsageError(f"{shown} in {FILE} looks like a key",
                             hint="Keys are read from the environment only.")
        if name not in known:
            raise _unknown(f"{shown} in {FILE}", name, list(known))
        if not _is(value, known[name]):
            raise _wrong(f"{shown} in {FILE}", value, known[name])
    return found


def _from_environment(
    environ: Mapping[str, str], known: Mapping[str, str], table: str
) -> dict[str, object]:
    prefix = f"{PREFIX}{table.upper()}_" if table else PREFIX
    others = () if table else tuple(f"{PREFIX}{name.upper()}_" for name in TABLES)
    variables = {prefix + name.upper(): name for name in known}
    values: dict[str, object] = {}
    for variable, text in environ.items():
        if not variable.startswith(prefix) or variable in NOT_SETTINGS or not text or (
                variable.startswith(others)):
            continue
        if variable not in variables:
            raise _unknown(f"the variable {variable}", variable, [*variables, *NOT_SETTINGS])
        name = variables[variable]
        values[name] = _parse(f"the variable {variable}", text, known[name])
    return values


def _parse(where: str, text: str, kind: str) -> object:
    if kind == "str":
        return text
    if kind == "bool":
        if text.lower() not in ("true", "false"):
            raise _wrong(where, text, kind)
        return text.lower() == "true"
    try:
        value: int | float = int(text) if kind == "int" else float(text)
    except ValueError:
        raise _wrong(where, text, kind) from None
    if not _is(value, kind):
        raise _wrong(where, text, kind)
    return value


def _is(value: object, kind: str) -> bool:
    if kind in ("str", "bool"):
        return isinstance(value, str if kind == "str" else bool)
    if type(value) is int:
        return abs(value) <= LARGEST
    return kind == "float" and isinstance(value, float) and isfinite(value)


def _wrong(where: str, value: object, kind: str) -> UsageError:
    want = {"str": "text", "int": "a whole number", "float": "a number",
            "bool": "true or false"}[kind]
    return UsageError(f"{where} is {value!r:.60} but must be {want}")


def _unknown(where: str, name: str, known: list[str]) -> UsageError:
    near = get_close_matches(name, known, n=1, cutoff=0.0)[0]
    return UsageError(f"{where} is not a setting", hint=f"The nearest known one is `{near}`.")
