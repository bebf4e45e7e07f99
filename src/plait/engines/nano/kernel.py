"""The forward step: many sequences, some with one new token, some with many, in few large calls.

A call into NumPy costs about a microsecond, so a step is built of calls whose number does not
grow with the batch: all new tokens of all sequences go through each matrix together, and
attention works on groups (see `stage`). Buffers are made once and written with ``out=``.

OpenBLAS copies the whole matrix into its own layout before every product, which for a few rows
takes longer than the product. Up to `FEW` rows each is multiplied by itself instead (GEMV, no
copy), by one call of `matmul` over a stack of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plait.engines.nano.attention import Bundle
from plait.engines.nano.config import Shape
from plait.engines.nano.stage import Indices, Pool
from plait.engines.nano.weights import Floats, Weights

Complexes = NDArray[np.complex64]

FEW = 3
_ROUND = 4
"""OpenBLAS computes four rows at a time; what is left over costs more than four."""
_SIZES_KEPT = 256


@dataclass(frozen=True, slots=True)
class _Buffers:
    """Workspace for a batch of n tokens.

    ``stream`` [n, width] is the residual stream. It is part of ``wide``, whose next column holds
    sqrt(width * eps) for good, so that the sum of squares of a row has the epsilon of RMSNorm in
    it. ``qkv`` keeps every layer's queries, keys and values; ``turns`` are its queries and keys
    as complex numbers, ``kv`` [n, layers, row] its keys and values as the pool holds them.
    """

    wide: Floats
    stream: Floats
    h: Floats
    low: Floats
    power: Floats
    root: Floats
    turn: Complexes
    qkv: Floats
    turns: Complexes
    kv: Floats
    mixed: Floats
    gate_up: Floats
    gate: Floats
    up: Floats
    inner: Floats


def _make_buffers(shape: Shape, n: int) -> _Buffers:
    def floats(*sizes: int) -> Floats:
        return np.zeros(sizes, np.float32)

    depth, pairs = shape.heads * shape.head, shape.head // 2
    wide = floats(n, shape.width + 16)  # 16: rows stay on cache lines
    wide[:, shape.width] = np.sqrt(shape.width * shape.eps)
    qkv = floats(shape.layers, n, depth + shape.row)
    every = qkv.view(np.complex64).reshape(shape.layers, n, -1, pairs)
    gate_up, power = floats(n, 2 * shape.inner), floats(n)
    return _Buffers(
        wide=wide, stream=wide[:, : shape.width], h=floats(n, shape.width),
        low=floats(n, shape.width), power=power, root=power[:, None],
        turn=np.zeros((n, 1, pairs), np.complex64),
        qkv=qkv, turns=every[:, :, : shape.heads + shape.kv_heads],
        kv=qkv[..., depth:].swapaxes(0, 1), mixed=floats(n, depth),
        gate_up=gate_up, gate=gate_up[:, : shape.inner], up=gate_up[:, shape.inner :],
        inner=floats(n, shape.inner),
    )


class Kernel:
    """The model's arithmetic. Not thread-safe: it owns its buffers."""

    def __init__(self, weights: Weights, pool: Pool) -> None:
        self.weights = weights
        self.pool = pool
        self._buffers: dict[int, _Buffers] = {}
        self._scratch: Floats = np.empty(1 << 16, np.float32)

    def run(self, ids: Indices, bundles: Sequence[Bundle], slots: Indices,
            last: Indices) -> Floats:
        """Logits [len(last), vocab] of the batch rows ``last``.

        ``ids``: the new tokens, bundle after bundle; ``slots``: where in the pool each goes.
        """
        weights = self.weights
        count = len(ids)
        b = self._of_size(count if count <= FEW else -(-count // _ROUND) * _ROUND)
        need = max(bundle.scores for bundle in bundles)
        if need > self._scratch.size:
            self._scratch = np.empty(2 * need, np.float32)
        for bundle in bundles:
            bundle.bind(b.qkv, b.mixed, self._scratch)
        places = bundles[0].positions if len(bundles) == 1 else \
            np.concatenate([bundle.positions for bundle in bundles])
        self._compute(b, ids, places, bundles)
        if not all(bundle.sane() for bundle in bundles):
            for bundle in bundles:
                bundle.careful = True
            self._compute(b, ids, places, bundles)
        self.pool.kv[slots] = b.kv[:count]
        for bundle in bundles:
            bundle.finish()
        _normalize(b)
        h = b.h if len(last) == len(b.h) else b.h[last]
        logits = np.empty((len(h), weights.shape.vocab), np.float32)
        multiply(h, weights.output, logits)
        return logits

    def _compute(self, b: _Buffers, ids: Indices, places: Indices,
                 bundles: Sequence[Bundle]) -> None:
        """All layers, from the embedding to the last residual stream."""
        weights, count = self.weights, len(ids)
        b.stream[:count] = weights.embed[ids]
        b.stream[count:] = 0
        b.turn[:count, 0] = weights.turn[places]
        # exp(-gate) may be inf, the quotient is 0 then; what overflows in a softmax is noticed
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for number in range(len(weights.layers)):
                self._layer(number, b, bundles)

    def _layer(self, number: int, b: _Buffers, bundles: Sequence[Bundle]) -> None:
        layer, turns = self.weights.layers[number], b.turns[number]
        stream, gate, inner = b.stream, b.gate, b.inner
        _normalize(b)
        multiply(b.h, layer.qkv, b.qkv[number])
        np.multiply(turns, b.turn, turns)
        for bundle in bundles:
            bundle.attend(number)
        multiply(b.mixed, layer.out, b.low)
        np.add(stream, b.low, stream)
        _normalize(b)
        multiply(b.h, layer.gate_up, b.gate_up)
        np.exp(gate, inner)
        np.add(inner, 1, inner)
        np.multiply(gate, b.up, gate)
        np.divide(gate, inner, inner)
        multiply(inner, layer.down, b.low)
        np.add(stream, b.low, stream)

    def _of_size(self, n: int) -> _Buffers:
        buffers = self._buffers.get(n)
        if buffers is None:
            if len(self._buffers) >= _SIZES_KEPT:
                self._buffers.clear()
            buffers = self._buffers[n] = _make_buffers(self.weights.shape, n)
        return buffers


def _normalize(b: _Buffers) -> None:
    """RMSNorm without its weight and its sqrt(width), which are in the next matrix."""
    _squares(b.wide, b.power)
    np.sqrt(b.power, b.power)
    np.divide(b.stream, b.root, b.h)


def multiply(x: Floats, matrix: Floats, out: Floats) -> None:
    """``out`` = ``x`` @ ``matrix``, in the way that is fastest for so many rows."""
    if 1 < len(x) <= FEW:
        np.matmul(x[:, None], matrix, out[:, None])
    else:
        np.matmul(x, matrix, out)


if hasattr(np, "vecdot"):
    def _squares(x: Floats, out: Floats) -> None:
        """The sum of squares of each row."""
        np.vecdot(x, x, out)
else:  # NumPy 1.26
    def _squares(x: Floats, out: Floats) -> None:
        """The sum of squares of each row."""
        np.einsum("ij,ij->i", x, x, out=out)
