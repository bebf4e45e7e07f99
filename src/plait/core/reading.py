"""Where the answer stands in a text that was thought out loud. Pure; serves engines and formats."""

from __future__ import annotations

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
