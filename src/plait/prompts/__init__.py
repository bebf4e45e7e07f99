"""Prompts as files (`library`), children's text as quotations (`quote`), one call (`asking`)."""

from plait.prompts.asking import (
    ask,
    behind_thoughts,
    make_spec,
    note_prompt,
    split,
    write_answer,
)
from plait.prompts.library import SETS, Prompts, Template, load_prompts
from plait.prompts.quote import defuse, excerpt, numbered, one_line, quote, unquoted

__all__ = [
    "SETS",
    "Prompts",
    "Template",
    "ask",
    "behind_thoughts",
    "defuse",
    "excerpt",
    "load_prompts",
    "make_spec",
    "note_prompt",
    "numbered",
    "one_line",
    "quote",
    "split",
    "unquoted",
    "write_answer",
]
