"""Several replicas of one model behind one engine."""

from plait.engines.pool.engine import PoolEngine

__all__ = ["PoolEngine"]
