"""What the gateway remembers: every run's record, its trace, and what people said of it."""

from plait.server.store.records import Page, RunFilter, RunRecord
from plait.server.store.store import Store, StoreSettings, read_feedback_of
from plait.server.store.writer import Limits

__all__ = ["Limits", "Page", "RunFilter", "RunRecord", "Store", "StoreSettings",
           "read_feedback_of"]
