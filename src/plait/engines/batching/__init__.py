"""A step loop for models in this process: paged KV, shared prefixes, requests that come and go.

    blocks        who holds which KV block, and what is in it (pure)
    groups        who shares blocks, and is computed together (pure)
    tokens, draw  text of a stream and its stops; its random numbers
    batch         who runs, step by step (synchronous); `Forward` is the seam to the arithmetic
    loop, engine  the worker thread, and the engine in front of it

An engine brings a `Forward` and a `Vocabulary`, and says how a prompt becomes token ids.
"""

from plait.engines.batching.batch import (
    Batch,
    BatchStatistics,
    Forward,
    Piece,
    Sequence,
    Taken,
)
from plait.engines.batching.blocks import Block, Ledger, Table
from plait.engines.batching.draw import Draw
from plait.engines.batching.engine import BatchEngine
from plait.engines.batching.groups import Key, plan
from plait.engines.batching.tokens import Detokenizer, Vocabulary

__all__ = [
    "Batch", "BatchEngine", "BatchStatistics", "Block", "Detokenizer", "Draw", "Forward", "Key",
    "Ledger", "Piece", "Sequence", "Table", "Taken", "Vocabulary", "plan",
]
