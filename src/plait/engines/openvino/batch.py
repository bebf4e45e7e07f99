"""The requests that advance together. Synchronous: the worker's thread owns a `Batch`.

OpenVINO computes, draws and keeps the memory; every token that it gives is looked at here before
the next step, so a request is cancelled with the token that ends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plait.core import Sampling
from plait.engines.local import Output, Piece, Writing
from plait.engines.openvino.pipeline import Busy, Handle, Pipeline
from plait.engines.openvino.vocabulary import Vocabulary
from plait.errors import Bug


class Query(Writing):
    """One request. ``config``: its sampling, as OpenVINO wants it."""

    __slots__ = ("config", "handle", "ids")

    def __init__(self, ids: Sequence[int], sampling: Sampling, config: Any) -> None:
        super().__init__(len(ids), sampling)
        self.ids = ids
        self.config = config
        self.handle: Handle | None = None


class Batch:
    """All requests of a pipeline."""

    def __init__(self, pipeline: Pipeline, vocabulary: Vocabulary, window: int | None) -> None:
        self.load = Busy(0, 0.0)
        self._pipeline = pipeline
        self._vocabulary = vocabulary
        self._window = window
        self._queries: dict[int, Query] = {}
        self._numbers = 0
        self._left = False
        """A request was cancelled: OpenVINO frees it with the next step."""

    @property
    def busy(self) -> bool:
        return bool(self._queries) or self._left

    @property
    def size(self) -> int:
        """Requests that have not ended."""
        return len(self._queries)

    def add(self, query: Query) -> None:
        """Queue a request; the next step begins with it."""
        self._numbers += 1
        query.begin(self._numbers, self._vocabulary, self._window)
        self._queries[query.number] = query

    def cancel(self, query: Query) -> None:
        """Forget a request. Its memory is free before anything is computed again."""
        if self._queries.pop(query.number, None) is not None and query.handle is not None:
            query.handle.cancel()
            self._left = True

    def step(self) -> Output:
        """One token for all that write. Raises `EngineError`."""
        for query in self._queries.values():
            if query.handle is None:
                query.handle = self._pipeline.add(query.ids, query.config)
        self._left = False  # also where this fails, or it would be tried for ever
        self.load = self._pipeline.step()
        output: list[tuple[Writing, Piece]] = []
        for query in list(self._queries.values()):
            output += [(query, piece) for piece in self._read(query)]
        return output

    def _read(self, query: Query) -> list[Piece]:
        """What a request wrote in this step."""
        handle = query.handle
        assert handle is not None
        pieces: list[Piece] = []
        while handle.can_read():
            for part in handle.read().values():
                for token, logprob in zip(
                        part.generated_ids, part.generated_log_probs, strict=True):
                    piece = query.take(token, logprob)
                    if piece is not None:
                        pieces.append(piece)
                        if piece.finish is not None:
                            self.cancel(query)
                            return pieces
        if self._pipeline.is_ignored(handle):
            self.cancel(query)
            pieces.append(query.close("window"))
        return pieces

    def check(self) -> None:
        """Raise `Bug` where OpenVINO has forgotten a request that we wait for."""
        if self._queries and not self._pipeline.busy:
            raise Bug("OpenVINO has ended a request without saying so")
