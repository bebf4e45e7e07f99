"""Muon for the matrices, AdamW for the embedding and the norms.

Muon (Jordan et al. 2024) replaces a matrix's momentum by the nearest orthogonal matrix, found by a
few Newton-Schulz steps; here all matrices of one shape are done in one batched product, and the
workers of a run each do their part of them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Share = Callable[[Tensor], None]
"""Adds up a tensor over all workers, in place."""


def orthogonal(g: Tensor, steps: int = 5) -> Tensor:
    """Nearly orthogonal matrices, batch first; rows at most columns."""
    x = g / (g.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return x


class Muon(torch.optim.Optimizer):
    def __init__(
        self, weights: list[nn.Parameter], lr: float, momentum: float = 0.95,
        rank: int = 0, workers: int = 1, add_up: Share | None = None,
    ) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum})
        self.rank, self.workers, self.add_up = rank, workers, add_up

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = {}
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                update = weight.grad.lerp(state["momentum"], group["momentum"])
                update = update if update.shape[0] <= update.shape[1] else update.mT
                shapes.setdefault(tuple(update.shape), []).append((weight, update))
            for pairs in shapes.values():
                updates = torch.stack([u for _, u in pairs])
                turned = torch.zeros_like(updates)
                mine = slice(self.rank, None, self.workers)
                if len(updates[mine]):
                    turned[mine] = orthogonal(updates[mine])
                if self.add_up is not None:
                    self.add_up(turned)
                for (weight, _), update in zip(pairs, turned, strict=True):
                    rows, columns = weight.shape
                    update = update if update.shape == weight.shape else update.mT
                    weight.add_(update, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)
