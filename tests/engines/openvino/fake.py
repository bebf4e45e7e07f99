"""OpenVINO GenAI as far as the engine uses it, on plait-nano's weights in NumPy.

What stands behind the seam computes for real: real tokens, real log-probabilities, shared steps.
"""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from enum import Enum
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from tokenizers import Tokenizer

from plait.core import Sampling
from plait.engines import batching
from plait.engines.local import Piece
from plait.engines.nano import WEIGHTS
from plait.engines.nano.config import read_shape
from plait.engines.nano.forward import NumpyForward
from plait.engines.nano.vocabulary import read_vocabulary
from plait.engines.nano.weights import read_weights

BEGIN, END, PADDING = 0, 1, 2


class Status(Enum):
    RUNNING, FINISHED, IGNORED, CANCEL = range(4)


class FakeConfig:
    """`GenerationConfig`: what is set is kept, and what OpenVINO refuses is refused."""

    def __init__(self) -> None:
        self.stop_token_ids = {END}
        self.eos_token_id = END
        self.ignore_eos = self.do_sample = False
        self.max_new_tokens = self.logprobs = self.rng_seed = self.top_k = 0
        self.temperature = self.top_p = 1.0
        self.min_p = self.presence_penalty = 0.0
        self.structured_output_config: object = None

    def validate(self) -> None:
        if self.do_sample and not 0 <= self.min_p < 1:
            raise RuntimeError("Check failed at config.cpp:5:\nmin_p must be in [0, 1)\n")
        if not -2 <= self.presence_penalty <= 2:
            raise RuntimeError("Check failed at config.cpp:7:\nit must be in [-2, 2]\n")


class FakeTokenizer:
    """Of tags that begin alike it takes the one with the smallest id, as OpenVINO does."""

    def __init__(self, template: str) -> None:
        self.chat_template = template
        self._tokenizer = Tokenizer.from_file(str(WEIGHTS / "tokenizer.json"))
        self._vocabulary = read_vocabulary(WEIGHTS, 482, (END,))
        tags = sorted((i, tag.content) for i, tag in
                      self._tokenizer.get_added_tokens_decoder().items())
        self._cut = re.compile(f"({'|'.join(re.escape(tag) for _, tag in tags)})")

    def encode(self, text: str, *, add_special_tokens: bool) -> Any:
        ids: list[int] = []
        for part in self._cut.split(text):
            ids += self._tokenizer.encode(part, add_special_tokens=False).ids
        return SimpleNamespace(input_ids=SimpleNamespace(data=np.array([ids], np.int64)))

    def decode(self, tokens: Sequence[int], skip_special_tokens: bool) -> str:
        return b"".join(self._bytes(t) for t in tokens).decode("utf-8", "replace")

    def _bytes(self, token: int) -> bytes:
        return self._vocabulary.pieces[token] or self._tokenizer.id_to_token(token).encode()

    def get_vocab(self) -> Mapping[bytes, int]:
        return {self._bytes(i): i for i in range(482)}

    def get_bos_token_id(self) -> int:
        return BEGIN

    def get_eos_token_id(self) -> int:
        return END

    def get_pad_token_id(self) -> int:
        return PADDING

    def apply_chat_template(
        self, history: Sequence[Mapping[str, str]], add_generation_prompt: bool
    ) -> str:
        if history[-1]["role"] == "developer":
            raise RuntimeError("Exception from tokenizer.cpp:855:\nno such role\n")
        return "".join(f"{m['content']}\n" for m in history)


