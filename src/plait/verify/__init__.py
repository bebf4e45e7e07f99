"""Part -> verdict. Verifiers know threads only through `plait.interfaces`."""

from plait.core.part import Part, Verdict
from plait.interfaces import Verifier
from plait.verify.code import Code
from plait.verify.exact import Exact, Function, Puzzle
from plait.verify.judge import Judge
from plait.verify.maths import Math
from plait.verify.sandbox import Limits

__all__ = ["Code", "Exact", "Function", "Judge", "Limits", "Math", "Part", "Puzzle", "Verdict",
           "Verifier"]
