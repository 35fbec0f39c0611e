"""Layers that hold k members at once, and numerical embeddings.

Notation: k members, N rows, K number columns, T bins. Values are (k, N, ·); a single network (k = 1)
and rows that all members share come as (1, N, ·) and broadcast.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def uniform(*shape: int, fan_in: int) -> nn.Parameter:
    """U(−1/√fan_in, 1/√fan_in): what `nn.Linear` starts from."""
    bound = max(fan_in, 1) ** -0.5
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))


class MemberLinear(nn.Module):
    """A linear layer for each member, (k, N, in) → (k, N, out), as one batched product."""

    def __init__(self, inputs: int, outputs: int, members: int) -> None:
        super().__init__()
        self.weight = uniform(members, inputs, outputs, fan_in=inputs)
        self.bias = uniform(members, 1, outputs, fan_in=inputs)

    def forward(self, x: Tensor) -> Tensor:
        if len(self.weight) == 1:  # a plain product is faster than a batch of one; views cost nothing going back
            return torch.addmm(self.bias.view(-1), x.squeeze(0), self.weight.squeeze(0)).unsqueeze(0)
        return torch.baddbmm(self.bias, x.expand(len(self.weight), -1, -1), self.weight)


class SharedLinear(nn.Module):
    """One weight matrix for all members, each with its own input scale, output scale and bias.

    ((x · r_k) W) · s_k + b_k. Only the first layer's r is random (signs), all other scales start at 1.

    Source: Wen et al. 2020 (BatchEnsemble); Gorishniy et al. 2024 (TabM, section 3).
    """

    def __init__(self, inputs: int, outputs: int, members: int, *, first: bool) -> None:
        super().__init__()
        self.weight = uniform(inputs, outputs, fan_in=inputs)
        signs = torch.randint(0, 2, (members, 1, inputs)).float() * 2.0 - 1.0
        self.r = nn.Parameter(signs if first else torch.ones(members, 1, inputs))
        self.s = nn.Parameter(torch.ones(members, 1, outputs))
        self.bias = nn.Parameter(uniform(1, 1, outputs, fan_in=inputs).detach().repeat(members, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.r) @ self.weight * self.s + self.bias


class MemberLayerNorm(nn.Module):
    """Layer normalisation with each member's own scale and shift."""

    def __init__(self, width: int, members: int) -> None:
        super().__init__()
        self.eps = 1e-5
        self.scale = nn.Parameter(torch.ones(members, 1, width))
        self.shift = nn.Parameter(torch.zeros(members, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = nn.functional.layer_norm(x, x.shape[-1:], eps=self.eps) * self.scale + self.shift
        return y


class MemberBatchNorm(nn.Module):
    """Batch normalisation with each member's own statistics."""

    def __init__(self, width: int, members: int) -> None:
        super().__init__()
        self.members = members
        self.norm = nn.BatchNorm1d(width * members)

    def forward(self, x: Tensor) -> Tensor:
        members, rows, width = x.shape
        if self.training and rows < 2:  # a batch of one row has no variance
            return x
        flat = self.norm(x.transpose(0, 1).reshape(rows, members * width))
        y: Tensor = flat.view(rows, members, width).transpose(0, 1)
        return y


class PiecewiseEncoding(nn.Module):
    """Piecewise-linear encoding, (·, N, K) → (·, N, K, T + 1), without learned parameters.

    e_t(x) = clip((x − b_{t−1}) / (b_t − b_{t−1}), 0, 1) for the edges b_0 < … < b_T of T quantile bins,
    and x itself. Departs from the paper: the outer bins are clipped too, so that the code is bounded.

    Source: Gorishniy et al. 2022, On Embeddings for Numerical Features, section 3.2.
    """

    left: Tensor
    rate: Tensor

    def __init__(self, n_numbers: int, bins: int) -> None:
        super().__init__()
        self.register_buffer("left", torch.zeros(n_numbers, bins))
        self.register_buffer("rate", torch.zeros(n_numbers, bins))  # 1 / bin width; 0 where a bin is unused

    def set_edges(self, edges: list[list[float]]) -> None:
        """`edges`: for each column its increasing edges, at most bins + 1 of them."""
        for j, e in enumerate(edges):
            points = torch.tensor(e, dtype=torch.float64)
            self.left[j, : len(e) - 1] = points[:-1].float()
            self.rate[j, : len(e) - 1] = (1.0 / (points[1:] - points[:-1])).float()

    def forward(self, x: Tensor) -> Tensor:
        column = x.unsqueeze(-1)
        return torch.cat([((column - self.left) * self.rate).clamp(0.0, 1.0), column], dim=-1)


class ColumnLinear(nn.Module):
    """A linear map for each member and column: (·, N, K, in) → (k, N, K, out)."""

    def __init__(self, n_numbers: int, inputs: int, outputs: int, members: int) -> None:
        super().__init__()
        self.weight = uniform(members, n_numbers, inputs, outputs, fan_in=inputs)
        self.bias = uniform(members, 1, n_numbers, outputs, fan_in=inputs)

    def forward(self, x: Tensor) -> Tensor:
        mapped: Tensor = torch.einsum("anki,akio->anko", x.expand(len(self.weight), -1, -1, -1), self.weight)
        return mapped + self.bias


class Piecewise(nn.Module):
    """Piecewise-linear embedding: the encoding, and with `width` > 0 a linear map and ReLU a column."""

    def __init__(self, n_numbers: int, bins: int, width: int, members: int) -> None:
        super().__init__()
        self.encoding = PiecewiseEncoding(n_numbers, bins)
        self.mapping = ColumnLinear(n_numbers, bins + 1, width, members) if width else None
        self.outputs = n_numbers * (width or bins + 1)

    def forward(self, x: Tensor) -> Tensor:
        encoded = self.encoding(x)
        return (encoded if self.mapping is None else torch.relu(self.mapping(encoded))).flatten(-2)


class Periodic(nn.Module):
    """Each column beside a linear map of its cosines: [x, W cos(2π (f x + φ)) + b], f and φ learned.

    Source: Holzmüller et al. 2024, Better by Default, section 3 ("PBLD" embeddings).
    """

    def __init__(self, n_numbers: int, frequencies: int, scale: float, width: int, members: int) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.randn(members, 1, n_numbers, frequencies) * scale)
        phase = torch.empty(members, 1, n_numbers, frequencies).uniform_(-math.pi, math.pi)
        self.phase = nn.Parameter(phase)
        self.mapping = ColumnLinear(n_numbers, frequencies, width - 1, members)
        self.outputs = n_numbers * width

    def forward(self, x: Tensor) -> Tensor:
        column = x.unsqueeze(-1)
        mapped = self.mapping(torch.cos(2.0 * math.pi * self.frequency * column + self.phase))
        return torch.cat([column.expand(len(mapped), -1, -1, -1), mapped], dim=-1).flatten(-2)
