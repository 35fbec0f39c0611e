"""`MLPClassifier`: a PyTorch network behind the scikit-learn estimator interface."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import check_is_fitted

from ml.errors import TrainingError
from ml.messages import message
from ml.models.base import Params, check_trainable, encode_labels
from ml.models.estimator import TabularClassifier, Task, restored_params
from ml.models.mlp import training_loop
from ml.models.mlp.layers import Piecewise
from ml.models.mlp.network import Network
from ml.models.mlp.optimisation import Optimisation, choose_batch
from ml.models.mlp.tensors import Folds, Table, quantile_edges, row_weights
from ml.models.onnx.graph import Graph
from ml.models.preprocessing.encoded import Encoded
from ml.models.preprocessing.preprocessor import Preprocessor, as_frame
from ml.models.preprocessing.state import Options
from ml.models.state import Architecture, Arrays, MLPState, Structure

# Seconds of a core for a step and for a row's weight: 23 fits of 451 to 3,000 rows on six tables of bench.tables,
# within a factor of 1.4.
A_STEP, A_WEIGHT = 4.3e-4, 2.0e-10


@dataclass(eq=False, repr=False)
class MLPClassifier(TabularClassifier):
    """A multi-layer perceptron for tables, as strong as two cores can train.

    `MLPClassifier.plain()` is the textbook configuration. The defaults take from RealMLP (robust
    scaling, smooth clipping), deep ensembles and piecewise-linear embeddings what paid in `bench/ablation.py`.

    Parameters
    ----------
    hidden
        Units of each hidden layer; any number of layers, () for none.
    dropout, embedding, bins, embedding_width, members
        See `ml.models.mlp.network.Architecture`.
    epochs, batch_size, optimiser, learning_rate, weight_decay, second_momentum, schedule, patience, mixed_precision
        See `ml.models.mlp.optimisation.Optimisation`.
    cross_fit_rows
        Up to this many rows, and without `validation`, each member trains without its own fold and is
        judged on it: all rows are trained on by all members but one, and all rows say when to stop.
    early_stopping
        Keep the weights of the epoch with the lowest validation log-loss. Rows come from `fit`'s
        `validation`, else a stratified `validation_fraction` of the training rows is held out.
    scaling, clip, clip_at, rare, statistics, dates
        See `ml.models.preprocessing.state.Options`.
    class_weight
        None, "balanced", or a mapping from label to weight.
    classes
        All labels in the order of the probability columns; default: those in y.
    random_state
        Same seed, same data, same threads: same weights, bit for bit.
    device
        "auto" (CUDA, then MPS, then CPU) or a torch device.
    threads
        Threads of torch on the CPU; for networks this small one is as good as two.
    warm_start
        Go on from the fitted weights instead of starting anew: fine-tuning.
    """

    hidden: tuple[int, ...] = (64, 64)
    dropout: float = 0.2
    embedding: str = "piecewise"
    bins: int = 8
    embedding_width: int = 0
    members: int = 5
    cross_fit_rows: int = 20_000
    epochs: int = 0
    batch_size: int = 0
    optimiser: str = "adamw"
    learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    second_momentum: float = 0.95
    schedule: str = "cosine"
    patience: int = 16
    mixed_precision: str = "auto"
    early_stopping: bool = True
    validation_fraction: float = 0.15
    scaling: str = "robust"
    clip: str = "smooth"
    clip_at: float = 3.0
    rare: int = 5
    statistics: int = 0
    class_weight: str | dict[Any, float] | None = None
    classes: tuple[Any, ...] | None = None
    dates: tuple[str, ...] = ()
    random_state: int | None = 0
    device: str = "auto"
    threads: int = 1
    warm_start: bool = False

    network_: Network = field(init=False)

    @classmethod
    def plain(cls, **changes: Any) -> MLPClassifier:
        """The textbook MLP: z-scores, ReLU layers, Adam, nothing else."""
        return cls(**{**PLAIN, **changes})

    def _fit(self, task: Task) -> None:
        going_on = self.warm_start and hasattr(self, "network_")
        optimisation, options = self._optimisation(), self._options()
        classes, codes = task.classes, task.codes
        seed = int(np.random.RandomState(self.random_state).randint(2**31 - 1))
        weight = row_weights(task.weight, len(codes))
        preprocessor = self.preprocessor_ if going_on else Preprocessor(options)
        if going_on:
            rows = preprocessor.transform(task.rows)
        else:
            rows = preprocessor.fit_rows(task.rows, codes, len(classes), weight)
        check_trainable(len(codes), preprocessor.width, codes)
        device = training_loop.resolve_device(self.device)
        with training_loop.reproducible(seed, self.threads):
            judge = self._judge(preprocessor, task, seed)
            if isinstance(judge, np.ndarray):  # a share of the training rows
                held, rest = rows.take(judge), np.setdiff1d(np.arange(len(codes)), judge)
                judge = Table.of(held, codes[judge], None if weight is None else weight[judge], device)
                rows, codes, weight = rows.take(rest), codes[rest], None if weight is None else weight[rest]
            class_weight = self._class_weights(classes, codes, device)
            shares = np.bincount(codes, weight, minlength=len(classes))
            shares = shares if class_weight is None else shares * class_weight.cpu().numpy()
            network = self._network(preprocessor, rows, shares / shares.sum())
            if going_on:
                network.load_state_dict(self.network_.state_dict())
            network.to(device)
            fitted = training_loop.train(
                network,
                Table.of(rows, codes, weight, device),
                optimisation,
                held=judge if isinstance(judge, Table) else None,
                folds=judge.to(device) if isinstance(judge, Folds) else None,
                class_weight=class_weight,
                on_epoch=task.on_epoch,
            )
        self.preprocessor_, self.network_ = preprocessor, network.cpu().eval()
        self.history_, self.best_epoch_ = fitted.history, fitted.best_epoch

    def _optimisation(self) -> Optimisation:
        return _checked({name: getattr(self, name) for name in Optimisation.__struct_fields__}, Optimisation)

    def _options(self) -> Options:
        names = ("scaling", "clip", "clip_at", "rare", "statistics", "dates")
        values = {name: getattr(self, name) for name in names}
        if self.scaling == "none":
            raise TrainingError(message("training.scaling"))
        return _checked(values, Options)

    def _judge(self, preprocessor: Preprocessor, task: Task, seed: int) -> Table | Folds | NDArray[np.int64] | None:
        """What decides when to stop: given rows; folds; the indices of a held-out share of the rows; or nothing."""
        codes = task.codes
        if task.validation is not None:
            rows = preprocessor.transform(as_frame(task.validation[0]))
            held_codes = encode_labels(task.validation[1], task.classes)[1]
            return Table.of(rows, held_codes, None, training_loop.resolve_device(self.device))
        smallest, n_seen = np.bincount(codes)[np.unique(codes)].min(), len(np.unique(codes))
        count = max(round(self.validation_fraction * len(codes)), n_seen)
        if not self.early_stopping or count < 10 or smallest < 2:
            return None
        if self.members > 1 and smallest >= self.members and 10 * self.members <= len(codes) <= self.cross_fit_rows:
            return Folds.stratified(codes, self.members, seed)
        _, held = train_test_split(np.arange(len(codes)), test_size=count, stratify=codes, random_state=seed)
        return np.asarray(held, dtype=np.int64)

    def _network(self, preprocessor: Preprocessor, rows: Encoded, shares: NDArray[np.float64]) -> Network:
        """A network of the right shape with fresh weights; it starts at the classes' shares (C,).

        The edges of a piecewise encoding are quantiles of the training rows.
        """
        state = preprocessor.fitted
        named = {n: getattr(self, n) for n in Architecture.__struct_fields__ if hasattr(self, n)}
        shape = {"n_numbers": rows.numbers.shape[1], "n_flags": len(state.flagged), "n_levels": rows.width}
        architecture = _checked({**named, **shape, "n_classes": len(shares)}, Architecture)
        network = Network(architecture)
        network.start_at(torch.as_tensor(shares))
        if isinstance(network.embedding, Piecewise):
            network.embedding.encoding.set_edges(quantile_edges(rows.numbers, self.bins))
        return network

    def _class_weights(
        self, classes: NDArray[Any], codes: NDArray[np.int64], device: torch.device
    ) -> torch.Tensor | None:
        if self.class_weight is None:
            return None
        if isinstance(self.class_weight, dict):
            values = np.asarray([self.class_weight.get(label, 1.0) for label in classes.tolist()])
        elif self.class_weight == "balanced":
            counts = np.bincount(codes, minlength=len(classes))
            values = len(codes) / (len(classes) * np.maximum(counts, 1))
        else:
            raise TrainingError(message("training.class_weight", got=repr(self.class_weight)))
        return torch.as_tensor(values, dtype=torch.float32, device=device)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(n, C) float64, rows sum to 1."""
        frame = self._rows(X)
        rows = self.preprocessor_.transform(frame)
        with training_loop.reproducible(0, self.threads):
            table = Table.of(rows, np.zeros(len(rows), np.int64), None, torch.device("cpu"))
            probabilities = training_loop.evaluate(self.network_, table).double().numpy()
        return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))

    def cost(self, n_rows: int) -> float:
        """As `TabularClassifier.cost`: by steps and by what a row meets of weights."""
        batch = self.batch_size or choose_batch(n_rows)
        return len(self.history_) * (A_STEP * -(-n_rows // batch) + A_WEIGHT * n_rows * self.network_.size)

    def emit(self, graph: Graph) -> str:
        """Preprocessing and network as ONNX ops."""
        from ml.models.mlp.onnx_export import emit

        return emit(graph, self.preprocessor_, self.network_)

    def describe(self) -> Structure:
        """Architecture, parameter count, and the epoch whose weights were kept."""
        check_is_fitted(self, "network_")
        return Structure(
            family="mlp",
            architecture=self.network_.architecture,
            inputs=self.preprocessor_.width,
            parameters=self.network_.size,
            layers={name: list(p.shape) for name, p in self.network_.named_parameters()},
            best_epoch=self.best_epoch_,
            epochs=len(self.history),
        )

    def to_state(self) -> tuple[MLPState, Arrays]:
        """Record and the network's arrays; `from_state` reads them back."""
        check_is_fitted(self, "network_")
        shape = self.network_.architecture
        state = MLPState(
            **msgspec.structs.asdict(self._common_state()), architecture=shape, best_epoch=self.best_epoch_
        )
        return state, {name: value.numpy() for name, value in self.network_.state_dict().items()}


_Kind = TypeVar("_Kind")

PLAIN: Params = {
    "embedding": "none",
    "members": 1,
    "dropout": 0.0,
    "optimiser": "adam",
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "second_momentum": 0.999,
    "schedule": "constant",
    "scaling": "zscore",
    "clip": "none",
}


def from_state(state: MLPState, arrays: Arrays) -> MLPClassifier:
    """The fitted estimator that `to_state` described; set `warm_start=True` to fine-tune it."""
    model = MLPClassifier(**restored_params(state.params))._restore(state)
    network = Network(state.architecture)
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in arrays.items()})
    model.network_, model.best_epoch_ = network.eval(), state.best_epoch
    return model


def _checked(values: Params, kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise TrainingError(message("training.network_parameters", error=str(error))) from error
