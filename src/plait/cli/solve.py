"""``plait solve PROMPT``: answer one question and say what it took."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.text import Text

from plait.cli.runtime import runtime_of
from plait.cli.settings import ENGINES, LARGEST, Settings, load_settings
from plait.cli.show import (
    Mode,
    Watcher,
    as_dict,
    decision_dict,
    decision_lines,
    mode_for,
    print_json,
    print_lines,
    say,
)
from plait.core import Request, Result
from plait.core.events import Event
from plait.evals.measures import spent
from plait.evals.steps import step_seconds, widths_up_to
from plait.policy import PolicyFile
from plait.registry import AUTO
from plait.solve import Runtime
from plait.solve import solve as answer
from plait.trace import JsonlWriter, Trace, attainable_speedup, curve
from plait.viewer import comparison_lines, summary_lines

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class Job:
    """What to answer, how, and how to show it."""

    request: Request
    settings: Settings
    mode: Mode
    compare: bool
    policy: str | PolicyFile | None = None
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """A run that is over."""

    result: Result
    events: tuple[Event, ...]


@app.command()
def solve(  # noqa: PLR0913 - typer makes an option of every argument
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The question; - reads it from "
                                          "standard input.", show_default=False)],
    engine: Annotated[str | None, typer.Option(help=f"{ENGINES} [default: nano]")] = None,
    model: Annotated[str | None, typer.Option(help="The name of the server's model.")] = None,
    protocol: Annotated[str | None, typer.Option(help="The wire format that the model "
                                                 "writes, or auto; `plait protocols` lists them. "
                                                 "One of your own: module:NAME.")] = None,
    method: Annotated[str | None, typer.Option(help="sequential, native, tools, plan, explore, "
                                               "fixed, refine, skeleton or auto.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Also answer sequentially, "
                                          "measure the engine's step times (32 tokens a stream), "
                                          "and compare.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    trace: Annotated[str | None, typer.Option(metavar="FILE", help="Record the run.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=LARGEST)] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Limit of one thread.")] = None,
    total_tokens: Annotated[int | None, typer.Option(help="Limit of all threads.")] = None,
    critical_tokens: Annotated[int | None, typer.Option(help="Limit of the longest path.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Limit of the time.")] = None,
    cost: Annotated[float | None, typer.Option(help="Limit of the cost, by the setting "
                                               "`prices`.")] = None,
    width: Annotated[int | None, typer.Option(help="Most threads at once below one.")] = None,
    branching: Annotated[str | None, typer.Option(help="Who starts a request's further threads: "
                                                  "load (as the engine has room), eager or off "
                                                  "(one after the other). [default: load]")] = None,
    depth: Annotated[int | None, typer.Option(help="Most levels of threads.")] = None,
    attempts: Annotated[int | None, typer.Option(help="explore: attempts at most [8]; fixed: 2 or "
                                                 "3.")] = None,
    merge: Annotated[str | None, typer.Option(help="vote, vote:confidence, best, synthesize, "
                                              "hierarchical, adaptive or concat.")] = None,
    verify: Annotated[str | None, typer.Option(help="none, judge, exact:ANSWER, math:ANSWER, "
                                               "code:FILE or function:MODULE:NAME; puzzles are "
                                               "checked anyway.")] = None,
    prompts: Annotated[str | None, typer.Option(help="instruct, reasoning, or a folder with "
                                                "prompts.")] = None,
    rounds: Annotated[str | None, typer.Option(help="refine: threads in each round "
                                               "[8,4,1].")] = None,
    roles: Annotated[str | None, typer.Option(help="Other engines for some roles: \"judge=URL "
                                              "MODEL, merger=...\".")] = None,
    policy: Annotated[str | None, typer.Option(help="Who decides whether to go parallel: auto, "
                                               "sequential, fixed, threshold, or a policy file "
                                               "(*.toml) as `plait tune` writes it.")] = None,
    threshold: Annotated[int | None, typer.Option(help="threshold: tokens in one thread above "
                                                  "which it may plan [400].")] = None,
    window: Annotated[int | None, typer.Option(help="Tokens of context that a thread works with "
                                               "before it starts clean, and that a merge reads "
                                               "[4096; whole attempts: the engine's].")] = None,
    plan: Annotated[str | None, typer.Option(help="plan: its options, such as \"check, judge, "
                                             "straggler=cut, percentile=0.9\".")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say why it was answered in this "
                                          "way.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the answer only.")] = False,
) -> None:
    """Answer one question, in parallel where the model can.

    Every option that is not about output can also be set in plait.toml (total_tokens = 1000) or
    as a variable (PLAIT_TOTAL_TOKENS=1000); flags are strongest.
    """
    flags = {"engine": engine, "model": model, "protocol": protocol, "method": method,
             "trace": trace, "seed": seed, "temperature": temperature,
             "max_tokens": max_tokens, "total_tokens": total_tokens,
             "critical_tokens": critical_tokens,
             "seconds": seconds, "width": width, "depth": depth, "attempts": attempts,
             "branching": branching,
             "merge": merge, "verify": verify, "prompts": prompts, "rounds": rounds,
             "roles": roles, "policy": policy, "threshold": threshold, "window": window,
             "plan": plan, "cost": cost}
    settings = load_settings(flags, os.environ, Path.cwd())
    job = Job(settings.request(_read(prompt)), settings, mode_for(json=json, quiet=quiet), compare,
              settings.decider(), explain)
    result = anyio.run(_compare if compare else _single, job)
    if settings.protocol == AUTO and settings.method != "sequential":
        say(result.reason)
    if result.answer is None:
        say(f"no answer: {_why(result)}")
        raise typer.Exit(1)
    if result.finish == "budget":
        say("the budget ended; this is the best answer so far")


def _read(prompt: str) -> str:
    """The question, from standard input for ``-``. Bytes that are no UTF-8 are replaced."""
    if prompt == "-":
        return sys.stdin.buffer.read().decode("utf-8", "replace")
    return prompt.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _why(result: Result) -> str:
    if result.finish == "budget":
        return "the budget ended first"
    return result.warnings[-1] if result.warnings else "the model gave none"


async def _single(job: Job) -> Result:
    async with runtime_of(job.settings) as runtime:
        run = await _answer(job, runtime, job.settings.method, job.settings.trace)
    if job.mode == "json":
        explained = {"decision": decision_dict(run.events)} if job.explain else {}
        print_json(as_dict(run.result) | explained)
    elif job.mode == "quiet" and run.result.answer is not None:
        print(run.result.answer)
    return run.result


async def _compare(job: Job) -> Result:
    """Answer in parallel, then sequentially, on one engine that is warm from the start."""
    settings = job.settings
    async with runtime_of(settings) as runtime:
        await step_seconds(runtime.engine, job.request, 2)  # its first steps are slow ones
        parallel = await _answer(job, runtime, settings.method, settings.trace)
        baseline = await _answer(job, runtime, "sequential", _beside(settings.trace))
        points = {width: await step_seconds(runtime.engine, job.request, width)
                  for width in widths_up_to(parallel.result.max_parallel)}
    speedups = _speedups(parallel, baseline, points)
    results = parallel.result, baseline.result
    if job.mode == "json":
        print_json({"parallel": as_dict(results[0]), "sequential": as_dict(results[1]), **speedups})
    elif job.mode == "quiet":
        if parallel.result.answer is not None:
            print(parallel.result.answer)
    else:
        print_lines(comparison_lines(*results, speedups), job.mode)
    return parallel.result


async def _answer(job: Job, runtime: Runtime, method: str | None, file: str | None) -> Answered:
    """One run: recorded, shown while it happens, and summed up."""
    trace, watcher = Trace(), Watcher(job.mode)
    writer = JsonlWriter(file) if file is not None else None
    if writer is not None:
        trace.subscribe(writer)
    protocol = None if method == "sequential" else job.settings.protocol
    try:
        with watcher.watching(trace):
            result = await watcher.while_ticking(answer(
                job.settings.fit(job.request, runtime.engine.model), runtime=runtime,
                method=method, protocol=protocol, trace=trace,
                policy=None if method == "sequential" else job.policy))
    finally:
        if writer is not None:
            writer.close()
    if job.explain and job.mode != "json":
        for line in decision_lines(trace.events):
            if job.mode == "quiet":
                say(line)
            else:
                print_lines([Text(line)], job.mode)
    if watcher.scene is not None:
        print_lines([Text(), *summary_lines(watcher.scene), Text()], job.mode)
    return Answered(replace(result, trace=file), trace.events)


def _beside(file: str | None) -> str | None:
    """Where the baseline of a comparison is recorded: ``run.jsonl`` -> ``run.sequential.jsonl``."""
    if file is None:
        return None
    path = Path(file)
    return str(path.with_name(f"{path.stem}.sequential{path.suffix}"))


def _speedups(
    parallel: Answered, baseline: Answered, points: dict[int, float | None]
) -> dict[str, float | None]:
    """What parallelism bought; None where there is nothing to divide by."""
    known = {width: value for width, value in points.items() if value is not None}
    path, wall = parallel.result.critical_path_tokens, parallel.result.wall_seconds
    alone = baseline.result
    return {
        "token_speedup": alone.total_tokens / path if path else None,
        "wall_speedup": alone.wall_seconds / wall if wall else None,
        "attainable_speedup": attainable_speedup(parallel.events, spent(baseline.events).writing,
                                                 curve(known)) if 1 in known else None,
    }
