"""A folder or a name -> a model that is ready to step, and what is known of it.

Rules of this file
  * Whatever the model computes that the engine does not is found out here, not in an answer. A
    model must use transformers' attention interface; its layers must be of kinds that the engine
    knows; and a text that is read in pieces, beside another, must give the logits that the
    untouched model gives (`prove`). What fails is refused by name.
  * Frequencies of rotary embeddings that change with the longest text in a batch would make one
    sequence depend on the others. The window of such models ends where they begin to change.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from plait.engines.batching import Vocabulary
from plait.engines.transformers import attention
from plait.engines.transformers.attention import Manner, Survey
from plait.engines.transformers.memory import Shapes
from plait.engines.transformers.spec import Spec
from plait.errors import UsageError

_KINDS = {"full_attention", "sliding_attention", "attention"}
"""Kinds of layers that the engine can step."""
_ELSEWHERE = "Serve it with vLLM or SGLang, and start plait with `--engine http://...`."


@dataclass(frozen=True, slots=True)
class Loaded:
    """``model`` attends over the blocks of a step (`attention`); ``window`` None: its config does
    not say. ``reference``: the untouched model's logits of `probe_ids`."""

    model: Any
    tokenizer: Any
    where: str
    own_name: str | None
    """What plait's own models call themselves in their config."""
    vocabulary: Vocabulary
    window: int | None
    shapes: Shapes
    reference: torch.Tensor
    picks_logits: bool
    """The model can be told at which tokens logits are wanted."""


def load(spec: Spec) -> Loaded:
    """Load what ``spec`` names. Raises `UsageError` for what is not there, no causal language
    model, one that the engine cannot step, or more than the device holds."""
    where = str(Path(spec.where).expanduser()) if Path(spec.where).expanduser().exists() \
        else spec.where
    device = _device(spec.device)
    with _quiet():
        config = _get(where, transformers.AutoConfig)
        if type(config) not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
            raise UsageError(f"{where} is no causal language model but a `{config.model_type}`",
                             hint="The engine runs models that continue a text.")
        text = config.get_text_config()
        _refuse_layers(where, text)
        tokenizer = _get(where, transformers.AutoTokenizer)
        model = _get(where, transformers.AutoModelForCausalLM, dtype=_dtype(spec, config, device))
    if not getattr(model, "_supports_attention_backend", False):
        raise _cannot(where, f"`{type(model).__name__}` has an attention of its own")
    model = _place(model.eval(), device)
    try:
        reference = _logits(model, probe_ids(text.vocab_size))
    except (TypeError, ValueError, RuntimeError) as error:
        raise _cannot(where, f"it does not run ({_line(error)})") from error
    survey = _survey(where, model, text)
    return Loaded(model, tokenizer, where, getattr(config, "plait_model", None),
                  _vocabulary(where, tokenizer, config, model.generation_config),
                  _window(text, tokenizer), survey.shapes, reference,
                  "logits_to_keep" in inspect.signature(model.forward).parameters)


def probe_ids(vocab: int) -> list[int]:
    """A text to try a model with."""
    return [(7 + 31 * k) % vocab for k in range(41)]


def _device(name: str | None) -> torch.device:
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"PyTorch has no device {name!r:.40} here ({_line(error)})",
                         hint="Use `cpu`, or leave `device` out.") from error
    return device


def _dtype(spec: Spec, config: Any, device: torch.device) -> Any:
    """As asked for, else the model's own; few CPUs compute in float16, so it is float32 there."""
    if spec.dtype is not None:
        return getattr(torch, spec.dtype)
    own = getattr(config, "dtype", None)
    return torch.float32 if own == torch.float16 and device.type == "cpu" else own or "auto"


def _get(where: str, kind: Any, **options: object) -> Any:
    """One of transformers' `Auto` classes, made. All that it may raise is about what is there."""
    try:
        return kind.from_pretrained(where, **options)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        local = Path(where).exists()
        raise UsageError(
            f"{where} cannot be loaded ({_line(error)})",
            hint="A model folder holds config.json, *.safetensors and tokenizer.json." if local
            else "It is no folder here, and huggingface.co did not give it.") from error


def _place(model: Any, device: torch.device) -> Any:
    try:
        return model.to(device)
    except RuntimeError as error:
        size = sum(p.numel() * p.element_size() for p in model.parameters()) >> 20
        raise UsageError(f"the model takes {size} MB, which {device} does not have",
                         hint="Use a smaller model, or `device=cpu`.") from error


