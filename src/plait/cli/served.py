"""``plait probe``: what an engine serves, and whether it fits a wire format."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.text import Text

from plait.cli.settings import ENGINES, Settings, load_settings
from plait.cli.show import mode_for, print_json, print_lines
from plait.fit import Fit, examine
from plait.interfaces import Capabilities, Load, Served
from plait.registry import AUTO, find_protocol, protocol_of
from plait.solve import Runtime

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_KEYS = 10
"""Columns of the words in front of a fact."""
_CAN = {"chat": "chat", "token_ids": "token ids", "logprobs": "log probabilities",
        "exact_counts": "exact counts", "cache_report": "reports its cache"}


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found out. ``fit`` is None where no format is known or named."""

    engine: str
    model: str
    capabilities: Capabilities
    load: Load
    protocol: str | None
    reason: str
    fit: Fit | None


@app.command()
def probe(
    engine: Annotated[str | None, typer.Option(help=f"{ENGINES} [default: nano]")] = None,
    model: Annotated[str | None, typer.Option(help="The name of the server's model.")] = None,
    protocol: Annotated[str | None, typer.Option(help="The wire format to look at."
                                                 " [default: auto]")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what an engine serves, and whether it fits a wire format.

    Generates nothing. Costs one short request for each tag of the format.
    """
    flags = {"engine": engine, "model": model, "protocol": protocol}
    settings = load_settings(flags, os.environ, Path.cwd())
    found = anyio.run(_look, settings)
    if json:
        print_json(_as_dict(found))
    else:
        lines = [Text.assemble((key.ljust(_KEYS), "dim"), value) for key, value in _rows(found)]
        print_lines(lines, mode_for(json=False, quiet=False))


async def _look(settings: Settings) -> Findings:
    async with Runtime(settings.engine, model=settings.model) as runtime:
        engine = runtime.engine
        if isinstance(engine, Served):
            await engine.connect()
        if settings.protocol in (None, AUTO):
            protocol, reason = protocol_of(engine)
        else:
            protocol, reason = settings.protocol, "asked for"
        facts = find_protocol(protocol).facts if protocol is not None else None
        fit = await examine(engine, facts) if facts is not None else None
        return Findings(settings.engine, engine.model, engine.capabilities, await engine.load(),
                        protocol, reason, fit)


def _as_dict(found: Findings) -> dict[str, object]:
    capabilities, load = asdict(found.capabilities), asdict(found.load)
    window, slots, server = (capabilities.pop(n) for n in ("window", "slots", "server"))
    fit = found.fit
    return {
        "engine": found.engine, "server": server or None, "model": found.model, "window": window,
        "slots": slots, "capabilities": capabilities, "load": load, "protocol": found.protocol,
        "reason": found.reason, "tags": fit.tags if fit else {},
        "trained_context": fit.trained if fit else None,
        "warnings": list(fit.warnings) if fit else [],
    }


def _rows(found: Findings) -> Iterator[tuple[str, str]]:
    capabilities, load = found.capabilities, found.load
    server = f" ({capabilities.server})" if capabilities.server else ""
    yield "engine", f"{found.engine}{server}"
    yield "model", found.model
    yield "window", _tokens(capabilities.window)
    if capabilities.slots is not None:
        yield "slots", str(capabilities.slots)
    yield "can", ", ".join(say for name, say in _CAN.items() if getattr(capabilities, name))
    if load.running is not None:
        waiting = "" if load.waiting is None else f", {load.waiting} waiting"
        yield "load", f"{load.running} running{waiting}"
    if found.protocol is None:
        yield "protocol", found.reason
    else:
        yield "protocol", f"{found.protocol}: {found.reason}"
    if found.fit is not None:
        yield "tags", _tags(found.fit.tags)
        if found.fit.trained is not None:
            yield "context", f"trained on up to {_tokens(found.fit.trained)}"
        for warning in found.fit.warnings:
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
