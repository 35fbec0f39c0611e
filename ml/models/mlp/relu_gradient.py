"""Forward and backward pass of a plain ReLU network, written out.

For networks this small most of a step is autograd's bookkeeping, not arithmetic. The default network
(linear layers, ReLU, dropout, cross-entropy) has a gradient of a few lines, which go straight into the
flat vector that the optimiser reads. Everything else takes autograd; a test holds both to the same
gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ml.models.mlp.layers import MemberLinear, Piecewise
from ml.models.mlp.network import Network


def applies(network: Network) -> bool:
    """Whether the network has no learned embedding and is on the CPU."""
    learned = isinstance(network.embedding, Piecewise) and network.embedding.mapping is not None
    return network.head.weight.device.type == "cpu" and not learned


class ReluGradient:
    """Writes the loss's gradient into the parameters' `grad`, which must be there already.

    The loss is `ml.models.mlp.training_loop._loss`: cross-entropy, weighted by class and row, averaged over members.
    """

    def __init__(self, network: Network, class_weight: Tensor | None) -> None:
        self._network, self._class_weight = network, class_weight
        self._layers = [layer for layer in (*network.layers, network.head) if isinstance(layer, MemberLinear)]
        self._keep = 1.0 - network.architecture.dropout
        self._single = network.architecture.members == 1

    @torch.no_grad()
    def __call__(self, numbers: Tensor, flags: Tensor, codes: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        """Logits (k, b, C) of the batch as it was fitted; y and weight are (k, b), or (1, b) for all members."""
        x = self._network.inputs(numbers, flags, codes)
        inputs: list[Tensor] = []
        for layer in self._layers[:-1]:
            inputs.append(x)
            x = layer(x).relu_()
            if self._keep < 1.0:
                x = nn.functional.dropout(x, 1.0 - self._keep, training=True, inplace=True)
        inputs.append(x)
        logits: Tensor = self._layers[-1](x)
        slope = torch.softmax(logits, dim=-1)
        y = y.expand(len(logits), -1)
        slope.scatter_add_(2, y.unsqueeze(2), slope.new_full((1, 1, 1), -1.0).expand(*y.shape, 1))
        self._weigh(slope, y, weight)
        self._backward(inputs, slope)
        return logits

    def _weigh(self, slope: Tensor, y: Tensor, weight: Tensor | None) -> None:
        each = None if self._class_weight is None else self._class_weight[y]
        if weight is None:
            total = y.numel() if each is None else each.sum()
            slope.div_(total) if each is None else slope.mul_((each / total).unsqueeze(2))
            return
        weight = weight.expand_as(y)
        share = weight / weight.sum().clamp_min(1e-12)
        slope.mul_((share if each is None else share * each).unsqueeze(2))

    def _backward(self, inputs: list[Tensor], slope: Tensor) -> None:
        """From the slope at the logits to every weight and bias."""
        for i in range(len(self._layers) - 1, -1, -1):
            layer, x = self._layers[i], inputs[i]
            weight, bias = layer.weight.grad, layer.bias.grad
            assert weight is not None
            assert bias is not None
            torch.sum(slope, dim=1, keepdim=True, out=bias)
            if self._single:
                torch.mm(x[0].t(), slope[0], out=weight[0])
            else:
                torch.bmm(x.expand(len(slope), -1, -1).transpose(1, 2), slope, out=weight)
            if i == 0:
                return
            if self._single:
                slope = torch.mm(slope[0], layer.weight[0].t()).unsqueeze(0)
            else:
                slope = torch.bmm(slope, layer.weight.transpose(1, 2))
            # x is max(h, 0) · mask / keep: where it is 0, nothing flows back.
            slope = torch.ops.aten.threshold_backward(slope, x, 0.0)
            if self._keep < 1.0:
                slope.div_(self._keep)
