"""plait-nano on a real server, for benchmarks: those that `tests/live/setup.sh` installs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def serving(name: str, *flags: str) -> Iterator[str]:
    """The address of a server of this ``name`` (``vllm``, ``llamacpp``), started with ``flags`` and
    ended with the block. Exits with one line where it is not installed or does not start."""
    import pytest

    from tests.live import conftest

    start = {"vllm": conftest.start_nano_vllm, "llamacpp": conftest.start_nano_llamacpp}[name]
    try:
        server = start(*flags)
    except (pytest.skip.Exception, pytest.fail.Exception) as error:
        sys.exit(str(error))
    try:
        yield server.url
    finally:
        server.stop()
