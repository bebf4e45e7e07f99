"""Where the answer stands in a text that was thought out loud. Pure; serves engines and formats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

THINK, END_THINK = "<think>", "</think>"


def read_between(
    text: str, tags: tuple[str, str], *, thoughts: bool = False, inside: bool = False,
    alone: bool = False,
) -> str | None:
    """The answer in ``text``, stripped; None if there is none (yet).

    ``tags`` open and close what stands before the answer; the last pair counts, and without one
    the whole text is the answer. ``thoughts``: they hold all of the thinking, so an open one means
    that the answer has not begun. ``alone``: where nothing follows the pair, what it holds is the
    answer. ``inside``: the answer always stands between the tags, closed or not.
    """
    opener, closer = tags
    before, mark, after = text.rpartition(closer)
    if inside:
        held = (before if mark else text).rpartition(opener)
        return (held[2].strip() or None) if held[1] else None
    if not mark:
        return None if thoughts and opener in text else text.strip() or None
    if alone and not after.strip():
        after = before.rpartition(opener)[2]
    return after.strip() or None


def after_thinking(text: str) -> str | None:
    """What stands after the last ``</think>``; None if the model never came to an answer."""
    return read_between(text, (THINK, END_THINK), thoughts=True)


def split_thoughts(text: str) -> tuple[str, str]:
    """Thoughts and what follows them, both stripped. A chat template may have opened the
    thoughts, so the opening tag may be missing; without a closing one they are all there is."""
    before, mark, after = text.rpartition(END_THINK)
    if mark:
        return before.replace(THINK, "", 1).strip(), after.strip()
    content, open_mark, thoughts = text.partition(THINK)
    return (thoughts.strip(), content.strip()) if open_mark else ("", text.strip())


class LiveAnswer:
    """The answer while its text is written: gives out what `after_thinking` of the whole text will
    begin with, and nothing that may turn out to be no part of it.

    ``thinking``: the text begins inside thoughts that somebody else has opened. White space waits
    for what follows it, and so does anything that may be the beginning of one of ``stops``.
    """

    def __init__(self, thinking: bool = False, stops: Sequence[str] = ()) -> None:
        self._state: Literal["start", "thoughts", "answer"] = "thoughts" if thinking else "start"
        self._stops = tuple(stops)
        self._held = ""
        self._begun = False

    def feed(self, text: str) -> str:
        """What ``text`` adds to the answer for certain."""
        self._held += text
        if self._state == "start":
            self._begin()
        if self._state == "thoughts":
            _, mark, after = self._held.partition(END_THINK)
            if not mark:
                self._held = self._held[1 - len(END_THINK):]
                return ""
            self._state, self._held = "answer", after
        if self._state == "start":
            return ""
        if not self._begun:
            self._held = self._held.lstrip()
        sure = len(self._held.rstrip()) if not self._stops else self._before_stops()
        given, self._held = self._held[:sure].rstrip(), self._held[len(self._held[:sure].rstrip()):]
        self._begun |= bool(given)
        return given

    def _begin(self) -> None:
        """Is it thoughts or an answer that the text begins with?"""
        begin = self._held.lstrip()
        if begin.startswith(THINK):
            self._state, self._held = "thoughts", begin.removeprefix(THINK)
        elif begin and not THINK.startswith(begin):
            self._state = "answer"

    def _before_stops(self) -> int:
        """Where the first thing begins that is a stop or may become one."""
        held = self._held
        places = [held.find(stop) for stop in self._stops if stop in held]
        for stop in self._stops:
            for size in range(min(len(stop) - 1, len(held)), 0, -1):
                if held.endswith(stop[:size]):
                    places.append(len(held) - size)
                    break
        return min(places, default=len(held))
