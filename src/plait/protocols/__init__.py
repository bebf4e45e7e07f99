"""Wire formats in which a *model* writes forks and joins: pure text machines, one format a file."""

from plait.protocols.apr import APR
from plait.protocols.asyncthink import AsyncThink
from plait.protocols.blocks import BlockFormat
from plait.protocols.catalogue import (
    CATALOGUE,
    REFUSED,
    Known,
    Refused,
    look_up,
    recognise,
    refusal,
)
from plait.protocols.facts import Facts, has_system, prepare, read_answer
from plait.protocols.threadweaver import ThreadWeaver

__all__ = [
    "APR",
    "CATALOGUE",
    "REFUSED",
    "AsyncThink",
    "BlockFormat",
    "Facts",
    "Known",
    "Refused",
    "ThreadWeaver",
    "has_system",
    "look_up",
    "prepare",
    "read_answer",
    "recognise",
    "refusal",
]
