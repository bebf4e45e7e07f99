"""Suites that others can run against what they built."""
