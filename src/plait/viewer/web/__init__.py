"""A run on pages for a browser; served, or as one file."""

from plait.viewer.web.app import viewer_app, viewer_routes
from plait.viewer.web.folder import Folder
from plait.viewer.web.pages import Sheet, alone
from plait.viewer.web.perfetto import perfetto
from plait.viewer.web.source import Entry, Feedback, Filter, Listing, Source, State
from plait.viewer.web.view import View

__all__ = ["Entry", "Feedback", "Filter", "Folder", "Listing", "Sheet", "Source", "State", "View",
           "alone", "perfetto", "viewer_app", "viewer_routes"]
