"""Wire formats in which a *model* writes forks and joins: pure text machines, one format a file."""

from plait.protocols.apr import APR
from plait.protocols.threadweaver import ThreadWeaver

__all__ = ["APR", "ThreadWeaver"]
