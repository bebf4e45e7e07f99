"""Profiles in files: one for each engine and model, in JSON, in a folder of the user's state."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

import orjson

from plait.core import EngineProfile, Finding
from plait.engines.openai.connect import server_root, without_password
from plait.errors import UsageError

FORMAT = 1
"""Of the files. One of another format counts as not there."""
_UNSAFE = re.compile(r"[^A-Za-z0-9.]+")
_LONGEST = 60


def name_of(engine: str) -> str:
    """What an engine is called in its profile: a server's address without a password, the whole
    path of a file, else the name itself. Raises `UsageError` for what is no address."""
    if engine.startswith(("http://", "https://")):
        return without_password(server_root(engine))
    return str(Path(engine).resolve()) if Path(engine).exists() else engine


class Profiles:
    """The profiles in ``folder``, which need not be there yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, server: str, model: str) -> EngineProfile | None:
        """What is kept of ``model`` on ``server``. Raises `UsageError` for a file that is none of
        ours."""
        path = self._path(server, model)
        try:
            return read_profile(orjson.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from None
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            raise UsageError(f"{path} is no profile of an engine",
                             hint="Remove it; `plait engine check` makes a new one.") from None

    def keep(self, profile: EngineProfile) -> Path:
        """Write ``profile`` in place of an older one, whole or not at all. Raises `UsageError`."""
        path = self._path(profile.server, profile.model)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._folder)
            with os.fdopen(handle, "wb") as file:
                file.write(orjson.dumps(write_profile(profile), option=orjson.OPT_INDENT_2
                                        | orjson.OPT_NON_STR_KEYS))
            Path(name).replace(path)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}",
                             hint="The setting `profiles` says where profiles are kept.") from None
        return path

    def _path(self, server: str, model: str) -> Path:
        """A name that people can read, and a digest since that alone may be another one's too."""
        digest = hashlib.sha256(f"{server}\n{model}".encode()).hexdigest()[:8]
        shown = _UNSAFE.sub("-", f"{server.partition('://')[2] or server} {Path(model).name}")
        return self._folder / f"{shown[-_LONGEST:].strip('-')}-{digest}.json"


def write_profile(profile: EngineProfile) -> dict[str, object]:
    """``profile`` as JSON."""
    return {"format": FORMAT, **asdict(profile)}


def read_profile(found: Mapping[str, object]) -> EngineProfile | None:
    """The profile that `write_profile` wrote; None if it is of another format. Raises what comes
    of anything else: `KeyError`, `TypeError`, `ValueError`, `AttributeError`."""
    if found["format"] != FORMAT:
        return None
    known = {f.name: found[f.name] for f in fields(EngineProfile)}
    steps, findings = known["step_seconds"], known["findings"]
    if not isinstance(steps, Mapping) or not isinstance(findings, Mapping):
        raise TypeError("no tables")
    known["step_seconds"] = {int(n): float(seconds) for n, seconds in steps.items()}
    known["findings"] = {name: Finding(**f) for name, f in findings.items()}
    return EngineProfile(**known)  # type: ignore[arg-type]
