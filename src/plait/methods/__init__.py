"""Ways to answer a request, one a file. They know the scheduler only through `interfaces`."""

from plait.methods.explore import Explore
from plait.methods.fixed import Fixed
from plait.methods.native import Native, drive
from plait.methods.plan import PlanMethod, PlanOptions
from plait.methods.refine import Refine
from plait.methods.sequential import Sequential
from plait.methods.skeleton import Skeleton
from plait.methods.tools import Tools, offer

__all__ = [
    "Explore",
    "Fixed",
    "Native",
    "PlanMethod",
    "PlanOptions",
    "Refine",
    "Sequential",
    "Skeleton",
    "Tools",
    "drive",
    "offer",
]
