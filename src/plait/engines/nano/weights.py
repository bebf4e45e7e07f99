"""Weights as the forward step wants them: fused, folded, side by side in one block of memory.

What is folded away at load time, so that a step has fewer and larger calls:
  * q, k and v are one matrix, gate and up another;
  * the weight of each RMSNorm and its sqrt(width) go into the matrix behind it, which leaves
    x / sqrt(sum(x^2) + width * eps) to compute;
  * 1/sqrt(head) of the attention goes into q;
  * the columns of q and k are put in the order (0, h/2, 1, h/2+1, ...), so that the rotation of
    halves (RoPE as in Hugging Face's Llama, Su et al. 2021) is one complex multiplication.
    Scores are sums over a head, so the same new order in q and k does not change them;
  * gate and up are negated: with n = -g and m = -u, silu(g) * u = n * m / (1 + exp(n)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
from numpy.typing import NDArray

from plait.engines.nano.config import Shape
from plait.errors import UsageError

Floats = NDArray[np.float32]
Tensors = dict[str, Floats]


@dataclass(frozen=True, slots=True)
class Layer:
    """``qkv`` [width, (heads + 2 kv_heads) * head], ``out`` [heads * head, width],
    ``gate_up`` [width, 2 * inner], ``down`` [inner, width]."""

    qkv: Floats
    out: Floats
    gate_up: Floats
    down: Floats


@dataclass(frozen=True, slots=True)
class Weights:
    """``embed`` [vocab, width], ``turn`` [window, head / 2] complex, ``output`` [width, vocab]."""

    shape: Shape
    embed: Floats
    layers: tuple[Layer, ...]
    output: Floats
    turn: NDArray[np.complex64]


def read_weights(folder: Path, shape: Shape) -> Weights:
    """Read ``folder/model.safetensors``. Raises `UsageError` when it does not fit the config."""
    path = folder / "model.safetensors"
    tensors = read_tensors(path)
    try:
        return fuse(shape, tensors)
    except KeyError as error:
        raise UsageError(f"{path} lacks the tensor {error}") from None
    except ValueError as error:
        raise UsageError(f"{path} does not fit its config.json ({error})") from None


def read_tensors(path: Path) -> Tensors:
    """All tensors of a safetensors file, in float32, under their names."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"the weights {path} cannot be read ({error.strerror})",
            hint="A model folder holds all weights in one model.safetensors.") from None
    try:
        entries = safetensors.deserialize(raw)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise UsageError(f"{path} is not a safetensors file ({error})") from None
    return {name: _floats(name, entry) for name, entry in entries}


def _floats(name: str, entry: dict[str, object]) -> Floats:
    kind, shape, data = entry["dtype"], entry["shape"], entry["data"]
    assert isinstance(data, bytes | bytearray)
    assert isinstance(shape, list)
    values: Floats
    if kind == "F32":
        values = np.frombuffer(data, np.float32)
    elif kind == "F16":
        values = np.frombuffer(data, np.float16).astype(np.float32)
    elif kind == "BF16":  # the upper half of a float32
        values = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    else:
        raise UsageError(f"the tensor {name} is of type {kind}",
                         hint="The embedded engine reads F32, F16 and BF16 weights.")
    return values.reshape(shape)


def fuse(shape: Shape, tensors: Tensors) -> Weights:
    """Weights from tensors under Hugging Face names. Raises KeyError and ValueError."""
    prefix = "model." if "model.embed_tokens.weight" in tensors else ""
    width, depth = shape.width, shape.heads * shape.head
    qkv = depth + shape.row
    arena = _Arena(shape, qkv)
    embed = arena.put(tensors[f"{prefix}embed_tokens.weight"], (shape.vocab, width))
    layers = []
    for k in range(shape.layers):
        def at(name: str, k: int = k) -> Floats:
            return tensors[f"{prefix}layers.{k}.{name}.weight"]

        before, after = (math.sqrt(width) * at(n) for n in
                         ("input_layernorm", "post_attention_layernorm"))
        q = _pairs(at("self_attn.q_proj"), shape.heads) / math.sqrt(shape.head)
        parts = [q, _pairs(at("self_attn.k_proj"), shape.kv_heads), at("self_attn.v_proj")]
        gate_up = np.concatenate([at("mlp.gate_proj"), at("mlp.up_proj")])
        layers.append(Layer(
            qkv=arena.put((np.concatenate(parts) * before).T, (width, qkv)),
            out=arena.put(at("self_attn.o_proj").T, (depth, width)),
            gate_up=arena.put((gate_up * -after).T, (width, 2 * shape.inner)),
            down=arena.put(at("mlp.down_proj").T, (shape.inner, width)),
        ))
    head = tensors[f"{prefix}embed_tokens.weight" if shape.tied else "lm_head.weight"]
    norm = math.sqrt(width) * tensors[f"{prefix}norm.weight"]
    return Weights(
        shape, embed, tuple(layers),
        output=arena.put((head * norm).T, (width, shape.vocab)),
        turn=_turn(shape),
    )


def _pairs(matrix: Floats, heads: int) -> Floats:
    """Rows of each head from (0 .. h) to (0, h/2, 1, h/2 + 1, ...)."""
    rows, columns = matrix.shape
    halves = matrix.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def _turn(shape: Shape) -> NDArray[np.complex64]:
    """exp(i * position * theta^(-2k/head)) for every position of the window."""
    rates = shape.theta ** (-np.arange(0, shape.head, 2, dtype=np.float64) / shape.head)
    angles = np.arange(shape.window, dtype=np.float64)[:, None] * rates
    turn: NDArray[np.complex64] = np.exp(1j * angles).astype(np.complex64)
    return turn


class _Arena:
    """One allocation for all weights.

    NumPy asks the kernel for huge pages only for arrays of 4 MB and more; the matrices of a small
    model are smaller one by one, and reading them through 4 KB pages costs 5-10 % of a step.
    """

    def __init__(self, shape: Shape, qkv: int) -> None:
        width, inner = shape.width, shape.inner
        layer = width * (qkv + shape.heads * shape.head + 3 * inner)
        slack = 16 * (4 * shape.layers + 3)
        self._memory = np.empty(shape.layers * layer + 2 * shape.vocab * width + slack, np.float32)
        self._used = -(self._memory.ctypes.data // 4) % 16

    def put(self, matrix: Floats, shape: tuple[int, int]) -> Floats:
        """A copy of ``matrix`` that starts on a cache line. Raises ValueError: wrong shape."""
        if matrix.shape != shape:
            raise ValueError(f"a matrix is {matrix.shape} where the config says {shape}")
        view = self._memory[self._used : self._used + matrix.size].reshape(shape)
        view[...] = matrix
        self._used += -(-matrix.size // 16) * 16
        return view
