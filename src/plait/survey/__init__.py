"""What an engine can do and how fast it is, found out by trying; kept, and turned into advice."""

from plait.survey.advice import advice, tokens_per_second
from plait.survey.kept import Profiles, name_of, write_profile
from plait.survey.speed import WIDTHS
from plait.survey.survey import LABELS, Cost, Survey, expected

__all__ = [
    "LABELS",
    "WIDTHS",
    "Cost",
    "Profiles",
    "Survey",
    "advice",
    "expected",
    "name_of",
    "tokens_per_second",
    "write_profile",
]
