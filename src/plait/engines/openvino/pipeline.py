"""The only file that knows OpenVINO GenAI: opening a model, how it is set, what its errors mean.

The package is an extra and is imported when a model is opened. What is used of it is typed here by
hand, so that types are checked where it is not installed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Protocol

import numpy as np

from plait.core import Sampling
from plait.engines.openvino.gguf import Head, read_head
from plait.errors import EngineError, EngineRefused, UsageError

SETTINGS = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
"""Left to itself OpenVINO computes in bfloat16 where a CPU has it, which ends the whole process
with SIGFPE on some; float16 gives garbage there. Keys and values of 8 bits, its default, change
what the model writes."""
STREAMS = 64
STEP_TOKENS = 2048
"""Tokens of one step; longer prompts are read in pieces."""
LONGEST = 1 << 31
"""Tokens that a request may have where neither it nor the model knows a limit."""
PENALTIES = ("presence_penalty", "frequency_penalty", "repetition_penalty")
_IR = ("openvino_model.xml", "openvino_tokenizer.xml", "openvino_detokenizer.xml")


class Tokenizer(Protocol):
    """A tokenizer of OpenVINO GenAI."""

    chat_template: str

    def encode(self, text: str, *, add_special_tokens: bool) -> Any: ...
    def decode(self, tokens: Sequence[int], skip_special_tokens: bool) -> str: ...
    def get_vocab(self) -> Mapping[bytes, int]: ...
    def get_bos_token_id(self) -> int: ...
    def get_eos_token_id(self) -> int: ...
    def get_pad_token_id(self) -> int: ...
    def apply_chat_template(
        self, history: Sequence[Mapping[str, str]], add_generation_prompt: bool
    ) -> str: ...


class Handle(Protocol):
    """A request of OpenVINO GenAI."""

    def can_read(self) -> bool: ...
    def read(self) -> Mapping[int, Any]: ...
    def cancel(self) -> None: ...
    def get_status(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Busy:
    """Requests that the last step worked on, and the share of the memory for keys and values that
    they hold."""

    scheduled: int
    cache: float


class Pipeline:
    """A model, opened. One thread steps it; the tokenizer may be used by any.

    ``memory``: gigabytes for keys and values. ``threads``: None leaves them to OpenVINO.
    Raises `UsageError` for what is no model, or none that it can run.
    """

    def __init__(self, path: Path, *, memory: int, threads: int | None) -> None:
        self.path = path
        self.head = _look(path)
        self._genai = _import()
        scheduler = self._genai.SchedulerConfig()
        scheduler.enable_prefix_caching = True
        scheduler.cache_size = memory
        scheduler.max_num_seqs = STREAMS
        scheduler.max_num_batched_tokens = STEP_TOKENS
        settings: dict[str, object] = dict(SETTINGS)
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            self._pipeline = self._genai.ContinuousBatchingPipeline(
                str(path), scheduler, "CPU", settings)
        except RuntimeError as error:
            raise UsageError(f"OpenVINO cannot run {path}: {_said(error)}",
                             hint=_advice(self.head)) from None
        self.tokenizer: Tokenizer = self._pipeline.get_tokenizer()
        self._numbers = count(1)

    @property
    def name(self) -> str:
        """What the file calls its model, else what the file is called."""
        if self.head is None:
            return self.path.resolve().name
        return self.head.name or self.path.stem

    @property
    def window(self) -> int | None:
        """Tokens that a context may hold, None where the model's files do not say. Raises
        `UsageError` for a configuration that cannot be read."""
        if self.head is not None:
            return self.head.window
        path = self.path / "config.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot read {path}: {error}") from None
        window = found.get("max_position_embeddings") if isinstance(found, dict) else None
        return window if isinstance(window, int) else None

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end a text, by all that the model's files say."""
        config = self._pipeline.get_config()
        found = {*config.stop_token_ids, config.eos_token_id, self.tokenizer.get_eos_token_id()}
        return frozenset(i for i in found if i >= 0) | (self.head.ends if self.head else set())

    def config(self, sampling: Sampling, limit: int | None) -> Any:
        """``sampling`` as OpenVINO wants it. Ends and stops are left out: they are decided on our
        side. Raises `EngineRefused` for what it cannot do."""
        config = self._genai.GenerationConfig()
        config.ignore_eos = True
        config.max_new_tokens = limit or LONGEST
        config.logprobs = int(sampling.logprobs)
        config.do_sample = sampling.temperature > 0 and sampling.top_k != 1 and sampling.min_p < 1
        if config.do_sample:
            seed = Random().getrandbits(63) if sampling.seed is None else sampling.seed
            config.rng_seed = seed % 2**64
            config.temperature, config.top_p = sampling.temperature, sampling.top_p
            config.min_p = sampling.min_p
            if sampling.top_k:
                config.top_k = sampling.top_k
        if sampling.schema is not None:
            config.structured_output_config = self._genai.StructuredOutputConfig(
                json_schema=json.dumps(sampling.schema))
        if sampling.extra.get("logit_bias"):
            raise EngineRefused("OpenVINO knows no `logit_bias`", hint="Leave it out.")
        for name in PENALTIES:
            if (value := sampling.extra.get(name)) is not None:
                if not isinstance(value, int | float):
                    raise EngineRefused(f"`{name}` is {value!r:.40} but must be a number")
                setattr(config, name, value)
        try:
            config.validate()
        except RuntimeError as error:
            raise EngineRefused(f"OpenVINO refuses this sampling: {_said(error)}") from None
        return config

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """``messages`` in the model's chat template, up to where its turn begins. Raises
        `EngineRefused` where the template does not take them."""
        try:
            return self.tokenizer.apply_chat_template(messages, add_generation_prompt=True)
        except RuntimeError as error:
            raise EngineRefused("the model's chat template does not take this conversation:"
                                f" {_said(error)}") from None

    def add(self, ids: Sequence[int], config: Any) -> Handle:
        """A new request; it advances with the next step."""
        tensor = import_module("openvino").Tensor(np.array([ids], np.int64))
        handle: Handle = self._pipeline.add_request(next(self._numbers), tensor, config)
        return handle

    @property
    def busy(self) -> bool:
        """Is there a request that has not ended, or has not been freed?"""
        return bool(self._pipeline.has_non_finished_requests())

    def step(self) -> Busy:
        """One token for every request that has read its prompt. Raises `EngineError`."""
        try:
            self._pipeline.step()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed in a step: {_said(error)}") from error
        metrics = self._pipeline.get_metrics()
        return Busy(metrics.scheduled_requests, metrics.cache_usage / 100)

    def is_ignored(self, handle: Handle) -> bool:
        """Was it given up since the memory cannot hold it, even alone?"""
        return bool(handle.get_status() == self._genai.GenerationStatus.IGNORED)


def _import() -> Any:
    try:
        return import_module("openvino_genai")
    except ImportError:
        raise UsageError("running a GGUF file or an OpenVINO folder takes OpenVINO GenAI",
                         hint="pip install 'plait[openvino]'") from None


def _look(path: Path) -> Head | None:
    """The head of a GGUF file, None for a folder. OpenVINO ends the whole process over some files
    that are not whole, so they are looked at first. Raises `UsageError`."""
    if path.is_file():
        return read_head(path)
    if not path.exists():
        raise UsageError(f"there is no file or folder {path}")
    for name in _IR:
        if not (path / name).exists():
            raise UsageError(
                f"the folder {path} holds no {name}",
                hint="Make it with `optimum-cli export openvino`, or give a GGUF file.")
    return None


def _said(error: Exception) -> str:
    """The last line of what OpenVINO says: above it stands where in its sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else repr(error)


def _advice(head: Head | None) -> str:
    if head is None:
        return ""
    return (f"Its architecture is `{head.values.get('general.architecture')}`, its matrices are"
            f" {', '.join(head.types)}; F16 and Q8_0 of Llama models are known to run.")
