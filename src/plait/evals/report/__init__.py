"""A finished evaluation for people (HTML, Markdown) and for builds (CSV, JSON, conditions)."""

from plait.evals.report.gates import Met, check, measures
from plait.evals.report.write import Report, read_summary, write_report

__all__ = ["Met", "Report", "check", "measures", "read_summary", "write_report"]
