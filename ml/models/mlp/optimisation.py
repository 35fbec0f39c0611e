"""The optimisation of a network: its parameters, and the optimiser, learning rates and sizes that follow from them."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import msgspec
import torch
from torch import nn

from ml.models.mlp.adam import FusedAdam
from ml.models.mlp.network import Network


class Optimisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The optimisation of a network: optimiser, learning rate and its schedule, batches, when to stop.

    `epochs` at most (0: chosen by the number of steps); `patience` epochs without a better validation
    log-loss end the fit (0: never); `schedule` moves the learning rate over the epochs: "constant", or
    "cosine" to zero; `batch_size` 0 chooses by the number of rows; `mixed_precision` "auto" computes in
    bfloat16 on CUDA.

    **Source** AdamW: Loshchilov & Hutter 2019; cosine: Loshchilov & Hutter 2017; a second momentum of 0.95 suits
    short fits better than 0.999: RealMLP (Holzmüller et al. 2024). The other defaults are our choice, by
    bench/ablation.py.
    """

    epochs: Annotated[int, msgspec.Meta(ge=0)] = 0
    batch_size: Annotated[int, msgspec.Meta(ge=0)] = 0
    optimiser: Literal["adamw", "adam"] = "adamw"
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 5e-3
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 1e-2
    second_momentum: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.95
    schedule: Literal["constant", "cosine"] = "cosine"
    patience: Annotated[int, msgspec.Meta(ge=0)] = 16
    mixed_precision: Literal["auto", "off"] = "auto"


def choose_batch(n_rows: int) -> int:
    """Batch size by table size: about 16 steps an epoch, between 32 and 2,048 rows.

    Source: our choice. Twice the batch is nearly twice the rows per second on a CPU, while small
    tables need steps more than they need large batches.
    """
    ceiling = 256 if n_rows < 20_000 else 1_024 if n_rows < 500_000 else 2_048
    return int(min(max(2 ** round(math.log2(max(n_rows, 1) / 16 + 1)), 32), ceiling))


def choose_epochs(steps: int) -> int:
    """Epochs by steps an epoch: some hundred steps for small tables, at least 16 passes for large ones.

    Source: our choice, by bench/ablation.py.
    """
    return int(min(max(300 // steps, 16), 60))


def rate_at(optimisation: Optimisation, t: float) -> float:
    """Learning rate of the schedule when the share `t` of the fit, in [0, 1], is done."""
    scale = 0.5 * (1.0 + math.cos(math.pi * t)) if optimisation.schedule == "cosine" else 1.0
    return optimisation.learning_rate * scale


def optimiser_for(network: Network, optimisation: Optimisation) -> torch.optim.Optimizer | FusedAdam:
    """Adam or AdamW over all parameters; weight decay touches matrices only, biases are left free."""
    matrices = [p for n, p in network.named_parameters() if n.endswith("weight")]
    chosen = {id(p) for p in matrices}
    others = [p for p in network.parameters() if id(p) not in chosen]
    decays = ((matrices, optimisation.weight_decay), (others, 0.0))
    groups: list[dict[str, Any]] = [{"params": [_flat(p)], "weight_decay": decay} for p, decay in decays if p]
    betas = (0.9, optimisation.second_momentum)
    if matrices[0].device.type != "mps":
        return FusedAdam(
            groups, lr=optimisation.learning_rate, betas=betas, decoupled=optimisation.optimiser == "adamw"
        )
    kind = torch.optim.AdamW if optimisation.optimiser == "adamw" else torch.optim.Adam
    return kind(groups, lr=optimisation.learning_rate, betas=betas)


def _flat(parameters: list[nn.Parameter]) -> nn.Parameter:
    """One long vector that the parameters, and their gradients, become views of.

    An optimiser step then costs one operation instead of one a parameter: for networks this small
    that is most of its time.
    """
    flat = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
    flat.grad = torch.zeros_like(flat)
    start = 0
    for p in parameters:
        stop = start + p.numel()
        p.data = flat.data[start:stop].view_as(p)
        p.grad = flat.grad[start:stop].view_as(p)
        start = stop
    return flat
