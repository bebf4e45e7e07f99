"""``plait eval SUITE``: all methods on the same problems; and ``plait eval report DIR``."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from rich.live import Live
from rich.text import Text
from typer.core import TyperGroup

from plait.cli.problems import COMPARED, JudgeOption, blank, free_settings, grading
from plait.cli.runtime import runtime_of
from plait.cli.settings import ENGINES, LARGEST, Settings
from plait.cli.show import make_console, print_lines, say
from plait.errors import UsageError
from plait.evals.arms import make_arms
from plait.evals.cache import Cache, file_identity
from plait.evals.estimate import Estimate, estimate, read_prices
from plait.evals.graders import Grader
from plait.evals.progress import Progress
from plait.evals.runner import Evaluation, Job, pending, plan_of, warm_up
from plait.evals.steps import Metronome
from plait.evals.store import Store, latest, read_records
from plait.evals.suites import Choice, describe, load_suite
from plait.evals.values import Record
from plait.registry import model_path
from plait.solve import Runtime
from plait.version import VERSION

PLAIN_EVERY = 5.0
"""Seconds between the lines of progress where standard error is no terminal."""
FRAMES = 4
"""A second, in a terminal."""
HERE = ("suites", "report")


class EvalGroup(TyperGroup):
    """``plait eval SUITE`` is ``plait eval run SUITE``, unless SUITE is another command's name."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in ("run", *HERE):
            args = ["run", *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0].startswith("-") and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name == "report":  # drawing needs what running does not
            return typer.main.get_command(import_module("plait.cli.report").app)
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        return ["run", *HERE]


app = typer.Typer(cls=EvalGroup, add_completion=False, rich_markup_mode=None,
                  help="Put the same problems to several methods: plait eval SUITE --methods a,b.")


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks for."""

    job: Job
    settings: Settings
    folder: Path
    resume: bool
    cache: Path | None
    judge: str | None

    def plan(self) -> dict[str, object]:
        return plan_of(self.job, self.settings.engine, self.settings.model, {
            "judge": self.judge, "roles": self.settings.roles, "windows": self.settings.windows,
            "version": VERSION,
            "cache": str(self.cache) if self.cache else None, "traces": self.job.keep_traces})


@app.command(name="run")
def run(  # noqa: PLR0913 - typer makes an option of every argument
    suite: Annotated[str, typer.Argument(metavar="SUITE", show_default=False, help="A name of "
                                         "`plait eval suites`, or a *.toml of your own.")],
    methods: Annotated[str, typer.Option(help="Methods to compare; native:FORMAT names a wire "
                                         "format.")] = "sequential,native",
    tier: Annotated[str | None, typer.Option(help="Only this tier or group; several with "
                                         "commas.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Problems at most.")] = None,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="Take problems in random order.")]
    = False,
    data: Annotated[Path | None, typer.Option(help="A local file or folder of the data set.")]
    = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where everything is kept. "
                                             "[default: evals/SUITE-TIME]")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Run what is missing or failed in "
                                         "DIR.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take, and "
                                          "stop.")] = False,
    trials: Annotated[int, typer.Option(min=1, help="How often to put each problem.")] = 1,
    at_once: Annotated[int, typer.Option(min=1, help="Tasks side by side; more than 1 makes each "
                                         "slower.")] = 1,
    engine: Annotated[str | None, typer.Option(help=ENGINES)] = None,
    model: Annotated[str | None, typer.Option(help="The name of the server's model.")] = None,
    protocol: Annotated[str | None, typer.Option(help="The wire format of `native`.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=LARGEST)] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Limit of one thread.")] = None,
    total_tokens: Annotated[int | None, typer.Option(help="Limit of all threads.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Limit of one answer's time.")] = None,
    width: Annotated[int | None, typer.Option(help="Most threads at once below one.")] = None,
    roles: Annotated[str | None, typer.Option(help="Other engines for some roles.")] = None,
    judge: JudgeOption = None,
    cache: Annotated[Path | None, typer.Option(metavar="FILE", help="Take answers from here, and "
                                               "keep them.")] = None,
    price: Annotated[str | None, typer.Option(metavar="IN,OUT[,CACHED]", help="Of a million "
                                              "tokens.")] = None,
    traces: Annotated[bool, typer.Option("--traces/--no-traces", help="Keep every run's trace.")]
    = True,
) -> None:
    """Put the same problems to several methods, and keep everything.

    Other settings of `plait solve` (merge, verify, attempts, ...) come from plait.toml or PLAIT_*.
    """
    flags = {"engine": engine, "model": model, "protocol": protocol, "seed": seed,
             "temperature": temperature, "max_tokens": max_tokens, "total_tokens": total_tokens,
             "seconds": seconds, "width": width, "roles": roles}
    settings = free_settings("eval", COMPARED, **flags)
    found = load_suite(suite, Choice(tier, limit, shuffle, settings.seed), data=data)
    arms = make_arms(methods, settings.request("any"), settings.protocol)
    try:
        prices = read_prices(price) if price is not None else None
    except ValueError:
        raise UsageError(f"--price is {price!r:.40}", hint="Say 0.50,1.50 for example.") from None
    job = Job(found, arms, settings.seed, trials, at_once, prices, traces)
    folder = out or Path("evals", f"{found.name}-{time.strftime('%Y%m%d-%H%M%S')}")
    order = Order(job, settings, folder, resume, cache, judge)
    if dry_run:
        _print_estimate(order)
        return
    anyio.run(_evaluate, order)


@app.command()
def suites() -> None:
    """List the suites that are known by name."""
    rows = describe()
    wide = max(len(name) for name, _, _ in rows)
    lines = [Text(f"{name:<{wide}}  {grader:<8}{about}") for name, grader, about in rows]
    print_lines(lines, "live" if sys.stdout.isatty() else "plain")


async def _evaluate(order: Order) -> None:
    job, folder = order.job, order.folder
    async with grading(job.suite, order.judge) as grader:
        with Store(folder, order.plan(), resume=order.resume) as store:
            progress = Progress(job.size, [a.name for a in job.arms],
                                ready=job.size - sum(1 for _ in pending(job, store.records)))
            for record in store.records.values():
                progress.add_earlier(record)
            try:
                await _run(order, grader, store, progress)
            except BaseException:
                if progress.ready + progress.seen:
                    say(f"stopped: {progress.line()}; all of it is in {folder},"
                        f" --resume --out {folder} goes on")
                raise
    print_lines([Text(progress.line()),
                 Text(f"The records are in {folder}; see them with `plait eval report {folder}`.")],
                "plain")


async def _run(order: Order, grader: Grader, store: Store, progress: Progress) -> None:
    screen = Screen(progress)
    async with runtime_of(order.settings) as runtime:
        with _cache(order, runtime) or nullcontext() as cache:
            evaluation = Evaluation(_fitted(order, runtime), runtime, grader, store, cache,
                                    screen.add, _metronome(order, runtime, store))
            await warm_up(runtime.engine, order.job)
            with screen:
                await evaluation.run()


def _fitted(order: Order, runtime: Runtime) -> Job:
    """The job, with the window that the settings have for the engine's model."""
    window = blank(order.settings, runtime).directions.window
    arms = tuple(replace(arm, directions=replace(arm.directions, window=window))
                 for arm in order.job.arms)
    return replace(order.job, arms=arms)


