"""The network: numerical embeddings, one-hot categories, and a backbone that k members share.

Notation: N rows, K number columns, F inputs after embedding, k members, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import msgspec
import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.01),
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "tanh": nn.Tanh,
}


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that decides the shapes of the network; JSON-able."""

    n_numbers: int
    n_flags: int
    n_levels: int
    n_classes: int
    hidden: tuple[int, ...] = (128, 128)
    activation: str = "relu"
    normalisation: Literal["none", "batch", "layer"] = "none"
    dropout: float = 0.0
    embedding: Literal["none", "piecewise", "periodic"] = "none"
    bins: int = 8  # intervals of a piecewise-linear embedding
    embedding_width: int = 8  # outputs of each number's embedding
    frequencies: int = 8  # of a periodic embedding
    frequency_scale: float = 0.2  # standard deviation of the initial frequencies
    members: int = 1


class Piecewise(nn.Module):
    """Piecewise-linear encoding, then one linear map a column: (N, K) → (N, K, width).

    e_t(x) = clip((x − b_{t−1}) / (b_t − b_{t−1}), 0, 1) for the edges b_0 < … < b_T of T quantile bins.
    Departs from the paper: the outer bins are clipped too, so that the embedding is bounded.
    The column itself goes along, so that order beyond the outer edges is not lost.

    Source: Gorishniy et al. 2022, On Embeddings for Numerical Features, section 3.2.
    """

    left: Tensor
    rate: Tensor

    def __init__(self, n_numbers: int, bins: int, width: int) -> None:
        super().__init__()
        self.register_buffer("left", torch.zeros(n_numbers, bins))
        self.register_buffer("rate", torch.zeros(n_numbers, bins))  # 1 / bin width; 0 where a bin is unused
        self.weight = nn.Parameter(torch.empty(n_numbers, bins + 1, width))
        self.bias = nn.Parameter(torch.empty(n_numbers, width))
        bound = (bins + 1) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def set_edges(self, edges: list[list[float]]) -> None:
        """`edges`: for each column its increasing edges, at most bins + 1 of them."""
        left, rate = torch.zeros_like(self.left), torch.zeros_like(self.rate)
        for j, e in enumerate(edges):
            points = torch.tensor(e, dtype=torch.float64)
            count = len(e) - 1
            left[j, :count] = points[:-1].float()
            rate[j, :count] = (1.0 / (points[1:] - points[:-1])).float()
        self.left, self.rate = left, rate

    def forward(self, x: Tensor) -> Tensor:
        encoded = ((x.unsqueeze(-1) - self.left) * self.rate).clamp(0.0, 1.0)
        encoded = torch.cat([encoded, x.unsqueeze(-1)], dim=-1)
        return torch.relu(torch.einsum("nkt,ktd->nkd", encoded, self.weight) + self.bias)


class Periodic(nn.Module):
    """The column beside a linear map of cosines: (N, K) → (N, K, width).

    [x, W cos(2π (f x + φ)) + b] with learned frequencies f and phases φ: "PBLD".

    Source: Holzmüller et al. 2024, Better by Default, section 3 (PBLD embeddings).
    """

    def __init__(self, n_numbers: int, frequencies: int, scale: float, width: int) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.randn(n_numbers, frequencies) * scale)
        self.phase = nn.Parameter(torch.empty(n_numbers, frequencies).uniform_(-math.pi, math.pi))
        self.weight = nn.Parameter(torch.empty(n_numbers, frequencies, width - 1))
        self.bias = nn.Parameter(torch.empty(n_numbers, width - 1))
        bound = frequencies**-0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        waves = torch.cos(2.0 * math.pi * self.frequency * x.unsqueeze(-1) + self.phase)
        mapped = torch.einsum("nkt,ktd->nkd", waves, self.weight) + self.bias
        return torch.cat([x.unsqueeze(-1), mapped], dim=-1)


