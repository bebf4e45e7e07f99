"""`plait serve`: the gateway. Any client of OpenAI's API asks it by one changed base URL."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, cast, get_args

import anyio
import typer
from anyio import to_thread

from plait.cli.runtime import NOWHERE, runtime_of, state_folder
from plait.cli.settings import ENGINES, Settings, gather, load_settings
from plait.cli.show import say
from plait.core import Budget
from plait.engines.pool import PoolEngine
from plait.engines.pool.members import PoolState
from plait.errors import UsageError
from plait.interfaces import Engine, Served
from plait.policy import POLICIES, Breaker, BreakerSettings
from plait.registry import AUTO, METHODS, find_protocol
from plait.server.app import make_app
from plait.server.choosing import THOUGHTS, Thoughts
from plait.server.experiments import Experiments, read_experiments, recall
from plait.server.gateway import Gateway
from plait.server.keys import read_keys
from plait.server.logs import RunLog, configure_logs
from plait.server.metrics import GatewayMetrics, Observed
from plait.server.redact import Texts
from plait.server.serving import check_open, listen, serve
from plait.server.settings import GatewaySettings
from plait.server.store import Limits, Store, StoreSettings
from plait.server.telemetry import open_telemetry
from plait.server.watch import Watcher
from plait.solve import Runtime
from plait.survey import advice

app = typer.Typer(add_completion=False, rich_markup_mode=None)
TABLE = "serve"
ENGINE_SECONDS = 2.0
"""How long the start waits for a word of the engine."""
PORT = 8080
MOST_ADVICE = 2
"""Lines of advice on the engine at the start."""


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Settings of this command alone: the table ``[serve]``, and ``PLAIT_SERVE_*``."""

    host: str = "127.0.0.1"
    port: int = PORT
    keys: str | None = None
    no_keys: bool = False
    thoughts: str = "full"
    streams: int | None = None
    running: int = 512
    waiting: int = 1024
    queue_seconds: float = 30.0
    heartbeat: float = 10.0
    drain_seconds: float = 30.0
    store: str | None = None
    texts: str = "keep"
    keep_days: float = 30.0
    keep_megabytes: float = 2000.0
    experiments: str | None = None
    json_logs: bool = False

    def __post_init__(self) -> None:
        if self.thoughts not in THOUGHTS:
            raise UsageError(f"`thoughts` is {self.thoughts!r:.40}",
                             hint=f"Known: {', '.join(THOUGHTS)}.")
        if self.texts not in get_args(Texts):
            raise UsageError(f"`texts` is {self.texts!r:.40}",
                             hint=f"Known: {', '.join(get_args(Texts))}.")
        for name in ("keep_days", "keep_megabytes", "streams", "running", "waiting",
                     "queue_seconds", "heartbeat", "drain_seconds"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UsageError(f"`{name}` is {value!r} but must be above 0")


KNOWN = {f.name: str(f.type).split(" | ")[0] for f in fields(ServeSettings)}


@app.command(name="serve")
def command(  # noqa: PLR0913 - typer makes an option of every argument
    engine: Annotated[str | None, typer.Option(help=f"{ENGINES} [default: nano]")] = None,
    model: Annotated[str | None, typer.Option(help="For requests that name no model.")] = None,
    host: Annotated[str | None, typer.Option(help="Where to listen. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help=f"[default: {PORT}]")] = None,
    keys: Annotated[str | None, typer.Option(metavar="FILE", help="Keys of clients; `plait key` "
                                             "makes them.")] = None,
    no_keys: Annotated[bool | None, typer.Option("--no-keys", help="Let everybody who reaches it "
                                                 "use it.")] = None,
    policy: Annotated[str | None, typer.Option(help="Who decides for requests that choose nothing:"
                                               " auto, sequential, fixed, threshold, or a policy "
                                               "file, *.toml.")] = None,
    method: Annotated[str | None, typer.Option(help="The method for requests that choose nothing."
                                               )] = None,
    protocol: Annotated[str | None, typer.Option(help="The wire format that the model writes."
                                                 )] = None,
    total_tokens: Annotated[int | None, typer.Option(min=1, help="The most tokens a request may "
                                                     "have generated.")] = None,
    seconds: Annotated[float | None, typer.Option(help="The most time a request may take.")] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Most threads at once below one."
                                              )] = None,
    branching: Annotated[str | None, typer.Option(help="Who starts a request's further threads: "
                                                  "load (as the engine has room), eager or off "
                                                  "(one after the other). [default: load]")] = None,
    depth: Annotated[int | None, typer.Option(min=1, help="Most levels of threads.")] = None,
    cost: Annotated[float | None, typer.Option(help="The most a request may cost; needs prices."
                                               )] = None,
    thoughts: Annotated[str | None, typer.Option(help="How thoughts are streamed: full, summary "
                                                 "or none. [default: full]")] = None,
    streams: Annotated[int | None, typer.Option(min=1, help="Streams that the engine bears at "
                                                "once. [default: found out, from 64 up to 1,024]"
                                                )] = None,
    running: Annotated[int | None, typer.Option(min=1, help="Requests at work. [default: 512]"
                                                )] = None,
    waiting: Annotated[int | None, typer.Option(min=1, help="Requests in the queue. [default: "
                                                "1024]")] = None,
    store: Annotated[str | None, typer.Option(metavar="FILE", help="Where runs are stored, or none."
                                              " [default: a file for this port in ~/.local/state/"
                                              "plait]")] = None,
    texts: Annotated[str | None, typer.Option(help="What is stored of prompts and answers: "
                                               "keep, redact or off. [default: keep]")] = None,
    experiments: Annotated[str | None, typer.Option(metavar="FILE", help="Live experiments: "
                                                    "policies to try on a share of the traffic.")
                           ] = None,
    json_logs: Annotated[bool | None, typer.Option("--json-logs", help="Log as JSON lines.")
                         ] = None,
    heartbeat: Annotated[float | None, typer.Option(help="Seconds of silence after which a stream "
                                                    "gets a sign of life. [default: 10]")] = None,
) -> None:
    """Serve an OpenAI-compatible API that answers with parallel threads where that pays.

    Options that `plait solve` has, too, can be set as there; the others in the table [serve] of
    plait.toml (port = 8080) or as a variable (PLAIT_SERVE_PORT=8080). Flags are strongest.
    """
    common = {"engine": engine, "model": model, "policy": policy, "method": method,
              "protocol": protocol, "total_tokens": total_tokens, "seconds": seconds,
              "width": width, "branching": branching, "depth": depth, "cost": cost}
    own = {"host": host, "port": port, "keys": keys, "no_keys": no_keys, "thoughts": thoughts,
           "streams": streams, "running": running, "waiting": waiting, "heartbeat": heartbeat,
           "store": store, "texts": texts, "experiments": experiments, "json_logs": json_logs}
    settings = load_settings(common, os.environ, Path.cwd())
    serving = ServeSettings(**gather(KNOWN, own, os.environ, Path.cwd(), TABLE))  # type: ignore[arg-type]
    anyio.run(_serve, settings, serving)


def gateway_settings(settings: Settings, serving: ServeSettings) -> GatewaySettings:
    """What the gateway is told. Raises `UsageError`."""
    _check_names(settings)
    named = ("total_tokens", "critical_tokens", "seconds", "width", "depth", "cost")
    most = Budget(**{n: v for n in named if (v := getattr(settings, n)) is not None})
    return GatewaySettings(
        method=settings.method, protocol=settings.protocol, policy=settings.decider(), most=most,
        keys=read_keys(Path(serving.keys)) if serving.keys is not None else (),
        no_keys=serving.no_keys, thoughts=cast(Thoughts, serving.thoughts),
        running=serving.running, waiting=serving.waiting, queue_seconds=serving.queue_seconds,
        heartbeat=serving.heartbeat, drain_seconds=serving.drain_seconds)


def _check_names(settings: Settings) -> None:
    """Raises `UsageError` for what would have every request refused."""
    decider = settings.decider()
    if isinstance(decider, str) and decider not in POLICIES:
        raise UsageError(f"there is no policy `{decider}`", hint=f"Known: {', '.join(POLICIES)}.")
    if settings.method not in (None, AUTO, *METHODS):
        raise UsageError(f"there is no method `{settings.method}`",
                         hint=f"Known: {', '.join((AUTO, *METHODS))}.")
    if settings.protocol not in (None, AUTO):
        find_protocol(settings.protocol)
    if settings.cost is not None and not settings.price_table():
        raise UsageError("a budget of cost needs prices",
                         hint='Say prices = "NAME=PROMPT/GENERATED" in plait.toml, per million '
                              "tokens.")


def store_settings(serving: ServeSettings) -> StoreSettings:
    """What is kept of runs, and for how long. Raises `UsageError`."""
    limits = Limits(days=serving.keep_days, size=int(serving.keep_megabytes * 1e6))
    return StoreSettings(cast(Texts, serving.texts), limits)


def store_path(serving: ServeSettings, port: int) -> Path | None:
    """Where runs are stored: as was said, else a file for this port among the user's state; None:
    nowhere."""
    if serving.store == NOWHERE:
        return None
    if serving.store is not None:
        return Path(serving.store)
    return state_folder() / f"runs-{port}.sqlite"


async def _serve(settings: Settings, serving: ServeSettings) -> None:
    told = gateway_settings(settings, serving)
    check_open(serving.host, keys=bool(told.keys), without=serving.no_keys)
    if serving.json_logs:
        configure_logs()
    sock = listen(serving.host, serving.port)
    async with AsyncExitStack() as opened:
        opened.callback(sock.close)
        host, port = sock.getsockname()[:2]
        gateway = await _open(settings, serving, told, port, opened)
        shown = f"[{host}]" if ":" in host else host
        why = ""
        with anyio.move_on_after(ENGINE_SECONDS):
            why = await gateway.models.ready()
        if why:
            say(f"the engine cannot answer yet: {why}")
        known = [] if why or not gateway.models.engine.model else _advise(
            await gateway.models.runtime(""))
        path = store_path(serving, port)
        kept = "no run is kept" if path is None else f"runs are kept in {path}"

        def began() -> None:
            say(f"listening on http://{shown}:{port}/v1, engine {settings.engine}, {kept}")
            for line in known:
                say(line)

        await serve(make_app(gateway), gateway, sock, began=began)


def _advise(runtime: Runtime) -> list[str]:
    """The best of what is known to do about the engine."""
    profile = runtime.profile
    if profile is not None:
        return advice(profile)[:MOST_ADVICE]
    if isinstance(runtime.engine, Served):
        return ["`plait engine check` says what this engine can do, and how to start it better"]
    return []


async def _open(
    settings: Settings, serving: ServeSettings, told: GatewaySettings, port: int,
    opened: AsyncExitStack,
) -> Gateway:
    """The gateway with all that it needs, which ``opened`` closes in the end."""
    path, store = store_path(serving, port), None
    if path is not None:
        store = await opened.enter_async_context(Store(path, store_settings(serving)))
    breaker = Breaker(BreakerSettings())
    runtime = await opened.enter_async_context(
        runtime_of(settings, breaker=breaker, streams=serving.streams))
    watchers: list[Watcher] = [RunLog()]
    telemetry = open_telemetry(os.environ)
    if telemetry is not None:
        opened.push_async_callback(to_thread.run_sync, telemetry.close)
        watchers.append(telemetry)
    experiments = None
    if serving.experiments is not None:
        found = read_experiments(serving.experiments)
        experiments = Experiments(found, idle=lambda: gateway.admission.idle)
        if store is not None:
            await recall(experiments, store, [e.name for e in found])
    gateway = Gateway(runtime, told, store=store, experiments=experiments, watchers=watchers,
                      metrics=GatewayMetrics(Observed(
                          admission=lambda: runtime.limiter.state,
                          queued=lambda: gateway.admission.queued,
                          breaker=lambda: breaker.standings(anyio.current_time()),
                          store_lost=(lambda: store.lost) if store is not None else None,
                          pool=pool_of(runtime.engine))))
    return gateway


def pool_of(engine: Engine) -> Callable[[], PoolState] | None:
    """What looks at the replicas of a pool; None for other engines."""
    return (lambda: engine.state) if isinstance(engine, PoolEngine) else None
