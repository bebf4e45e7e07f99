"""A step loop for models in this process: paged KV, shared prefixes, requests that come and go.

    blocks        who holds which KV block, and what is in it (pure)
    groups        who shares blocks, and is computed together (pure)
    tokens, draw  text to ids and back; the random numbers of a sequence
    batch         who runs, step by step (synchronous); `Forward` is the seam to the arithmetic
    engine        the engine in front of it, on the worker thread of `plait.engines.local`

An engine brings a `Forward` and a `Vocabulary`, and says how a prompt becomes token ids.
"""

from plait.engines.batching.batch import (
    Batch,
    BatchStatistics,
    Forward,
    Sequence,
    Taken,
)
from plait.engines.batching.blocks import Block, Ledger, Table
from plait.engines.batching.draw import Draw
from plait.engines.batching.engine import BatchEngine
from plait.engines.batching.groups import Key, plan
from plait.engines.batching.tokens import Vocabulary

__all__ = [
    "Batch", "BatchEngine", "BatchStatistics", "Block", "Draw", "Forward", "Key",
    "Ledger", "Sequence", "Table", "Taken", "Vocabulary", "plan",
]
