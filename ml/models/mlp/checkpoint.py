"""Weights kept aside during a fit: those of the best epoch, and a moving average."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ml.models.mlp.network import Network


class Best:
    """The weights of the epoch with the lowest validation log-loss."""

    def __init__(self, network: Network) -> None:
        self._values = [v for v in network.state_dict().values() if v.is_floating_point()]
        self._kept: list[Tensor] | None = None
        self.loss, self.epoch = math.inf, -1

    def see(self, epoch: int, loss: float) -> None:
        if loss < self.loss or self.epoch < 0:
            self.loss, self.epoch = loss, epoch
            self._kept = [v.detach().clone() for v in self._values]

    def restore(self) -> None:
        with torch.no_grad():
            for value, kept in zip(self._values, self._kept or [], strict=self._kept is not None):
                value.copy_(kept)


class Average:
    """Exponential moving average of the weights, with the bias of its start removed by a warm-up."""

    def __init__(self, network: Network, decay: float) -> None:
        self._live = [p.detach() for p in network.parameters()]
        self._mean = [p.detach().clone() for p in network.parameters()]
        self._decay, self._steps = decay, 0

    def update(self) -> None:
        self._steps += 1
        decay = min(self._decay, self._steps / (self._steps + 10.0))
        torch._foreach_lerp_(self._mean, self._live, 1.0 - decay)

    @contextlib.contextmanager
    def swapped(self) -> Iterator[None]:
        live = [p.clone() for p in self._live]
        torch._foreach_copy_(self._live, self._mean)
        try:
            yield
        finally:
            torch._foreach_copy_(self._live, live)
