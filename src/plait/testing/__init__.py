"""The testing kit, shipped: a scripted engine, virtual time, a fake upstream.

Use it to test methods, protocols and programs of your own: no model, no network, no waiting.
"""

from plait.testing.clock import run_virtual
from plait.testing.scripted import Play, ScriptedEngine

__all__ = ["Play", "ScriptedEngine", "run_virtual"]
