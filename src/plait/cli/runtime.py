"""The engines that the settings name, with what is kept of them among the user's state."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from plait.cli.settings import Settings
from plait.policy import Breaker
from plait.solve import Runtime
from plait.survey import Profiles, name_of

NOWHERE = "none"
"""Of a setting that names a place: nothing is kept."""


def state_folder() -> Path:
    """Where what plait keeps for this user belongs."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "plait"


def profiles_of(settings: Settings) -> Profiles | None:
    """The profiles of engines that are kept; None where none shall be."""
    if settings.profiles == NOWHERE:
        return None
    return Profiles(Path(settings.profiles) if settings.profiles else state_folder() / "engines")


def runtime_of(
    settings: Settings, *, breaker: Breaker | None = None, streams: int | None = None
) -> Runtime:
    """The engines that the settings name; use as a context manager."""
    kept = profiles_of(settings)
    server = name_of(settings.engine)
    return Runtime(settings.engine, model=settings.model, roles=settings.engines(),
                   prices=settings.price_table(), breaker=breaker, streams=streams,
                   branching=settings.branching,
                   profiles=cache(lambda model: kept.find(server, model)) if kept else None)
