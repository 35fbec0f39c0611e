"""The directly called kernel is PyTorch's Adam, without its import cost."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from ml.models.mlp.adam import FusedAdam


def descend(make: Any) -> torch.Tensor:
    """Twenty updates of two groups under a falling rate."""
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(40)), torch.nn.Parameter(torch.randn(3))]
    for p in parameters:
        p.grad = torch.zeros_like(p)
    optimiser = make(
        [{"params": [parameters[0]], "weight_decay": 0.1}, {"params": [parameters[1]], "weight_decay": 0.0}]
    )
    for i in range(20):
        for group in optimiser.param_groups:
            group["lr"] = 0.1 / (1 + i)
        optimiser.zero_grad(set_to_none=False)
        sum((p**2 + p.sin()).sum() for p in parameters).backward()
        optimiser.step()
    return torch.cat([p.detach() for p in parameters])


@pytest.mark.parametrize("decoupled", [True, False], ids=["AdamW", "Adam"])
def test_same_bits_as_torch(decoupled: bool) -> None:
    """The same updates as `torch.optim`, bit by bit."""
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    ours = descend(lambda g: FusedAdam(g, lr=0.1, betas=(0.9, 0.95), decoupled=decoupled))
    theirs = descend(lambda g: kind(g, lr=0.1, betas=(0.9, 0.95), fused=True))
    assert torch.equal(ours, theirs)


def test_fitting_does_not_import_the_compiler() -> None:
    """`torch._dynamo` costs every process that fits seconds, and is never used."""
    code = (
        "import sys, torch; from ml.models.mlp.adam import FusedAdam; p = torch.nn.Parameter(torch.ones(2)); "
        "p.grad = torch.ones(2); o = FusedAdam([{'params': [p], 'weight_decay': 0.0}], lr=.1, betas=(.9, .99), "
        "decoupled=True); o.step(); o.zero_grad(); print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
