"""Plan, run side by side, verify, merge: the method for models that were never trained to fork."""

from plait.methods.plan.job import PlanOptions
from plait.methods.plan.method import PlanMethod

__all__ = ["PlanMethod", "PlanOptions"]
