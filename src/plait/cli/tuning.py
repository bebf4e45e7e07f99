"""The work of ``plait tune``, in a module of its own because it needs Optuna and SciPy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import orjson

from plait.cli.problems import blank, formats_of, grading, tell
from plait.cli.runtime import runtime_of
from plait.cli.settings import Settings
from plait.cli.tune import Choices, Job
from plait.evals.graders import grade
from plait.registry import METHODS, find_protocol
from plait.tune.bench import Bench
from plait.tune.confirm import Confirmation, confirm
from plait.tune.goal import split
from plait.tune.search import Found, open_study, search
from plait.tune.space import Space, Way
from plait.tune.summary import comment, summary, to_dict


@dataclass(frozen=True, slots=True)
class Told:
    """A search that is over: what to print, and where its policy was written."""

    lines: list[str]
    data: dict[str, object]
    path: Path
    holds: bool


async def tune(job: Job) -> Told:
    """Search, confirm, write the policy. What was done before in the folder is not done again."""
    found, confirmed = await _run(job)
    path = job.folder / "policy.toml"
    path.write_text(confirmed.kept.policy.text(comment(found, confirmed, job.goal,
                                                       job.suite.name)), encoding="utf-8")
    data = {**to_dict(found, confirmed, job.goal), "policy": str(path)}
    return Told(summary(found, confirmed, job.goal), data, path, confirmed.holds)


async def _run(job: Job) -> tuple[Found, Confirmation]:
    suite, settings = job.suite, job.settings
    async with grading(suite, job.judge) as grader, runtime_of(settings) as runtime:
        engine = runtime.engine
        space = _space(job.choices, settings.protocol, formats_of(runtime))
        bench = Bench(runtime, partial(grade, grader), request=blank(settings, runtime),
                      store=job.folder / "outcomes.jsonl")
        setup = {"suite": suite.name, "problems": suite.fingerprint, "score": job.goal.words(),
                 "engine": f"{engine.name} {engine.model}", "choices": _plain(space),
                 "settings": _plain(settings), "judge": job.judge}
        if job.goal.weights:
            setup["weights"] = dict(job.goal.weights)
        study = open_study(job.folder, setup, settings.seed)
        mine, others = split(suite.samples, settings.seed)
        found = await search(bench, mine, space, job.goal, study, trials=job.trials, tell=tell)
        tell(f"confirming on {len(others)} other problems")
        return found, await confirm(bench, others, found.best.policy, found.parallel.policy,
                                    job.goal, settings.seed)


def _space(choices: Choices, protocol: str | None, spoken: tuple[str, ...]) -> Space:
    ways = choices.ways or _default_ways(protocol, spoken)
    return Space(ways, choices.widths, choices.depths, choices.merges)


def _plain(value: Space | Settings) -> object:
    """JSON values, as they come back from a file."""
    return orjson.loads(orjson.dumps(asdict(value)))


def _default_ways(protocol: str | None, spoken: tuple[str, ...]) -> tuple[Way, ...]:
    """The model's own format where it has one, else the methods that direct any model."""
    own = protocol or (spoken[0] if spoken else None)
    if own is not None:
        return (Way("native", find_protocol(own).facts.name),)
    return tuple(Way(m) for m in ("plan", "explore") if m in METHODS)
