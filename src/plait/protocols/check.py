"""Is a transcript well formed, and what would it have gained? For people who train such models.

A transcript is one line's text: the main line's, with what was joined into it. What the numbers
mean is written in `plait.protocols.sizes`.
"""

from __future__ import annotations

from collections.abc import Mapping

from plait.errors import UsageError
from plait.protocols.catalogue import CATALOGUE, Known
from plait.protocols.check_spawns import check_apr, check_asyncthink
from plait.protocols.sizes import Count, Report, count_words, measure_line
from plait.protocols.transcript import read_transcript

_SPAWNING = {"apr": check_apr, "asyncthink": check_asyncthink}


def check(
    known: Known, text: str, threads: Mapping[str, str] | None = None, count: Count = count_words
) -> Report:
    """Check ``text``. ``threads`` holds the own texts of spawned threads, by their numbers (APR:
    their nodes), where there are any; a fork's are in the text itself.

    Raises `UsageError` for formats of one's own that are no block formats.
    """
    if known.form is not None:
        line, faults = read_transcript(known.form, text)
        return Report(tuple(faults), measure_line(line, count))
    if CATALOGUE.get(known.facts.name) is not known:
        raise UsageError(f"transcripts of `{known.facts.name}` cannot be checked",
                         hint=f"Only block formats can, and {', '.join(_SPAWNING)}.")
    return _SPAWNING[known.facts.name](text, threads or {}, count)
