"""The written-out gradient against autograd's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ml.models.mlp import relu_gradient, training_loop
from ml.models.mlp.network import Network
from ml.models.mlp.optimisation import Optimisation
from ml.models.state import Architecture


def gradients(
    network: Network, gradient: training_loop.Gradient, batch: tuple[Any, ...], seed: int = 3
) -> list[torch.Tensor]:
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)  # must be overwritten, not added to
    torch.manual_seed(seed)
    network.train()
    gradient(*batch)
    return [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("own_rows", [False, True], ids=["shared rows", "own rows"])
@pytest.mark.parametrize("weighted", [None, "rows", "classes", "both"])
@pytest.mark.parametrize("hidden", [(), (5,), (6, 4)], ids=str)
def test_equals_autograd(members: int, own_rows: bool, weighted: str | None, hidden: Any) -> None:
    torch.manual_seed(0)
    network = Network(
        Architecture(
            n_numbers=3,
            n_flags=1,
            n_levels=4,
            n_classes=3,
            hidden=hidden,
            embedding="piecewise",
            bins=2,
            members=members,
        )
    )
    leading = members if own_rows else 1
    batch = (
        torch.randn(leading, 11, 3),
        torch.randint(0, 2, (leading, 11, 1)).float(),
        torch.randint(0, 5, (leading, 11, 1)),
        torch.randint(0, 3, (leading, 11)),
        torch.rand(leading, 11) if weighted in ("rows", "both") else None,
    )
    class_weight = torch.tensor([1.0, 2.0, 0.5]) if weighted in ("classes", "both") else None
    assert relu_gradient.applies(network)
    expected = gradients(network, training_loop.Autograd(network, class_weight, Optimisation()), batch)
    found = gradients(network, relu_gradient.ReluGradient(network, class_weight), batch)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("members", [1, 3])
def test_equals_autograd_with_dropout(members: int) -> None:
    """The same generator draws the same masks."""
    torch.manual_seed(0)
    network = Network(
        Architecture(n_numbers=3, n_flags=0, n_levels=0, n_classes=2, hidden=(6, 4), dropout=0.4, members=members)
    )
    empty = torch.zeros(1, 20, 0)
    batch = (torch.randn(1, 20, 3), empty, empty.long(), torch.randint(0, 2, (1, 20)), None)
    expected = gradients(network, training_loop.Autograd(network, None, Optimisation()), batch)
    found = gradients(network, relu_gradient.ReluGradient(network, None), batch)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_a_learned_embedding_takes_autograd() -> None:
    shape = {"n_numbers": 3, "n_flags": 0, "n_levels": 0, "n_classes": 2}
    assert not relu_gradient.applies(Network(Architecture(**shape, embedding="piecewise", embedding_width=3)))
    assert relu_gradient.applies(Network(Architecture(**shape, embedding="piecewise")))
