"""Sets of prompts as files: ``instruct``, ``reasoning``, or a folder of the user's.

A prompt is a text with places such as ``{question}`` in it. A folder overrides the prompts it has
files for; the others come from ``instruct``. `PLACES` says which places a prompt has to have: a
merge prompt without ``{parts}`` would merge nothing. Substitution is one pass, so that braces in
what is put in stay what they are. Which prompt a call was made with stands in the trace as name
and digest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path

from plait.errors import Bug, UsageError

SETS = ("instruct", "reasoning")
_PLACE = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Template:
    """One prompt. ``digest``: the first 8 hexadecimal digits of its text's SHA-256."""

    name: str
    text: str
    origin: str
    """The set or the folder that it comes from."""

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:8]

    @property
    def version(self) -> str:
        """As the trace has it: ``synthesize (instruct) 3fa2b1c0``."""
        return f"{self.name} ({self.origin}) {self.digest}"

    def fill(self, values: Mapping[str, str]) -> str:
        """The prompt with its places filled. Raises `Bug` if a value is missing."""
        missing = set(_PLACE.findall(self.text)) - set(values)
        if missing:
            raise Bug(f"the prompt {self.version} has no value for {', '.join(sorted(missing))}")
        return _PLACE.sub(lambda place: values[place[1]], self.text).strip()


@dataclass(frozen=True, slots=True)
class Prompts:
    """A set of prompts; see `load_prompts`."""

    name: str
    templates: Mapping[str, Template]

    def __getitem__(self, name: str) -> Template:
        return self.templates[name]


def load_prompts(which: str | None = None) -> Prompts:
    """The set ``which``: ``instruct`` (also for None), ``reasoning``, or the path of a folder.

    Raises `UsageError`, naming the file, for a folder that does not exist, a file that is no
    prompt of plait's, and a prompt that lacks a place or has one that nothing fills.
    """
    which = which or "instruct"
    if which in SETS:
        return Prompts(which, _shipped(which))
    folder = Path(which)
    if not folder.is_dir():
        raise UsageError(f"there is no prompt set `{which}`",
                         hint=f"Use {' or '.join(SETS)}, or the path of a folder with prompts.")
    return Prompts(str(folder), {**_shipped("instruct"), **_read(folder)})


@cache
def _shipped(which: str) -> dict[str, Template]:
    folder = files("plait.prompts") / which
    found = {f.name[:-4]: f.read_text(encoding="utf-8") for f in folder.iterdir()
             if f.name.endswith(".txt")}
    base = {} if which == "instruct" else _shipped("instruct")
    return {**base, **{name: Template(name, text, which) for name, text in found.items()}}


@cache
def places(name: str) -> frozenset[str]:
    """The places of the prompt ``name``: those of the shipped one."""
    return frozenset(_PLACE.findall(_shipped("instruct")[name].text))


def _read(folder: Path) -> dict[str, Template]:
    known = _shipped("instruct")
    found: dict[str, Template] = {}
    for path in sorted(folder.glob("*.txt")):
        name = path.stem
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise UsageError(f"{path} is no prompt of plait's",
                             hint=f"The nearest known one is `{near}.txt`.")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read the prompt {path}: {error}") from error
        _check_places(path, name, set(_PLACE.findall(text)))
        found[name] = Template(name, text, str(folder))
    if not found:
        raise UsageError(f"the folder {folder} has no prompts",
                         hint=f"A prompt is a file such as `{next(iter(known))}.txt`.")
    return found


def _check_places(path: Path, name: str, has: set[str]) -> None:
    wanted = places(name)
    listed = ", ".join("{" + p + "}" for p in sorted(wanted))
    if missing := wanted - has:
        raise UsageError(f"the prompt {path} lacks {{{min(missing)}}}",
                         hint=f"It needs the places {listed}.")
    if unknown := has - wanted:
        raise UsageError(f"nothing fills {{{min(unknown)}}} in the prompt {path}",
                         hint=f"It has the places {listed}.")
