"""The training loop: the whole table in tensors, indexed in batches, stopped on validation log-loss."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from ml.errors import TrainingError
from ml.models.base import OnEpoch
from ml.models.networks import Network
from ml.models.preprocess import Encoded

EVALUATE_ROWS = 8_192  # rows per forward pass where no gradient is kept


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a network is fitted.

    `epochs` at most; `patience` epochs without a better validation log-loss end the fit (0: never);
    `schedule` moves the learning rate over `epochs`: "constant", "cosine" to zero, "one_cycle" (up for
    the first tenth, then cosine), "flat_cosine" (constant for half, then cosine); `batch_size` 0
    chooses by the number of rows; `average` > 0 keeps an exponential moving average of the weights
    with this decay a step and evaluates that; `clip_norm` bounds the gradient's norm (0: not).
    """

    epochs: int = 60
    batch_size: int = 0
    optimiser: Literal["adamw", "adam", "sgd", "nadam", "rmsprop"] = "adamw"
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    schedule: Literal["constant", "cosine", "one_cycle", "flat_cosine"] = "flat_cosine"
    patience: int = 16
    label_smoothing: float = 0.0
    average: float = 0.0
    clip_norm: float = 0.0
    mixed_precision: Literal["auto", "off"] = "auto"


class Table(NamedTuple):
    """Rows as tensors on one device. y: (n,) int64; weight: (n,) float32 or None."""

    numbers: Tensor
    flags: Tensor
    codes: Tensor
    y: Tensor
    weight: Tensor | None = None

    @classmethod
    def of(cls, rows: Encoded, y: Any, weight: Any, device: torch.device) -> Table:
        """Move encoded rows to the device; on the CPU nothing is copied."""
        return cls(
            torch.from_numpy(np.ascontiguousarray(rows.numbers)).to(device),
            torch.from_numpy(rows.flags).to(device),
            torch.from_numpy(rows.codes).to(device),
            torch.as_tensor(np.asarray(y, dtype=np.int64), device=device),
            None if weight is None else torch.as_tensor(np.asarray(weight, dtype=np.float32), device=device),
        )

    def take(self, index: Tensor) -> Table:
        """The rows at `index`, as a copy."""
        weight = None if self.weight is None else self.weight[index]
        return Table(self.numbers[index], self.flags[index], self.codes[index], self.y[index], weight)

    def part(self, start: int, stop: int) -> Table:
        """A view on rows start … stop − 1."""
        rows = slice(start, stop)
        weight = None if self.weight is None else self.weight[rows]
        return Table(self.numbers[rows], self.flags[rows], self.codes[rows], self.y[rows], weight)


@dataclass
class Fitted:
    """What the loop returns: per-epoch figures and the epoch whose weights the network now has."""

    history: list[dict[str, float]]
    best_epoch: int


def choose_batch(n_rows: int) -> int:
    """Batch size by table size: about 16 steps an epoch, between 32 and 2,048 rows.

    Source: our choice. Twice the batch is nearly twice the rows per second on a CPU, while small
    tables need steps more than they need large batches.
    """
    ceiling = 256 if n_rows < 20_000 else 1_024 if n_rows < 500_000 else 2_048
    return int(min(max(2 ** round(math.log2(max(n_rows, 1) / 16 + 1)), 32), ceiling))