class EnsembleLinear(nn.Module):
    """One weight matrix for k members, each with its own input scale, output scale and bias.

    (N, k, in) → (N, k, out): ((x · r_k) W) · s_k + b_k.

    Source: Wen et al. 2020 (BatchEnsemble); Gorishniy et al. 2024, TabM: only the first layer's r is
    random (signs), all other scales start at 1.
    """

    def __init__(self, inputs: int, outputs: int, members: int, *, first: bool) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))
        r = torch.randint(0, 2, (members, inputs)).float() * 2.0 - 1.0 if first else torch.ones(members, inputs)
        self.r = nn.Parameter(r)
        self.s = nn.Parameter(torch.ones(members, outputs))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound).repeat(members, 1))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x * self.r, self.weight) * self.s + self.bias


class MemberHeads(nn.Module):
    """k separate output layers: (N, k, in) → (N, k, C)."""

    def __init__(self, inputs: int, outputs: int, members: int) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("nkd,kdc->nkc", x, self.weight) + self.bias


class Network(nn.Module):
    """Numbers (N, K), flags (N, R) and codes (N, M) to logits: (N, C), or (N, k, C) for k > 1 members."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.embedding: nn.Module | None = None
        width = 1
        if a.n_numbers and a.embedding == "piecewise":
            self.embedding, width = Piecewise(a.n_numbers, a.bins, a.embedding_width), a.embedding_width
        elif a.n_numbers and a.embedding == "periodic":
            width = a.embedding_width
            self.embedding = Periodic(a.n_numbers, a.frequencies, a.frequency_scale, width)
        inputs = a.n_numbers * width + a.n_flags + a.n_levels
        layers: list[nn.Module] = []
        for i, outputs in enumerate(a.hidden):
            layers.append(_linear(inputs, outputs, a.members, first=i == 0))
            if a.normalisation != "none":
                layers.append(_norm(a.normalisation, outputs))
            layers.append(ACTIVATIONS[a.activation]())
            if a.dropout > 0.0:
                layers.append(nn.Dropout(a.dropout))
            inputs = outputs
        self.layers = nn.ModuleList(layers)
        self.head = nn.Linear(inputs, a.n_classes) if a.members == 1 else MemberHeads(inputs, a.n_classes, a.members)

    def inputs(self, numbers: Tensor, flags: Tensor, codes: Tensor) -> Tensor:
        """(N, F): embedded numbers, flags, one-hot levels. A code past the last level is all zeros."""
        parts = []
        if self.architecture.n_numbers:
            parts.append(numbers if self.embedding is None else self.embedding(numbers).flatten(1))
        if self.architecture.n_flags:
            parts.append(flags)
        if self.architecture.n_levels:
            block = numbers.new_zeros(len(codes), self.architecture.n_levels + 1)
            parts.append(block.scatter_(1, codes, 1.0)[:, :-1])
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def forward(self, numbers: Tensor, flags: Tensor, codes: Tensor) -> Tensor:
        x = self.inputs(numbers, flags, codes)
        if self.architecture.members > 1:
            x = x.unsqueeze(1)
        for layer in self.layers:
            x = layer(x)
        if self.architecture.members > 1 and x.shape[1] == 1:  # no hidden layer
            x = x.expand(-1, self.architecture.members, -1)
        logits: Tensor = self.head(x)
        return logits

    def probabilities(self, numbers: Tensor, flags: Tensor, codes: Tensor) -> Tensor:
        """(N, C); the members' mean probability."""
        each = torch.softmax(self(numbers, flags, codes).float(), dim=-1)
        return each if each.ndim == 2 else each.mean(dim=1)

    @property
    def size(self) -> int:
        """Number of learned parameters."""
        return sum(p.numel() for p in self.parameters())


class MemberBatchNorm(nn.BatchNorm1d):
    """Batch normalisation over rows and members alike: (N, k, d) as (N·k, d)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, -2)).view(x.shape)


def _linear(inputs: int, outputs: int, members: int, *, first: bool) -> nn.Module:
    return nn.Linear(inputs, outputs) if members == 1 else EnsembleLinear(inputs, outputs, members, first=first)


def _norm(kind: str, width: int) -> nn.Module:
    return MemberBatchNorm(width) if kind == "batch" else nn.LayerNorm(width)


def architecture_from(values: dict[str, Any]) -> Architecture:
    """Read what `msgspec.to_builtins` wrote."""
    return msgspec.convert(values, Architecture, strict=False)
