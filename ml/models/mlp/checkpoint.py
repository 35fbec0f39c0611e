"""A checkpoint in memory: the weights of the best epoch of a fit."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ml.models.mlp.network import Network


class Checkpoint:
    """The weights of the epoch with the lowest validation log-loss."""

    def __init__(self, network: Network) -> None:
        self._values = [v for v in network.state_dict().values() if v.is_floating_point()]
        self._saved: list[Tensor] | None = None
        self.loss, self.epoch = math.inf, -1

    def update(self, epoch: int, loss: float) -> None:
        """Save the network's weights where `loss` is the lowest so far."""
        if loss < self.loss or self.epoch < 0:
            self.loss, self.epoch = loss, epoch
            self._saved = [v.detach().clone() for v in self._values]

    def restore(self) -> None:
        """Give the network the saved weights; without any it stays as it is."""
        with torch.no_grad():
            for value, saved in zip(self._values, self._saved or [], strict=self._saved is not None):
                value.copy_(saved)
