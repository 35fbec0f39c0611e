"""The training loop: the whole table in tensors, indexed in batches, stopped on validation log-loss."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from ml.errors import TrainingError
from ml.models import relu_gradient
from ml.models.adam import FusedAdam
from ml.models.base import OnEpoch
from ml.models.networks import Network
from ml.models.preprocess import Encoded

EVALUATE_ROWS = 8_192  # rows per forward pass where no gradient is kept


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
        """The rows at `index` (k, m), as a copy with the members' axis first."""
        weight = None if self.weight is None else self.weight[index]
        return Table(self.numbers[index], self.flags[index], self.codes[index], self.y[index], weight)

    def part(self, start: int, stop: int) -> Table:
        """Of rows with a members' axis, a view on start … stop − 1."""
        rows = (slice(None), slice(start, stop))
        weight = None if self.weight is None else self.weight[rows]
        # A block without columns is passed on whole: slicing nothing still takes time.
        flags, codes = (t[rows] if t.shape[-1] else t for t in (self.flags, self.codes))
        return Table(self.numbers[rows], flags, codes, self.y[rows], weight)

    def for_all(self) -> Table:
        """The same rows for every member: a members' axis of length 1, without a copy."""
        weight = None if self.weight is None else self.weight[None]
        return Table(self.numbers[None], self.flags[None], self.codes[None], self.y[None], weight)


class Folds(NamedTuple):
    """Cross-fitting: member j trains on `train[j]` and is judged on `held[j]`; every row is held by one member.

    train: (k, m) and held: (k, h) row indices; counted: (k, h), False where a shorter fold was padded.
    """

    train: Tensor
    held: Tensor
    counted: Tensor


# numbers, flags, codes, y, weight → logits; the parameters' gradients are filled on the way.
Gradient = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None], Tensor]


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


