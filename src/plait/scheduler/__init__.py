"""The only place that starts tasks: thread tree, ledger of budgets, admission."""

from plait.scheduler.admission import Limiter
from plait.scheduler.ledger import Account, Ledger
from plait.scheduler.run import Run

__all__ = ["Account", "Ledger", "Limiter", "Run"]
