"""The training loop: the whole table in tensors, indexed in batches, stopped on validation log-loss."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ml.errors import TrainingError
from ml.messages import message
from ml.models.base import OnEpoch
from ml.models.mlp import relu_gradient
from ml.models.mlp.adam import FusedAdam
from ml.models.mlp.checkpoint import Checkpoint
from ml.models.mlp.network import Network
from ml.models.mlp.optimisation import Optimisation, choose_batch, choose_epochs, optimiser_for, rate_at
from ml.models.mlp.tensors import Folds, Table

EVALUATE_ROWS = 8_192  # rows per forward pass where no gradient is kept
LOSS_FLOOR = 1e-15  # of a probability in the log-loss: REPORT_FLOOR of `ml.evaluation.metrics`, which lies above


# numbers, flags, codes, y, weight → logits; the parameters' gradients are filled on the way.
Gradient = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None], Tensor]


@dataclass
class Fitted:
    """What the loop returns: per-epoch figures and the epoch whose weights the network now has."""

    history: list[dict[str, float]]
    best_epoch: int


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
    optimisation: Optimisation,
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
    batch = optimisation.batch_size or choose_batch(rows)
    steps = -(-rows // batch)
    optimiser = optimiser_for(network, optimisation)
    gradient: Gradient
    if relu_gradient.applies(network):
        gradient = relu_gradient.ReluGradient(network, class_weight)
    else:
        gradient = Autograd(network, class_weight, optimisation)
    checkpoint = Checkpoint(network)
    history: list[dict[str, float]] = []
    epochs = optimisation.epochs or choose_epochs(steps)
    permuted: Table | None = None
    for epoch in range(epochs):
        rates = [rate_at(optimisation, (epoch + s / steps) / epochs) for s in range(steps)]
        permuted = table.take(_order(table, folds), permuted)
        figures = _epoch(network, permuted, batch, optimiser, rates, gradient)
        entry = {"epoch": float(epoch), "learning_rate": rates[-1], **figures}
        if not math.isfinite(entry["loss"]):
            known = {"loss": str(entry["loss"]), "epoch": epoch + 1, "rate": optimisation.learning_rate}
            raise TrainingError(message("training.loss", **known))
        judged = _judge(network, table, held, folds)
        entry.update({f"validation_{name}": value for name, value in judged.items()})
        if judged or epoch == epochs - 1:
            checkpoint.update(epoch, judged.get("loss", 0.0))
        history.append(entry)
        if on_epoch is not None:
            on_epoch(entry)
        if judged and optimisation.patience and epoch - checkpoint.epoch >= optimisation.patience:
            break
    checkpoint.restore()
    return Fitted(history, checkpoint.epoch)


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
    gradient: Gradient,
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
        optimiser.step()
        seen[:, start:stop] = logits if len(logits) == len(seen) else logits.mean(dim=0, keepdim=True)
    weight = None if permuted.weight is None else permuted.weight.flatten()
    return _figures(torch.softmax(seen.flatten(0, 1), dim=1), permuted.y.flatten(), weight)


class Autograd:
    """Fills the parameters' gradients for any network, in mixed precision on CUDA."""

    def __init__(self, network: Network, class_weight: Tensor | None, optimisation: Optimisation) -> None:
        self._network, self._class_weight = network, class_weight
        self._mixed = optimisation.mixed_precision == "auto" and next(network.parameters()).device.type == "cuda"

    def __call__(self, numbers: Tensor, flags: Tensor, codes: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        """Logits (k, b, C) of the batch as it was fitted."""
        for parameter in self._network.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()  # in place: they are views of the vector that the optimiser reads
        with torch.autocast("cuda", torch.bfloat16) if self._mixed else contextlib.nullcontext():
            logits: Tensor = self._network(numbers, flags, codes)
        logits = logits.float()
        _loss(logits, y, weight, self._class_weight).backward()  # type: ignore[no-untyped-call]
        return logits.detach()


def _loss(logits: Tensor, y: Tensor, weight: Tensor | None, class_weight: Tensor | None) -> Tensor:
    """Cross-entropy, weighted by class and row; the members' losses are averaged, not their outputs."""
    members = len(logits)
    labels, logits = y.expand(members, -1).flatten(), logits.flatten(0, 1)
    if weight is None:
        return nn.functional.cross_entropy(logits, labels, class_weight)
    each = nn.functional.cross_entropy(logits, labels, class_weight, reduction="none")
    weight = weight.expand(members, -1).flatten()
    mean: Tensor = (each * weight).sum() / weight.sum().clamp_min(1e-12)
    return mean


def _figures(probabilities: Tensor, y: Tensor, weight: Tensor | None) -> dict[str, float]:
    """Log-loss, accuracy and F1 (of the second of two classes, else the mean over classes)."""
    n_classes = probabilities.shape[1]
    of_label = probabilities.gather(1, y.unsqueeze(1)).squeeze(1)
    each = -of_label.clamp_min(LOSS_FLOOR).log().double()
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