class FakeHandle:
    """A request: what it wrote and nobody has read yet."""

    def __init__(self, ids: list[int], config: FakeConfig) -> None:
        self.sequence = batching.Sequence(ids, Sampling(
            temperature=config.temperature if config.do_sample else 0.0, top_p=config.top_p,
            top_k=config.top_k, min_p=config.min_p, seed=config.rng_seed,
            max_tokens=config.max_new_tokens, ignore_eos=config.ignore_eos,
            logprobs=bool(config.logprobs)))
        self.logprobs = config.logprobs
        self.status = Status.RUNNING
        self._unread: deque[Any] = deque()

    def take(self, piece: Piece) -> None:
        values = piece.logprobs if self.logprobs else (0.0,) * len(piece.ids)
        self._unread.append({0: SimpleNamespace(
            generated_ids=list(piece.ids), generated_log_probs=list(values))})
        if piece.finish is not None:
            self.status = Status.IGNORED if piece.finish == "window" else Status.FINISHED

    def can_read(self) -> bool:
        return bool(self._unread)

    def read(self) -> Mapping[int, Any]:
        found: Mapping[int, Any] = self._unread.popleft()
        return found

    def cancel(self) -> None:
        self.status = Status.CANCEL

    def get_status(self) -> Status:
        return self.status


class FakePipeline:
    """`ContinuousBatchingPipeline`: requests are freed in the step after their end. ``blocks`` of
    16 tokens are its memory. ``broken``: what the next step raises."""

    blocks = 2000
    template = "a template"
    made: ClassVar[list[FakePipeline]] = []

    def __init__(self, path: str, scheduler: Any, device: str, settings: object) -> None:
        self.path, self.scheduler, self.device, self.settings = path, scheduler, device, settings
        shape = read_shape(WEIGHTS)
        forward = NumpyForward(read_weights(WEIGHTS, shape), self.blocks, 16)
        self._batch = batching.Batch(forward, read_vocabulary(WEIGHTS, 482, (END,)), self.blocks)
        self._handles: dict[int, FakeHandle] = {}
        self.configs: list[FakeConfig] = []
        self.scheduled, self.computed = 0, 0
        self.broken: Exception | None = None
        self.made.append(self)

    def get_tokenizer(self) -> FakeTokenizer:
        return FakeTokenizer(self.template)

    def get_config(self) -> FakeConfig:
        return FakeConfig()

    def get_metrics(self) -> Any:
        used = self._batch.statistics().blocks
        return SimpleNamespace(requests=len(self._handles), scheduled_requests=self.scheduled,
                               cache_usage=100 * used.used / used.total)

    def add_request(self, number: int, ids: Any, config: FakeConfig) -> FakeHandle:
        assert number not in self._handles, "a number is used twice"
        handle = FakeHandle(ids[0].tolist(), config)
        self._handles[number] = handle
        self.configs.append(config)
        self._batch.add(handle.sequence)
        return handle

    def has_non_finished_requests(self) -> bool:
        return bool(self._handles)

    def step(self) -> None:
        if self.broken is not None:
            error, self.broken = self.broken, None
            raise error
        for number, handle in list(self._handles.items()):
            if handle.status is not Status.RUNNING:
                self._batch.cancel(handle.sequence)
                del self._handles[number]
        self.scheduled = len(self._handles)
        wrote = {h.sequence: h for h in self._handles.values()}
        for sequence, piece in self._batch.step() if self._handles else ():
            self.computed += piece.tokens
            wrote[sequence].take(piece)
        for number, handle in list(self._handles.items()):
            if handle.status is Status.FINISHED:
                del self._handles[number]


def install(patch: pytest.MonkeyPatch) -> None:
    """Let ``import openvino_genai`` find the above."""
    genai, openvino = ModuleType("openvino_genai"), ModuleType("openvino")
    vars(genai).update(
        SchedulerConfig=SimpleNamespace, ContinuousBatchingPipeline=FakePipeline,
        GenerationConfig=FakeConfig, GenerationStatus=Status,
        StructuredOutputConfig=SimpleNamespace)
    vars(openvino).update(Tensor=lambda array: array)
    patch.setitem(sys.modules, "openvino_genai", genai)
    patch.setitem(sys.modules, "openvino", openvino)
    patch.setattr(FakePipeline, "made", [])
