"""``plait engine check``: what an engine serves and can do, how fast it is, and what to do then."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import wrap
from typing import Annotated

import anyio
import typer
from rich.text import Text

from plait.cli.runtime import profiles_of
from plait.cli.settings import ENGINES, Settings, load_settings
from plait.cli.show import Mode, make_console, mode_for, print_json, print_lines, say
from plait.core import EngineProfile, Finding
from plait.fit import Fit, examine
from plait.interfaces import Capabilities, Engine, Load, Served
from plait.registry import AUTO, find_protocol, protocol_of
from plait.solve import Runtime
from plait.survey import (
    LABELS,
    WIDTHS,
    Cost,
    Survey,
    advice,
    expected,
    name_of,
    tokens_per_second,
    write_profile,
)
from plait.viewer.words import one_line

app = typer.Typer(add_completion=False, rich_markup_mode=None)
WIDTH = 80
KEY = 10
"""Columns of the words in front of a fact."""
VERDICTS = {True: ("yes", "green"), False: ("no", "red"), None: ("?", "yellow")}
VERDICT, LABEL = 5, 24
"""Columns of a verdict, and of what it is about."""
CAN = {"chat": "chat", "token_ids": "token ids", "logprobs": "log probabilities",
       "exact_counts": "exact counts", "cache_report": "reports its cache"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What an engine says of itself. ``fit`` is None where no format is known or named."""

    engine: str
    model: str
    capabilities: Capabilities
    load: Load
    protocol: str | None
    reason: str
    fit: Fit | None


@app.callback()
def group() -> None:
    """What an engine can do."""


