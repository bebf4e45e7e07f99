"""Parts -> one outcome. Merges know threads only through `plait.interfaces`."""

from plait.core.part import Part
from plait.interfaces import Merge

__all__ = ["Merge", "Part"]
