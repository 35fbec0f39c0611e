"""Layers that hold k members at once, and numerical embeddings.

Notation: k members, N rows, K number columns, T bins. Values are (k, N, ·); a single network (k = 1)
and rows that all members share come as (1, N, ·) and broadcast.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def uniform(*shape: int, fan_in: int) -> nn.Parameter:
    """U(−1/√fan_in, 1/√fan_in): what `nn.Linear` starts from."""
    bound = max(fan_in, 1) ** -0.5
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))


class MemberLinear(nn.Module):
    """A linear layer for each member, (k, N, in) → (k, N, out), as one batched product.

    Parameters
    ----------
    inputs, outputs
        Widths in and out.
    members
        k, of the ensemble.
    """

    def __init__(self, inputs: int, outputs: int, members: int) -> None:
        super().__init__()
        self.weight = uniform(members, inputs, outputs, fan_in=inputs)
        self.bias = uniform(members, 1, outputs, fan_in=inputs)

    def forward(self, x: Tensor) -> Tensor:
        if len(self.weight) == 1:  # a plain product is faster than a batch of one; views cost nothing going back
            return torch.addmm(self.bias.view(-1), x.squeeze(0), self.weight.squeeze(0)).unsqueeze(0)
        return torch.baddbmm(self.bias, x.expand(len(self.weight), -1, -1), self.weight)


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
    """A linear map for each member and column: (·, N, K, in) → (k, N, K, out).

    Parameters
    ----------
    n_numbers
        K, number columns.
    inputs, outputs
        Widths in and out, of each column.
    members
        k, of the ensemble.
    """

    def __init__(self, n_numbers: int, inputs: int, outputs: int, members: int) -> None:
        super().__init__()
        self.weight = uniform(members, n_numbers, inputs, outputs, fan_in=inputs)
        self.bias = uniform(members, 1, n_numbers, outputs, fan_in=inputs)

    def forward(self, x: Tensor) -> Tensor:
        mapped: Tensor = torch.einsum("anki,akio->anko", x.expand(len(self.weight), -1, -1, -1), self.weight)
        return mapped + self.bias


class Piecewise(nn.Module):
    """Piecewise-linear embedding: the encoding, and with `width` > 0 a linear map and ReLU a column.

    Parameters
    ----------
    n_numbers
        K, number columns.
    bins
        T of the encoding.
    width
        Of the embedding of a column; 0: the encoding as it is.
    members
        k, of the ensemble.
    """

    def __init__(self, n_numbers: int, bins: int, width: int, members: int) -> None:
        super().__init__()
        self.encoding = PiecewiseEncoding(n_numbers, bins)
        self.mapping = ColumnLinear(n_numbers, bins + 1, width, members) if width else None
        self.outputs = n_numbers * (width or bins + 1)

    def forward(self, x: Tensor) -> Tensor:
        encoded = self.encoding(x)
        return (encoded if self.mapping is None else torch.relu(self.mapping(encoded))).flatten(-2)