@app.command(short_help="Try what an engine can do and how fast it is, and give advice.")
def check(
    engine: Annotated[str | None, typer.Argument(metavar="ENGINE", help=f"{ENGINES}"
                                                 " [default: the setting `engine`]",
                                                 show_default=False)] = None,
    model: Annotated[str | None, typer.Option(help="The name of the server's model.")] = None,
    protocol: Annotated[str | None, typer.Option(help="The wire format to look at."
                                                 " [default: auto]")] = None,
    free: Annotated[bool, typer.Option("--free", help="Generate nothing: only what the engine says "
                                       "of itself, and whether it fits the wire format.")] = False,
    speed: Annotated[bool, typer.Option("--speed/--no-speed", help="Measure step times with up to "
                                        "32 streams, which takes most of the tokens.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find out what an engine can do by trying it with few tokens, and how to start it better.

    What is found is kept (setting `profiles`), and other commands use it.
    """
    flags = {"engine": engine, "model": model, "protocol": protocol}
    settings = load_settings(flags, os.environ, Path.cwd())
    anyio.run(_check, settings, free, speed, mode_for(json=json, quiet=False))


async def _check(settings: Settings, free: bool, speed: bool, mode: Mode) -> None:
    async with Runtime(settings.engine, model=settings.model) as runtime:
        facts = await _look(settings, runtime.engine)
        if mode != "json":
            print_lines([line for key, value in _facts(facts, free) for line in _entry(key, value)],
                        mode)
        elif free:
            print_json(_facts_json(facts))
        if free:
            return
        most = expected(speed=speed)
        say(f"this takes up to about {_say_cost(most)} tokens")
        profile, cost = await _survey(runtime.engine, name_of(settings.engine), speed, mode)
    kept = profiles_of(settings)
    path = kept.keep(profile) if kept is not None else None
    if mode == "json":
        print_json({**_facts_json(facts), **write_profile(profile), "advice": advice(profile),
                    "prompt_tokens": cost.prompt, "generated_tokens": cost.generated,
                    "kept": path and str(path)})
        return
    print_lines(list(_speed_lines(profile)), mode)
    print_lines(list(_advice_lines(profile)), mode)
    print_lines([Text(), *_entry("took", f"{_say_cost(cost)} tokens"),
                 *_entry("kept", f"in {path}" if path else "nowhere")], mode)


async def _survey(engine: Engine, server: str, speed: bool, mode: Mode) -> tuple[
        EngineProfile, Cost]:
    """All checks, each shown as it is made."""
    if mode == "json":
        survey = Survey(engine, server, speed=speed)
        return await survey.run(), survey.cost
    print_lines([Text()], mode)

    def tell(name: str, found: Finding) -> None:
        print_lines(list(_finding_lines(name, found)), mode)

    if mode != "live":
        survey = Survey(engine, server, speed=speed, tell=tell)
        return await survey.run(), survey.cost
    console = make_console()
    with console.status("") as status:
        survey = Survey(engine, server, speed=speed,
                        tell=lambda name, found: console.print(*_finding_lines(name, found),
                                                               sep="\n"),
                        doing=lambda what: status.update(Text(f"{what} ...", "dim")))
        return await survey.run(), survey.cost


# --- what the engine says of itself --------------------------------------------------------------


async def _look(settings: Settings, engine: Engine) -> Facts:
    if isinstance(engine, Served):
        await engine.connect()
    if settings.protocol in (None, AUTO):
        protocol, reason = protocol_of(engine)
    else:
        protocol, reason = settings.protocol, "asked for"
    known = find_protocol(protocol).facts if protocol is not None else None
    fit = await examine(engine, known) if known is not None else None
    return Facts(settings.engine, engine.model, engine.capabilities, await engine.load(),
                 protocol, reason, fit)


def _facts_json(facts: Facts) -> dict[str, object]:
    capabilities = asdict(facts.capabilities)
    window, slots, server = (capabilities.pop(n) for n in ("window", "slots", "server"))
    fit = facts.fit
    return {
        "engine": facts.engine, "kind": server, "model": facts.model, "window": window,
        "slots": slots, "capabilities": capabilities, "load": asdict(facts.load),
        "protocol": facts.protocol, "reason": facts.reason, "tags": fit.tags if fit else {},
        "trained_context": fit.trained if fit else None,
        "warnings": list(fit.warnings) if fit else [],
    }


def _facts(facts: Facts, free: bool) -> Iterator[tuple[str, str]]:
    """Rows for people. What its kind of server can do by itself is said only where ``free``: else
    the checks say it."""
    capabilities, load = facts.capabilities, facts.load
    server = f" ({capabilities.server})" if capabilities.server else ""
    yield "engine", f"{facts.engine}{server}"
    yield "model", facts.model
    yield "window", _tokens(capabilities.window)
    if capabilities.slots is not None:
        yield "slots", str(capabilities.slots)
    if free:
        yield "can", ", ".join(say for name, say in CAN.items() if getattr(capabilities, name))
    if load.running is not None:
        waiting = "" if load.waiting is None else f", {load.waiting} waiting"
        yield "load", f"{load.running} running{waiting}"
    if facts.protocol is None:
        yield "protocol", facts.reason
    else:
        yield "protocol", f"{facts.protocol}: {facts.reason}"
    if facts.fit is not None:
        yield "tags", _tags(facts.fit.tags)
        if facts.fit.trained is not None:
            yield "context", f"trained on up to {_tokens(facts.fit.trained)}"
        for warning in facts.fit.warnings:
            yield "warning", warning


def _tokens(count: int | None) -> str:
    return "not known" if count is None else f"{count:,} tokens"


def _tags(tags: dict[str, int | None]) -> str:
    if not tags:
        return "plain text"
    known = {tag: count for tag, count in tags.items() if count is not None}
    if not known:
        return f"{len(tags)}, the server does not tell how it cuts them"
    cut = [f"{tag} {count}" for tag, count in known.items() if count != 1]
    if cut:
        return f"not single tokens: {', '.join(cut)}"
    return f"{'all' if len(known) == len(tags) else len(known)} of {len(tags)} are single tokens"


# --- what was found out --------------------------------------------------------------------------


def _finding_lines(name: str, found: Finding) -> Iterator[Text]:
    word, style = VERDICTS[found.holds]
    room = VERDICT + LABEL
    for number, line in enumerate(wrap(one_line(found.why), WIDTH - room) or [""]):
        if number:
            yield Text(" " * room + line)
        else:
            yield Text.assemble((word.ljust(VERDICT), style), LABELS[name].ljust(LABEL), line)


def _speed_lines(profile: EngineProfile) -> Iterator[Text]:
    """A table of step times, and how fast prompts are read."""
    speeds = tokens_per_second(profile)
    if speeds:
        rows = {"streams": [str(n) for n in speeds],
                "ms a step": [_short(1000 * profile.step_seconds[n]) for n in speeds],
                "tokens/s": [_short(speed) for speed in speeds.values()]}
        yield Text()
        for key, cells in rows.items():
            yield Text.assemble((key.ljust(KEY), "dim"), "".join(c.rjust(9) for c in cells))
        widest = max(speeds)
        if widest < WIDTHS[-1] and (profile.slots is None or profile.slots >= 2 * widest):
            yield from _entry("", f"more than {widest} took too long to measure")
    if profile.prefill_tokens_per_second is not None:
        yield Text()
        yield from _entry("prefill", f"{profile.prefill_tokens_per_second:,.0f} tokens/s")


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _advice_lines(profile: EngineProfile) -> Iterator[Text]:
    yield Text()
    for number, sentence in enumerate(advice(profile) or ["nothing to do"]):
        yield from _entry("" if number else "advice", sentence)


def _entry(key: str, value: str) -> Iterator[Text]:
    """A row, its value wrapped beside the key."""
    for number, line in enumerate(wrap(one_line(value), WIDTH - KEY, break_long_words=False,
                                       break_on_hyphens=False) or [""]):
        yield Text.assemble((("" if number else key).ljust(KEY), "dim"), line)


def _say_cost(cost: Cost) -> str:
    return f"{cost.prompt:,} prompt and {cost.generated:,} generated"
