"""How a network is fitted: the parameters, and the optimiser, rates and sizes that follow from them."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import msgspec
import torch
from torch import nn

from ml.models.mlp.adam import FusedAdam
from ml.models.mlp.network import Network


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a network is fitted.

    `epochs` at most (0: chosen by the number of steps); `patience` epochs without a better validation
    log-loss end the fit (0: never); `schedule` moves the learning rate over the epochs: "constant",
    "cosine" to zero, "one_cycle" (up for the first tenth, then cosine), "flat_cosine" (constant for
    half, then cosine); `batch_size` 0 chooses by the number of rows; `average` > 0 keeps an exponential
    moving average of the weights with this decay a step and judges that; `clip_norm` bounds the
    gradient's norm (0: not).
    """

    epochs: Annotated[int, msgspec.Meta(ge=0)] = 0
    batch_size: Annotated[int, msgspec.Meta(ge=0)] = 0
    optimiser: Literal["adamw", "adam", "sgd", "nadam", "rmsprop"] = "adamw"
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 3e-3
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 1e-2
    second_momentum: Annotated[float, msgspec.Meta(ge=0, lt=1)] = (
        0.95  # of Adam; RealMLP's 0.95 suits short fits better than 0.999
    )
    schedule: Literal["constant", "cosine", "one_cycle", "flat_cosine"] = "flat_cosine"
    patience: Annotated[int, msgspec.Meta(ge=0)] = 16
    label_smoothing: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    average: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    clip_norm: Annotated[float, msgspec.Meta(ge=0)] = 0.0
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


def rate_at(recipe: Recipe, t: float) -> float:
    """Learning rate when the share t of the fit is done."""
    if recipe.schedule == "cosine":
        scale = 0.5 * (1.0 + math.cos(math.pi * t))
    elif recipe.schedule == "one_cycle":
        scale = 0.04 + 0.96 * t / 0.1 if t < 0.1 else 0.5 * (1.0 + math.cos(math.pi * (t - 0.1) / 0.9))
    elif recipe.schedule == "flat_cosine":
        scale = 1.0 if t < 0.5 else 0.5 * (1.0 + math.cos(math.pi * (t - 0.5) / 0.5))
    else:
        scale = 1.0
    return recipe.learning_rate * scale


def optimiser_for(network: Network, recipe: Recipe) -> torch.optim.Optimizer | FusedAdam:
    """Weight decay touches matrices only: biases and the members' scales are left free."""
    matrices = [p for n, p in network.named_parameters() if n.endswith("weight")]
    chosen = {id(p) for p in matrices}
    others = [p for p in network.parameters() if id(p) not in chosen]
    decays = ((matrices, recipe.weight_decay), (others, 0.0))
    groups: list[dict[str, Any]] = [{"params": [_flat(p)], "weight_decay": decay} for p, decay in decays if p]
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True)
    if recipe.optimiser == "nadam":
        return torch.optim.NAdam(groups, lr=recipe.learning_rate, decoupled_weight_decay=True)
    if recipe.optimiser == "rmsprop":
        return torch.optim.RMSprop(groups, lr=recipe.learning_rate)
    betas = (0.9, recipe.second_momentum)
    if matrices[0].device.type != "mps":
        return FusedAdam(groups, lr=recipe.learning_rate, betas=betas, decoupled=recipe.optimiser == "adamw")
    kind = torch.optim.AdamW if recipe.optimiser == "adamw" else torch.optim.Adam
    return kind(groups, lr=recipe.learning_rate, betas=betas)


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