def choose_epochs(steps: int) -> int:
    """Epochs by steps an epoch: some hundred steps for small tables, at least 16 passes for large ones.

    Source: our choice, by bench/ablation.py.
    """
    return int(min(max(300 // steps, 16), 60))


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
    recipe: Recipe,
    *,
    held: Table | None = None,
    folds: Folds | None = None,
    class_weight: Tensor | None = None,
    on_epoch: OnEpoch | None = None,
) -> Fitted:
    """Fit in place; where there are rows to judge by, the network ends with the weights of its best epoch.

    Parameters
    ----------
    table
        Training rows.
    held
        Rows outside of `table` to judge the members' mean by.
    folds
        Instead of `held`: each member's own rows to train on and to be judged by.

    Raises
    ------
    TrainingError
        The loss is no longer a finite number.
    """
    rows = folds.train.shape[1] if folds else len(table.y)
    batch = recipe.batch_size or choose_batch(rows)
    steps = -(-rows // batch)
    optimiser = _optimiser(network, recipe)
    gradient: Gradient
    if relu_gradient.applies(network, class_weight, recipe.label_smoothing):
        gradient = relu_gradient.ReluGradient(network, class_weight, recipe.label_smoothing)
    else:
        gradient = Autograd(network, class_weight, recipe)
    averaged = _Average(network, recipe.average) if recipe.average > 0 else None
    best = _Best(network)
    history: list[dict[str, float]] = []
    epochs = recipe.epochs or choose_epochs(steps)
    for epoch in range(epochs):
        rates = [_rate(recipe, (epoch + s / steps) / epochs) for s in range(steps)]
        permuted = table.take(_order(table, folds))
        figures = _epoch(network, permuted, batch, optimiser, rates, recipe, gradient, averaged)
        entry = {"epoch": float(epoch), "learning_rate": rates[-1], **figures}
        if not math.isfinite(entry["loss"]):
            raise TrainingError(
                f"the training loss became {entry['loss']} in epoch {epoch + 1}: expected a finite number; lower "
                f"learning_rate (now {recipe.learning_rate:g}) or set clip_norm"
            )
        with averaged.swapped() if averaged else contextlib.nullcontext():
            judged = _judge(network, table, held, folds)
            entry.update({f"validation_{name}": value for name, value in judged.items()})
            if judged or epoch == epochs - 1:
                best.see(epoch, judged.get("loss", 0.0))
        history.append(entry)
        if on_epoch is not None:
            on_epoch(entry)
        if judged and recipe.patience and epoch - best.epoch >= recipe.patience:
            break
    best.restore()
    return Fitted(history, best.epoch)


def _order(table: Table, folds: Folds | None) -> Tensor:
    """Row indices in a new random order: (1, n) for all members, or (k, m) a member's own."""
    device = table.y.device
    if folds is None:
        return torch.randperm(len(table.y), device=device).unsqueeze(0)
    shuffled = torch.rand(folds.train.shape, device=device).argsort(dim=1)
    return folds.train.gather(1, shuffled)


def _judge(network: Network, table: Table, held: Table | None, folds: Folds | None) -> dict[str, float]:
    """Figures on rows that the judged network did not train on; empty where there are none."""
    if folds is not None:
        rows = table.take(folds.held)
        network.eval()
        with torch.inference_mode():
            each = torch.softmax(network(rows.numbers, rows.flags, rows.codes).float(), dim=-1)
        weight = None if rows.weight is None else rows.weight[folds.counted]
        return _figures(each[folds.counted], rows.y[folds.counted], weight)
    return {} if held is None else _figures(evaluate(network, held), held.y, held.weight)


def evaluate(network: Network, table: Table) -> Tensor:
    """The members' mean probabilities (n, C), without gradient, chunk by chunk."""
    network.eval()
    rows, chunks = table.for_all(), []
    with torch.inference_mode():
        for start in range(0, len(table.y), EVALUATE_ROWS):
            part = rows.part(start, start + EVALUATE_ROWS)
            chunks.append(torch.softmax(network(part.numbers, part.flags, part.codes).float(), dim=-1).mean(dim=0))
    return torch.cat(chunks)


def _epoch(
    network: Network,
    permuted: Table,
    batch: int,
    optimiser: torch.optim.Optimizer | FusedAdam,
    rates: list[float],
    recipe: Recipe,
    gradient: Gradient,
    averaged: _Average | None,
) -> dict[str, float]:
    """One pass over a permuted copy of the rows; the figures are those of the batches as they were fitted."""
    network.train()
    device = permuted.y.device
    seen = torch.empty(*permuted.y.shape, network.architecture.n_classes, device=device)
    for step, rate in enumerate(rates):
        start, stop = step * batch, (step + 1) * batch
        rows = permuted.part(start, stop)
        for group in optimiser.param_groups:
            group["lr"] = rate
        logits = gradient(rows.numbers, rows.flags, rows.codes, rows.y, rows.weight)
        if recipe.clip_norm > 0:
            nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
        optimiser.step()
        if averaged is not None:
            averaged.update()
        seen[:, start:stop] = logits if len(logits) == len(seen) else logits.mean(dim=0, keepdim=True)
    weight = None if permuted.weight is None else permuted.weight.flatten()
    return _figures(torch.softmax(seen.flatten(0, 1), dim=1), permuted.y.flatten(), weight)


class Autograd:
    """Fills the parameters' gradients for any network, in mixed precision on CUDA."""

    def __init__(self, network: Network, class_weight: Tensor | None, recipe: Recipe) -> None:
        self._network, self._class_weight, self._smoothing = network, class_weight, recipe.label_smoothing
        self._mixed = recipe.mixed_precision == "auto" and next(network.parameters()).device.type == "cuda"

    def __call__(self, numbers: Tensor, flags: Tensor, codes: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        """Logits (k, b, C) of the batch as it was fitted."""
        for parameter in self._network.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()  # in place: they are views of the vector that the optimiser reads
        with torch.autocast("cuda", torch.bfloat16) if self._mixed else contextlib.nullcontext():
            logits: Tensor = self._network(numbers, flags, codes)
        logits = logits.float()
        _loss(logits, y, weight, self._class_weight, self._smoothing).backward()  # type: ignore[no-untyped-call]
        return logits.detach()


def _loss(logits: Tensor, y: Tensor, weight: Tensor | None, class_weight: Tensor | None, smoothing: float) -> Tensor:
    """Cross-entropy, weighted by class and row; the members' losses are averaged, not their outputs."""
    members = len(logits)
    labels, logits = y.expand(members, -1).flatten(), logits.flatten(0, 1)
    if weight is None:
        return nn.functional.cross_entropy(logits, labels, class_weight, label_smoothing=smoothing)
    each = nn.functional.cross_entropy(logits, labels, class_weight, label_smoothing=smoothing, reduction="none")
    weight = weight.expand(members, -1).flatten()
    mean: Tensor = (each * weight).sum() / weight.sum().clamp_min(1e-12)
    return mean


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


def _rate(recipe: Recipe, t: float) -> float:
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


def _optimiser(network: Network, recipe: Recipe) -> torch.optim.Optimizer | FusedAdam:
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
