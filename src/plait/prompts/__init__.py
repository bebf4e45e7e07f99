"""Prompts as files, and quoting. See `plait.prompts.library`."""
