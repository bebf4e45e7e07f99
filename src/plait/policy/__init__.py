"""Whether to go parallel, with which method, and how wide. Pure: load is passed in."""

from plait.policy.choose import choose

__all__ = ["choose"]
