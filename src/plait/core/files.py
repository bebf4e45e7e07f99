"""Files that people write for plait."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from plait.errors import UsageError


def read_toml(path: Path, name: str, verb: str = "is", hint: str = "") -> dict[str, Any]:
    """What a TOML file says. ``name`` and ``verb`` are how a message speaks of it; ``hint`` is what
    to do where it cannot be read. Raises `UsageError`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}", hint=hint) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{name} {verb} not valid TOML: {error}") from None
