"""Ways to answer a request, one a file. They know the scheduler only through `interfaces`."""

from plait.methods.native import Native, drive
from plait.methods.sequential import Sequential
from plait.methods.tools import Tools, offer

__all__ = ["Native", "Sequential", "Tools", "drive", "offer"]
