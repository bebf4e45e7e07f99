"""Methods by name, as a command line spells them, become arms."""

from __future__ import annotations

from difflib import get_close_matches

from plait.core import Request
from plait.errors import UsageError
from plait.evals.values import Arm
from plait.registry import METHODS, find_protocol

NATIVE = "native"


def make_arms(spec: str, request: Request, protocol: str | None = None) -> tuple[Arm, ...]:
    """The arms of ``sequential,native:apr,explore``: names of methods, each may be followed by a
    colon and a wire format. ``request`` gives the sampling, budget and directions of all of them,
    ``protocol`` the format of `native` where none stands behind it.

    Raises `UsageError` for names that do not exist or stand there twice.
    """
    arms: list[Arm] = []
    for item in filter(None, (part.strip() for part in spec.split(","))):
        method, _, form = item.partition(":")
        if method not in (*METHODS, "auto"):
            near = get_close_matches(method, METHODS, n=1)
            hint = f"Did you mean `{near[0]}`? " if near else ""
            raise UsageError(f"there is no method `{method}`",
                             hint=f"{hint}Known: {', '.join(METHODS)}, auto.")
        form = form or (protocol or "" if method == NATIVE else "")
        if form and form != "auto":
            find_protocol(form)
        if any(arm.name == item for arm in arms):
            raise UsageError(f"the method `{item}` is named twice")
        arms.append(Arm(item, method, form or None, None, request.sampling, request.budget,
                        request.directions))
    if not arms:
        raise UsageError("no method is named", hint="Say --methods sequential,native.")
    return tuple(arms)


def baseline(names: list[str]) -> str:
    """The arm that the others are compared with: `sequential` if it is there, else the first."""
    return next((n for n in names if n.partition(":")[0] == "sequential"), names[0])
