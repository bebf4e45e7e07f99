"""What of a run's texts is kept: all of them, all but what looks private, or none.

    keep     everything
    redact   e-mail addresses, telephone, card and account numbers, IP addresses, keys and tokens
             are replaced by what they are ([email]); names and street addresses are not found
    off      no word of the user or of a model; numbers, times and the shape of the run stay

Chunks of a stream may cut a number in two, so with ``redact`` the text of a call is held back
until the call has ended: its `Wrote` events keep their tokens and times without text, and one more
without tokens brings the whole text. The pieces of a committed answer are held back alike.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from plait.core.events import (
    Answered,
    Appended,
    Committed,
    Ended,
    Event,
    Noted,
    Rewrote,
    RunEnded,
    RunStarted,
    Started,
    Wrote,
)
from plait.errors import UsageError
from plait.policy.reasons import reason_word

Texts = Literal["keep", "redact", "off"]

_PATTERNS: tuple[tuple[str, str], ...] = (
    ("key", r"\b(?:sk|pk|rk|ghp|gho|ghs|github_pat|xox[abprs]|hf|glpat)[-_][A-Za-z0-9_-]{12,}"),
    ("key", r"\bAKIA[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{35}\b"),
    ("key", r"(?i)\bbearer\s+[A-Za-z0-9._~+/=-]{12,}"),
    ("token", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    ("key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
    ("password", r"(?<=://)[^\s/:@]+:[^\s/@]+(?=@)"),
    ("email", r"\b[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}\b"),
    ("account", r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b"),
    ("card", r"\b(?:\d[ -]?){12,18}\d\b"),
    ("phone", r"(?<![\w.])(?:\+\d{1,3}[ .-]?|\(?0\d{1,4}\)?[ .-])\(?\d{1,4}\)?"
              r"(?:[ .-]?\d{2,4}){2,4}(?![\w.])"),
    ("ip", r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b"),
)
_HARMLESS = ("stopped by the limit on ", "the time is up", "went on in a clean context",
             "wrote down what it knows", "prompt ")
"""Beginnings of notes that never quote anybody."""
GONE = "(text not kept)"


class Redactor:
    """Replaces what looks private. ``patterns``: further regular expressions of the operator's.

    Raises `UsageError` for a pattern that is no regular expression.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._rules = [(name, re.compile(pattern)) for name, pattern in _PATTERNS]
        for pattern in patterns:
            try:
                self._rules.append(("private", re.compile(pattern)))
            except re.error as error:
                raise UsageError(f"the pattern `{pattern:.60}` is no regular expression: {error}"
                                 ) from None

    def __call__(self, text: str) -> str:
        for name, rule in self._rules:
            if name == "card":
                text = rule.sub(lambda found: "[card]" if _luhn(found[0]) else found[0], text)
            else:
                text = rule.sub(f"[{name}]", text)
        return text


def _luhn(number: str) -> bool:
    """Do the digits have the check digit of a payment card (ISO/IEC 7812)?"""
    digits = [int(d) for d in number if d.isdigit()]
    doubled = [d * 2 - 9 * (d > 4) for d in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def pseudonym(name: str) -> str:
    """12 hexadecimal digits that stand for ``name`` and are the same each time; empty for none."""
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:12] if name else ""


class RunTexts:
    """The texts of one run on their way to the store, by the rule ``texts``."""

    def __init__(self, texts: Texts, redactor: Redactor) -> None:
        self.rule = texts
        self._redactor = redactor
        self._held: dict[str, list[str]] = {}
        self._answer: list[str] = []

    def text(self, text: str | None) -> str | None:
        """A text that stands alone."""
        if text is None or self.rule == "keep":
            return text
        return self._redactor(text) if self.rule == "redact" else None

    def reason(self, reason: str | None) -> str | None:
        """Why something failed; it may quote a model."""
        return reason_word(reason) or None if self.rule == "off" else self.text(reason)

    def name(self, name: str) -> str:
        """Who asked."""
        return name if self.rule == "keep" else pseudonym(name)

    def feed(self, event: Event) -> Sequence[Event]:
        """What is stored in place of ``event``, in order; with ``keep`` the event itself."""
        if self.rule == "keep":
            return (event,)
        if self.rule == "off":
            return (_without_text(event),)
        if isinstance(event, Wrote):
            self._held.setdefault(event.thread, []).append(event.text)
            return (replace(event, text=""),)
        if isinstance(event, Committed):
            self._answer.append(event.text)
            return ()
        if isinstance(event, Answered | Ended):
            return (*self._release(event.t, event.thread), self._redacted(event))
        if isinstance(event, RunEnded):
            held = [e for thread in tuple(self._held) for e in self._release(event.t, thread)]
            if answer := self._redactor("".join(self._answer)):
                held.append(Committed(event.t, "0", answer))
            return (*held, self._redacted(event))
        return (self._redacted(event),)

    def _release(self, t: float, thread: str) -> list[Event]:
        text = self._redactor("".join(self._held.pop(thread, ())))
        return [Wrote(t, thread, text, 0)] if text else []

    def _redacted(self, event: Event) -> Event:
        names = _TEXTS.get(type(event), ())
        changed = {n: self.text(getattr(event, n)) for n in names if getattr(event, n)}
        return replace(event, **changed) if changed else event  # type: ignore[arg-type]


_TEXTS: dict[type, tuple[str, ...]] = {
    RunStarted: ("question",), Started: ("label",), Appended: ("text",), Wrote: ("text",),
    Answered: ("error",), Rewrote: ("text",), Ended: ("reason", "value"), Noted: ("what",),
    Committed: ("text",), RunEnded: ("answer", "fallback")}
"""Fields that may hold words of the user or of a model."""


def _without_text(event: Event) -> Event:
    """``event`` without a word of anybody's. What is missing stays missing, what was said in a
    fixed set of words is said in one of them."""
    match event:
        case Noted(what=what):
            known = what.startswith(_HARMLESS)
            return event if known else replace(event, what=GONE)
        case RunEnded(answer=answer, fallback=fallback):
            return replace(event, answer=None if answer is None else "",
                           fallback=reason_word(fallback) or None)
        case Ended(value=value, reason=reason):
            return replace(event, value=None if value is None else "",
                           reason=reason_word(reason or None))
        case Answered(error=error):
            return replace(event, error=reason_word(error or None))
        case RunStarted():
            return replace(event, question="")
        case Started():
            return replace(event, label="")
        case Appended() | Wrote() | Rewrote() | Committed():
            return replace(event, text="")
    return event
