"""nano: a Llama model in this process, in NumPy, with paged KV, shared prefixes and batching.

    config, weights, tokens   the model folder
    blocks                    who holds which KV block, and what is in it (pure)
    stage, attention, kernel  the forward step
    sampler                   logits to tokens
    batch                     who runs, step by step (synchronous)
    loop, engine              the worker thread, and the engine in front of it
"""

from plait.engines.nano.batch import BatchStatistics
from plait.engines.nano.engine import WEIGHTS, NanoEngine

__all__ = ["WEIGHTS", "BatchStatistics", "NanoEngine"]
