"""nano: a Llama model in this process, in NumPy, on the batch of `plait.engines.batching`.

    config, weights, vocabulary   the model folder
    stage, attention, kernel      the arithmetic of a step
    sampler                       logits to tokens
    forward                       what is computed with what
    engine                        the engine
"""

from plait.engines.nano.engine import WEIGHTS, NanoEngine

__all__ = ["WEIGHTS", "NanoEngine"]
