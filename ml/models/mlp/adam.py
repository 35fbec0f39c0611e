"""Adam and AdamW by PyTorch's own fused kernel, called directly.

`torch.optim.AdamW(fused=True)` ends in the same call and gives the same bits. It imports `torch._dynamo` on
its first use, though, which took 2.3 CPU seconds here (torch itself 1.7), in every process that fits; and its
wrappers are a good part of a step on networks as small as ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

EPSILON = 1e-8  # Kingma and Ba 2015


class FusedAdam:
    """The part of `torch.optim.Optimizer` that the training loop uses.

    Parameters
    ----------
    groups
        Mappings with `params` (tensors whose `grad` stays one tensor) and `weight_decay`.
    decoupled
        Weight decay of AdamW (Loshchilov and Hutter 2019); else of Adam.

    Raises
    ------
    KeyError
        A group without one of the two.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], *, lr: float, betas: tuple[float, float], decoupled: bool
    ) -> None:
        self.param_groups = [{**group, "lr": lr} for group in groups]
        self._betas = betas
        self._kernel = torch._fused_adamw_ if decoupled else torch._fused_adam_
        self._state: list[tuple[list[Tensor], list[Tensor], list[Tensor]]] = []
        for group in self.param_groups:
            params = group["params"]
            means, squares = [torch.zeros_like(p) for p in params], [torch.zeros_like(p) for p in params]
            steps = [torch.zeros((), dtype=torch.float32, device=p.device) for p in params]
            self._state.append((means, squares, steps))

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Set the gradients to zero, in place; `set_to_none` is there for the interface and must be False."""
        assert not set_to_none
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.zero_()

    @torch.no_grad()
    def step(self) -> None:
        """One update of every parameter, in place."""
        for group, (means, squares, steps) in zip(self.param_groups, self._state, strict=True):
            torch._foreach_add_(steps, 1)
            self._kernel(
                group["params"],
                [p.grad for p in group["params"]],
                means,
                squares,
                [],
                steps,
                lr=group["lr"],
                beta1=self._betas[0],
                beta2=self._betas[1],
                weight_decay=group["weight_decay"],
                eps=EPSILON,
                amsgrad=False,
                maximize=False,
            )