def resolve_device(device: str) -> torch.device:
    """ "auto" is CUDA where there is one, then Apple's MPS, then the CPU."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@contextlib.contextmanager
def reproducible(seed: int, threads: int) -> Iterator[None]:
    """Seed torch and set its threads for the block; the caller's generator and threads come back after it."""
    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def train(
    network: Network,
    table: Table,
    held: Table | None,
    recipe: Recipe,
    *,
    class_weight: Tensor | None = None,
    on_epoch: OnEpoch | None = None,
) -> Fitted:
    """Fit in place; with `held` rows the network ends with the weights of its best epoch.

    Raises
    ------
    TrainingError
        The loss is no longer a finite number.
    """
    n_rows = len(table.y)
    batch = recipe.batch_size or choose_batch(n_rows)
    steps = -(-n_rows // batch)
    optimiser = _optimiser(network, recipe)
    averaged = _Average(network, recipe.average) if recipe.average > 0 else None
    best = _Best(network)
    history: list[dict[str, float]] = []
    for epoch in range(recipe.epochs):
        rates = [_rate(recipe, epoch + s / steps) for s in range(steps)]
        figures = _epoch(network, table, batch, optimiser, rates, recipe, class_weight, averaged)
        entry = {"epoch": float(epoch), "learning_rate": rates[-1], **figures}
        if not math.isfinite(entry["loss"]):
            raise TrainingError(
                f"the training loss became {entry['loss']} in epoch {epoch + 1}: expected a finite number; lower "
                f"learning_rate (now {recipe.learning_rate:g}) or set clip_norm"
            )
        with averaged.swapped() if averaged else contextlib.nullcontext():
            if held is not None:
                logits = evaluate(network, held)
                entry.update({f"validation_{k}": v for k, v in _figures(logits, held.y, held.weight).items()})
                best.see(epoch, entry["validation_loss"])
            elif averaged and epoch == recipe.epochs - 1:
                best.see(epoch, 0.0)
        history.append(entry)
        if on_epoch is not None:
            on_epoch(entry)
        if held is not None and recipe.patience and epoch - best.epoch >= recipe.patience:
            break
    best.restore()
    return Fitted(history, best.epoch if best.epoch >= 0 else len(history) - 1)


def evaluate(network: Network, table: Table) -> Tensor:
    """Probabilities (n, C) without gradient, chunk by chunk."""
    network.eval()
    with torch.inference_mode():
        chunks = [
            network.probabilities(*table.part(start, start + EVALUATE_ROWS)[:3])
            for start in range(0, len(table.y), EVALUATE_ROWS)
        ]
    return torch.cat(chunks)


def _epoch(
    network: Network,
    table: Table,
    batch: int,
    optimiser: torch.optim.Optimizer,
    rates: list[float],
    recipe: Recipe,
    class_weight: Tensor | None,
    averaged: _Average | None,
) -> dict[str, float]:
    """One pass over a permuted copy of the rows; the figures are those of the batches as they were fitted."""
    network.train()
    n_rows, device = len(table.y), table.y.device
    permuted = table.take(torch.randperm(n_rows, device=device))
    seen = torch.empty(n_rows, network.architecture.n_classes, device=device)
    mixed = recipe.mixed_precision == "auto" and device.type == "cuda"
    for step, rate in enumerate(rates):
        rows = permuted.part(step * batch, (step + 1) * batch)
        for group in optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(device.type, torch.bfloat16) if mixed else contextlib.nullcontext():
            logits = network(rows.numbers, rows.flags, rows.codes)
        logits = logits.float()
        loss = _loss(logits, rows, class_weight, recipe.label_smoothing)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if recipe.clip_norm > 0:
            nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
        optimiser.step()
        if averaged is not None:
            averaged.update()
        logits = logits.detach()
        seen[step * batch : (step + 1) * batch] = logits if logits.ndim == 2 else logits.mean(dim=1)
    return _figures(torch.softmax(seen, dim=1), permuted.y, permuted.weight)


def _loss(logits: Tensor, rows: Table, class_weight: Tensor | None, smoothing: float) -> Tensor:
    """Cross-entropy, weighted by class and row; the members' losses are averaged, not their outputs."""
    y = rows.y
    if logits.ndim == 3:
        y = y.unsqueeze(1).expand(-1, logits.shape[1]).flatten()
        logits = logits.flatten(0, 1)
    if rows.weight is None:
        return nn.functional.cross_entropy(logits, y, class_weight, label_smoothing=smoothing)
    each = nn.functional.cross_entropy(logits, y, class_weight, label_smoothing=smoothing, reduction="none")
    weight = rows.weight if len(each) == len(rows.weight) else rows.weight.repeat_interleave(len(each) // len(rows.y))
    return (each * weight).sum() / weight.sum().clamp_min(1e-12)


def _figures(probabilities: Tensor, y: Tensor, weight: Tensor | None) -> dict[str, float]:
    """Log-loss, accuracy and F1 (of the second of two classes, else the mean over classes)."""
    n_classes = probabilities.shape[1]
    of_label = probabilities.gather(1, y.unsqueeze(1)).squeeze(1)
    each = -of_label.clamp_min(1e-15).log().double()
    guess = probabilities.argmax(dim=1)
    w = torch.ones_like(each) if weight is None else weight.double()
    counts = torch.bincount(y * n_classes + guess, w, minlength=n_classes * n_classes).view(n_classes, n_classes)
    hit = counts.diagonal()
    total = counts.sum(dim=0) + counts.sum(dim=1)
    f1 = torch.where(total > 0, 2.0 * hit / total.clamp_min(1e-12), torch.zeros_like(hit))
    return {
        "loss": float((each * w).sum() / w.sum()),
        "accuracy": float(hit.sum() / w.sum()),
        "f1": float(f1[1] if n_classes == 2 else f1.mean()),
    }


def _rate(recipe: Recipe, progress_epochs: float) -> float:
    """Learning rate after that many epochs (with fraction)."""
    t = progress_epochs / recipe.epochs
    if recipe.schedule == "cosine":
        scale = 0.5 * (1.0 + math.cos(math.pi * t))
    elif recipe.schedule == "one_cycle":
        scale = 0.04 + 0.96 * t / 0.1 if t < 0.1 else 0.5 * (1.0 + math.cos(math.pi * (t - 0.1) / 0.9))
    elif recipe.schedule == "flat_cosine":
        scale = 1.0 if t < 0.5 else 0.5 * (1.0 + math.cos(math.pi * (t - 0.5) / 0.5))
    else:
        scale = 1.0
    return recipe.learning_rate * scale


def _optimiser(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
    """Weight decay touches matrices only: biases and the members' scales are left free."""
    matrices = [p for n, p in network.named_parameters() if n.endswith("weight") and p.ndim > 1]
    chosen = {id(p) for p in matrices}
    others = [p for p in network.parameters() if id(p) not in chosen]
    groups: list[dict[str, Any]] = [{"params": matrices, "weight_decay": recipe.weight_decay}]
    groups += [{"params": others, "weight_decay": 0.0}] if others else []
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True)
    if recipe.optimiser == "nadam":
        return torch.optim.NAdam(groups, lr=recipe.learning_rate, decoupled_weight_decay=True)
    if recipe.optimiser == "rmsprop":
        return torch.optim.RMSprop(groups, lr=recipe.learning_rate)
    kind = torch.optim.AdamW if recipe.optimiser == "adamw" else torch.optim.Adam
    # RealMLP and TabM both use a second momentum below 0.999 or its default; the shorter memory suits short fits.
    return kind(groups, lr=recipe.learning_rate, betas=(0.9, 0.95), fused=matrices[0].device.type != "mps")


class _Best:
    """The weights of the epoch with the lowest validation log-loss."""

    def __init__(self, network: Network) -> None:
        self._values = [v for v in network.state_dict().values() if v.is_floating_point()]
        self._kept: list[Tensor] | None = None
        self.loss, self.epoch = math.inf, -1

    def see(self, epoch: int, loss: float) -> None:
        if loss < self.loss or self.epoch < 0:
            self.loss, self.epoch = loss, epoch
            self._kept = [v.detach().clone() for v in self._values]

    def restore(self) -> None:
        with torch.no_grad():
            for value, kept in zip(self._values, self._kept or [], strict=self._kept is not None):
                value.copy_(kept)


class _Average:
    """Exponential moving average of the weights, with the bias of its start removed by a warm-up."""

    def __init__(self, network: Network, decay: float) -> None:
        self._live = [p.detach() for p in network.parameters()]
        self._mean = [p.detach().clone() for p in network.parameters()]
        self._decay, self._steps = decay, 0

    def update(self) -> None:
        self._steps += 1
        decay = min(self._decay, self._steps / (self._steps + 10.0))
        torch._foreach_lerp_(self._mean, self._live, 1.0 - decay)

    @contextlib.contextmanager
    def swapped(self) -> Iterator[None]:
        live = [p.clone() for p in self._live]
        torch._foreach_copy_(self._live, self._mean)
        try:
            yield
        finally:
            torch._foreach_copy_(self._live, live)
