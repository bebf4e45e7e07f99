"""The shape of a Llama model, read from its `config.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from plait.errors import UsageError


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the model. ``head``: width of one attention head; ``window``: positions."""

    vocab: int
    layers: int
    width: int
    heads: int
    kv_heads: int
    head: int
    inner: int
    window: int
    theta: float = 10000.0
    eps: float = 1e-5
    tied: bool = False
    eos: tuple[int, ...] = ()

    @property
    def group(self) -> int:
        """Query heads that share one key-value head."""
        return self.heads // self.kv_heads

    @property
    def row(self) -> int:
        """Floats that one token keeps in one layer: keys of all KV heads, then values."""
        return 2 * self.kv_heads * self.head


def read_json(path: Path) -> dict[str, object]:
    """The JSON object in ``path``. Raises `UsageError` when there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the model file {path} cannot be read ({error.strerror})",
                         hint="A model folder holds config.json, model.safetensors, "
                              "tokenizer.json and tokenizer_config.json.") from None
    except ValueError as error:
        raise UsageError(f"{path} is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path} does not hold a JSON object")
    return value


def read_shape(folder: Path) -> Shape:
    """Read ``folder/config.json``. Raises `UsageError` for what the engine cannot compute."""
    path = folder / "config.json"
    raw = read_json(path)
    _refuse_unknown(path, raw)

    def whole(name: str, default: int | None = None) -> int:
        value = raw.get(name)
        value = default if value is None else value
        if not isinstance(value, int) or value <= 0:
            raise UsageError(f"`{name}` in {path} is {value!r} but must be a whole number above 0")
        return value

    heads, width = whole("num_attention_heads"), whole("hidden_size")
    shape = Shape(
        vocab=whole("vocab_size"),
        layers=whole("num_hidden_layers"),
        width=width,
        heads=heads,
        kv_heads=whole("num_key_value_heads", heads),
        head=whole("head_dim", max(1, width // heads)),
        inner=whole("intermediate_size"),
        window=whole("max_position_embeddings"),
        theta=_number(raw, "rope_theta", _number(_rope(raw), "rope_theta", 10000.0)),
        eps=_number(raw, "rms_norm_eps", 1e-6),
        tied=bool(raw.get("tie_word_embeddings", False)),
        eos=_ids(raw.get("eos_token_id")),
    )
    if shape.heads % shape.kv_heads or shape.head % 2:
        raise UsageError(f"{path}: {shape.heads} heads of width {shape.head} cannot share "
                         f"{shape.kv_heads} key-value heads")
    return shape


def _refuse_unknown(path: Path, raw: dict[str, object]) -> None:
    """Anything that would change the result and is not computed is refused, never ignored."""
    kind = raw.get("model_type")
    wrong = None
    if kind != "llama":
        wrong = f"`model_type` is {kind!r}"
    elif raw.get("hidden_act", "silu") != "silu":
        wrong = f"`hidden_act` is {raw['hidden_act']!r}"
    elif raw.get("attention_bias") or raw.get("mlp_bias"):
        wrong = "it has biases"
    elif _rope(raw).get("rope_type", "default") != "default":
        wrong = f"its rotary scaling is {_rope(raw)['rope_type']!r}"
    if wrong:
        raise UsageError(f"the embedded engine cannot run {path.parent}: {wrong}",
                         hint="It runs plain Llama models. Serve this one with vLLM or llama.cpp "
                              "and start plait with `--engine http://...`.")


def _rope(raw: dict[str, object]) -> dict[str, object]:
    for name in ("rope_parameters", "rope_scaling"):
        value = raw.get(name)
        if isinstance(value, dict):
            return {"rope_type": value.get("type", "default"), **value}
    return {}


def _number(raw: dict[str, object], name: str, default: float) -> float:
    value = raw.get(name, default)
    if not isinstance(value, int | float):
        raise UsageError(f"`{name}` in the model's config is {value!r} but must be a number")
    return float(value)


def _ids(value: object) -> tuple[int, ...]:
    items = value if isinstance(value, list) else [value]
    return tuple(i for i in items if isinstance(i, int))
