"""The command `plait`: one file a command, one place (`plait.cli.main`) where errors end."""

from plait.cli.main import main

__all__ = ["main"]
