"""What engines that run a model in this process have in common; nothing here computes.

    writing    what one request writes: text, stops, its end (decided token by token)
    loop       the worker thread that steps a batch, with asyncio in front of it
    stream     one request as the rest of plait sees it
"""

from plait.engines.local.loop import Worker
from plait.engines.local.stream import Stream
from plait.engines.local.writing import Detokenizer, Output, Piece, Vocabulary, Writing, whole

__all__ = [
    "Detokenizer", "Output", "Piece", "Stream", "Vocabulary", "Worker", "Writing", "whole",
]
