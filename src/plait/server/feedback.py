"""What people say of runs: a rating, a label, a comment, the right answer, whether actions agreed.

    {"run": "…", "rating": 1, "label": "too long", "comment": "…", "answer": "42", "coherent": true}

Only ``run`` and one other field are needed. ``rating`` is a number from -1 (bad) to 1 (good), so a
thumb is -1 or 1; ``answer`` is the answer that would have been right; ``coherent`` is for runs that
act: did the actions of all threads make sense together?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plait.errors import UsageError

LONGEST = 20_000
"""Characters of a comment or an answer."""
LABEL = 64
"""Characters of a label."""
FIELDS = ("run", "rating", "label", "comment", "answer", "coherent")


@dataclass(frozen=True, slots=True)
class Feedback:
    """One opinion of a run. ``at``: seconds since the epoch; ``key``: the name of the key of
    whoever said it."""

    run: str
    rating: float | None = None
    label: str = ""
    comment: str = ""
    answer: str | None = None
    coherent: bool | None = None
    at: float = 0.0
    key: str = ""


def read_feedback(body: object, *, at: float, key: str = "") -> Feedback:
    """The feedback in a request's ``body``. Raises `UsageError` with what is wrong, in one line."""
    if not isinstance(body, Mapping):
        raise UsageError("feedback must be a JSON object", hint='Say {"run": "...", "rating": 1}.')
    if unknown := [name for name in body if name not in FIELDS]:
        raise UsageError(f"feedback has no `{unknown[0]!s:.60}`",
                         hint=f"Known: {', '.join(FIELDS)}.")
    given = {name: value for name, value in body.items() if value is not None}
    run = given.get("run")
    if not isinstance(run, str) or not run.strip() or len(run) > LABEL * 2:
        raise UsageError("feedback must name its `run`",
                         hint="It is the id of the response, or the header x-plait-run.")
    if len(given) == 1:
        raise UsageError("the feedback says nothing about the run",
                         hint=f"Give one of {', '.join(FIELDS[1:])}.")
    _check_rating(given.get("rating"))
    for name, most in (("label", LABEL), ("comment", LONGEST), ("answer", LONGEST)):
        _check_text(name, given.get(name), most)
    if not isinstance(given.get("coherent", True), bool):
        raise UsageError(f"`coherent` is {given['coherent']!r:.60} but must be true or false")
    return Feedback(**given, at=at, key=key)


def _check_rating(rating: object) -> None:
    good = isinstance(rating, int | float) and not isinstance(rating, bool) and -1 <= rating <= 1
    if rating is not None and not good:
        raise UsageError(f"`rating` is {rating!r:.60} but must be a number from -1 to 1",
                         hint="-1 is bad, 0 neither, 1 good.")


def _check_text(name: str, text: object, most: int) -> None:
    if text is None:
        return
    if not isinstance(text, str):
        raise UsageError(f"`{name}` is {text!r:.60} but must be text")
    if len(text) > most:
        raise UsageError(f"`{name}` has {len(text):,} characters but may have {most:,}")
