"""The tasks plait-nano knows: generators, checkers, text forms. Imports nothing of ours."""

from plait.puzzles import countdown, sheet, sheet_trace
from plait.puzzles.countdown import SIZES, Problem, generate, is_hard, search, search_steps, tier_of
from plait.puzzles.countdown_check import Verdict, to_expression
from plait.puzzles.countdown_check import check as check_countdown
from plait.puzzles.countdown_text import parse, read_answer, render, understand
from plait.puzzles.sheet import NotASheet, Sheet
from plait.puzzles.sheet_text import parse_sheet
from plait.puzzles.tasks import CAN_DO, Task, check, pose

__all__ = [
    "CAN_DO",
    "SIZES",
    "NotASheet",
    "Problem",
    "Sheet",
    "Task",
    "Verdict",
    "check",
    "check_countdown",
    "countdown",
    "generate",
    "is_hard",
    "parse",
    "parse_sheet",
    "pose",
    "read_answer",
    "render",
    "search",
    "search_steps",
    "sheet",
    "sheet_trace",
    "tier_of",
    "to_expression",
    "understand",
]