def _cache(order: Order, runtime: Runtime) -> Cache | None:
    if order.cache is None:
        return None
    settings = order.settings
    found = model_path(settings.engine, settings.model)
    read = [] if found is None else [found]
    for named in (settings.prompts, (settings.verify or "").removeprefix("code:")):
        if named and Path(named).exists():
            read.append(Path(named))
    identity = [settings.engine, runtime.engine.model, str(settings.roles),
                *map(file_identity, read)]
    return Cache(order.cache, " ".join(identity))


def _metronome(order: Order, runtime: Runtime, store: Store) -> Metronome | None:
    """Tasks side by side share the engine, so there is no step time that would explain theirs."""
    if order.job.at_once > 1:
        return None
    asked = next(order.job.tasks()).request(order.job.seed)
    return Metronome(runtime.engine, asked, store.note_step)


class Screen:
    """Progress on standard error: one line that changes in a terminal, else a line at times."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._live: Live | None = None
        if sys.stderr.isatty():
            console = make_console()
            console.stderr = True
            self._live = Live("", console=console, refresh_per_second=FRAMES, transient=True)
        self._said = time.monotonic()

    def add(self, record: Record) -> None:
        now = time.monotonic()
        self.progress.add(record, now)
        if now - self._said < (1 / FRAMES if self._live else PLAIN_EVERY):
            return
        self._said = now
        if self._live:
            self._live.update(Text(self.progress.line()))
        else:
            say(self.progress.line())

    def __enter__(self) -> Screen:
        if self._live:
            self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._live:
            self._live.__exit__(*error)


def _print_estimate(order: Order) -> None:
    """What is left to run, and what it takes. Nothing is written or sent."""
    try:
        records = latest(read_records(order.folder)) if order.resume else []
    except UsageError:
        records = []
    tasks = pending(order.job, {r.key: r for r in records})
    rows = estimate(order.job, tasks, records)
    table = [("method", "tasks", "prompt tokens", "generated", "time", "cost"),
             *(_row(row) for row in rows)]
    lines = [Text("".join(f"{cell:>16}" if place else f"{cell:<18}"
                          for place, cell in enumerate(row))) for row in table]
    if any(row.ceiling and row.generated_tokens is not None for row in rows):
        lines.append(Text("≤: the most that the limits allow; nothing was measured yet."))
    if any(row.generated_tokens is None for row in rows):
        lines.append(Text("Unknown: run a few problems first (--limit 5 --out DIR), then ask again"
                          " with --resume --out DIR."))
    print_lines(lines, "plain")


def _row(row: Estimate) -> tuple[str, ...]:
    sign = "≤ " if row.ceiling else "≈ "
    return (row.arm, f"{row.tasks:,}", f"≈ {row.prompt_tokens:,.0f}",
            "unknown" if row.generated_tokens is None else f"{sign}{row.generated_tokens:,.0f}",
            "unknown" if row.seconds is None else f"≈ {row.seconds:,.0f} s",
            "-" if row.cost is None else f"{sign}{row.cost:,.2f}")
