"""Parts -> one outcome. Merges know threads only through `plait.interfaces`."""

from plait.core.answers import canonical, read_number, read_value
from plait.core.part import Part
from plait.interfaces import Merge
from plait.merge.adaptive import Adaptive, choose_merge
from plait.merge.asking import Best, Concat, Synthesize
from plait.merge.confidence import Confidence
from plait.merge.hierarchical import Hierarchical
from plait.merge.votes import Candidate, Vote, cannot_turn, is_sure, least_votes, tally

__all__ = [
    "Adaptive",
    "Best",
    "Candidate",
    "Concat",
    "Confidence",
    "Hierarchical",
    "Merge",
    "Part",
    "Synthesize",
    "Vote",
    "cannot_turn",
    "canonical",
    "choose_merge",
    "is_sure",
    "least_votes",
    "read_number",
    "read_value",
    "tally",
]
