"""Whether to go parallel, with which method, and how wide. Pure: load is passed in."""

from plait.policy.choose import choose
from plait.policy.file import Expected, PolicyFile, read_policy

__all__ = ["Expected", "PolicyFile", "choose", "read_policy"]
