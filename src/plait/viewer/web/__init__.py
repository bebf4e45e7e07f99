"""A run on pages for a browser."""

from plait.viewer.web.source import Entry, Feedback, Filter, Listing, Source, State

__all__ = ["Entry", "Feedback", "Filter", "Listing", "Source", "State"]