def _vocabulary(where: str, tokenizer: Any, config: Any, generation: Any) -> Vocabulary:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UsageError(f"the tokenizer of {where} is not one of the `tokenizers` library",
                         hint=_ELSEWHERE)
    ends = {tokenizer.eos_token_id}
    for said in (config.get_text_config().eos_token_id, generation and generation.eos_token_id):
        ends |= set(said) if isinstance(said, list) else {said}
    opening = tokenizer.encode("")
    bos = tokenizer.bos_token_id
    return Vocabulary(
        backend, config.get_text_config().vocab_size, where=f"the tokenizer of {where}",
        bos=bos if bos in opening else None, eos={i for i in ends if i is not None},
        silent={i for i in (bos, tokenizer.pad_token_id) if i is not None})


def _window(text: Any, tokenizer: Any) -> int | None:
    """Tokens of context; see the rules of this file."""
    said = getattr(text, "max_position_embeddings", None)
    limits = [said] if said else []
    if tokenizer.model_max_length < 1 << 30 and not limits:
        limits.append(tokenizer.model_max_length)
    rope = getattr(text, "rope_parameters", None) or {}
    for part in (rope, *rope.values()):
        if isinstance(part, dict) and part.get("rope_type") in ("dynamic", "longrope"):
            limits.append(part.get("original_max_position_embeddings") or said)
    return min(limits, default=None)


# --- what is refused ---------------------------------------------------------------------------


def _refuse_layers(where: str, text: Any) -> None:
    other = set(getattr(text, "layer_types", None) or ()) - _KINDS
    if other:
        raise _cannot(where, f"it has layers of the kind `{min(other)}`")


def _survey(where: str, model: Any, text: Any) -> Survey:
    """Put the engine's attention in the place of the model's, and see what its layers keep."""
    transformers.AttentionInterface.register(attention.NAME, attention.attend)
    survey = Survey()
    try:
        with _quiet():
            model.set_attn_implementation(attention.NAME)
            _logits(model, [0], **{attention.STEP: survey})
    except (KeyError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise _cannot(where, f"its attention cannot be replaced ({_line(error)})") from error
    if len(survey.shapes) != text.num_hidden_layers:
        raise _cannot(where, f"{len(survey.shapes)} of its {text.num_hidden_layers} layers attend")
    _check_windows(where, survey.manners, text)
    return survey


def _check_windows(where: str, manners: dict[int, Manner], text: Any) -> None:
    """A layer that slides must have said so: `prove` is too short to notice."""
    size = getattr(text, "sliding_window", None)
    kinds = getattr(text, "layer_types", None) or ["sliding_attention"] * len(manners)
    for layer, kind in enumerate(kinds):
        if size and kind == "sliding_attention" and manners[layer].window != size:
            raise _cannot(where, f"its layer {layer} does not tell its attention its window")


def prove(loaded: Loaded, found: torch.Tensor) -> None:
    """Raise `UsageError` unless the logits that were ``found`` over blocks are the model's own."""
    reference = loaded.reference
    exact = reference.dtype == torch.float32
    error = float((found.float() - reference.float()).norm() / reference.float().norm())
    if not error < (1e-3 if exact else 0.1):
        raise _cannot(loaded.where, f"over the engine's cache its logits are off by {error:.0%}")


def _cannot(where: str, why: str) -> UsageError:
    return UsageError(f"the `hf:` engine cannot run {where}: {why}", hint=_ELSEWHERE)


# --- small things ------------------------------------------------------------------------------


def _logits(model: Any, ids: list[int], **options: object) -> torch.Tensor:
    """Logits [tokens, vocab] of one text."""
    given = torch.tensor([ids], device=model.device)
    places = torch.arange(len(ids), device=model.device)[None]
    with torch.inference_mode():
        out: torch.Tensor = model(input_ids=given, position_ids=places, use_cache=False,
                                  **options).logits[0]
    return out


def _line(error: BaseException) -> str:
    """The first line of what a library says."""
    words = str(error).strip().splitlines() or [type(error).__name__]
    return words[0].rstrip(".:")[:200]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars and remarks: errors are raised, the rest is noise."""
    log = logging.getLogger("transformers")
    level, bars = log.level, transformers.utils.logging.is_progress_bar_enabled()
    log.setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        log.setLevel(level)
        if bars:
            transformers.utils.logging.enable_progress_bar()
