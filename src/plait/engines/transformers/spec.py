"""What follows `hf:` in the name of an engine: a model, and how it is to be run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from plait.errors import UsageError

PREFIX = "hf:"
DTYPES = ("float32", "bfloat16", "float16")
_OPTION = re.compile(r":(?=[a-z_]+=)")
_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Spec:
    """``where``: a folder, or a name on huggingface.co. ``dtype``: of weights and KV, None: the
    model's own. ``device``: as PyTorch says it, None: `cuda` if there is one, else `cpu`.
    ``memory``: megabytes for keys and values, None: what is sensible on the device."""

    where: str
    dtype: str | None = None
    device: str | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        where = self.where
        if self.dtype is not None and self.dtype not in DTYPES:
            raise UsageError(f"`dtype` is {self.dtype!r:.40}",
                             hint=f"Use one of {', '.join(DTYPES)}.")
        if self.memory is not None and self.memory <= 0:
            raise UsageError(f"`memory` is {self.memory} but must be above 0 (megabytes)")
        if where and Path(where).expanduser().exists():
            return
        if not _NAME.fullmatch(where):
            raise UsageError(f"there is no folder `{where}`" if where else "`hf:` names no model",
                             hint="Say hf:FOLDER, or hf:OWNER/NAME for a model on huggingface.co.")

    @classmethod
    def parse(cls, text: str) -> Spec:
        """``hf:WHERE``, and options behind it: ``hf:WHERE:dtype=bfloat16:memory=4096``.

        Raises `UsageError` for an unknown option or value, or a folder that is not there.
        """
        where, *options = _OPTION.split(text.removeprefix(PREFIX))
        given = dict(option.split("=", 1) for option in options)
        unknown = set(given) - {"dtype", "device", "memory"}
        if unknown:
            raise UsageError(f"`{unknown.pop()}` in `{text}` is no option of this engine",
                             hint="Known: dtype, device, memory.")
        memory = given.get("memory")
        if memory is not None and not memory.isdecimal():
            raise UsageError(f"`memory` is {memory!r:.40} but must be a whole number (megabytes)")
        return cls(where, given.get("dtype"), given.get("device"),
                   int(memory) if memory else None)
