"""Part -> verdict. Verifiers know threads only through `plait.interfaces`."""

from plait.core.part import Part, Verdict
from plait.interfaces import Verifier

__all__ = ["Part", "Verdict", "Verifier"]
