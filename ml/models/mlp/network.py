"""The network: numbers (scaled or embedded), missing indicators and one-hot levels into hidden layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ml.models.mlp.layers import MemberLinear, Piecewise
from ml.models.state import Architecture


class Network(nn.Module):
    """Numbers (·, N, K), flags (·, N, R) and codes (·, N, M) to logits (k, N, C).

    The first axis has one entry a member, or a single one where all members see the same rows.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.embedding = _embedding(a) if a.n_numbers else None
        embedded = a.n_numbers if self.embedding is None else self.embedding.outputs
        inputs = embedded + a.n_flags + a.n_levels
        layers: list[nn.Module] = []
        for outputs in a.hidden:
            layers += [MemberLinear(inputs, outputs, a.members), nn.ReLU()]
            if a.dropout > 0.0:
                layers.append(nn.Dropout(a.dropout))
            inputs = outputs
        self.layers = nn.ModuleList(layers)
        self.head = MemberLinear(inputs, a.n_classes, a.members)

    def start_at(self, shares: Tensor) -> None:
        """Let the untrained network answer about the classes' shares (C,): no steps are spent on learning them."""
        with torch.no_grad():
            self.head.bias.copy_(shares.clamp_min(1e-6).log().expand_as(self.head.bias))

    def inputs(self, numbers: Tensor, flags: Tensor, codes: Tensor) -> Tensor:
        """(·, N, F): embedded numbers, flags, one-hot levels. A code past the last level is all zeros."""
        parts = []
        if self.architecture.n_numbers:
            parts.append(numbers if self.embedding is None else self.embedding(numbers))
        if self.architecture.n_flags:
            parts.append(flags)
        if self.architecture.n_levels:
            block = numbers.new_zeros(*codes.shape[:-1], self.architecture.n_levels + 1)
            parts.append(block.scatter_(-1, codes, 1.0)[..., :-1])
        if len(parts) == 1:
            return parts[0]
        members = max(len(part) for part in parts)
        return torch.cat([part.expand(members, -1, -1) for part in parts], dim=-1)

    def forward(self, numbers: Tensor, flags: Tensor, codes: Tensor) -> Tensor:
        x = self.inputs(numbers, flags, codes)
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.head(x)
        return logits

    @property
    def size(self) -> int:
        """Number of learned parameters."""
        return sum(p.numel() for p in self.parameters())


def _embedding(a: Architecture) -> Piecewise | None:
    return Piecewise(a.n_numbers, a.bins, a.embedding_width, a.members) if a.embedding == "piecewise" else None
