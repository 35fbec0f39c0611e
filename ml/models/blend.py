"""A weighted mean of several candidates' probabilities: what tuning may choose over the single best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from ml.errors import TrainingError
from ml.messages import message
from ml.models.estimator import TabularClassifier, Task
from ml.models.onnx.graph import Graph
from ml.models.state import Arrays, BlendState, Structure
from ml.schema.schema import Schema


@dataclass(eq=False, repr=False)
class BlendClassifier(TabularClassifier):
    """Fits a copy of each member on the same rows; the probabilities' weighted mean is exported as one graph.

    Parameters
    ----------
    members
        Pairs of a member's family name and its unfitted estimator.
    weights
        One a member, none negative; they are scaled to sum to 1.
    """

    members: tuple[tuple[str, Any], ...] = ()
    weights: tuple[float, ...] = ()
    classes: tuple[Any, ...] | None = None

    def _fit(self, task: Task) -> None:
        # `history` is that of the heaviest member that has epochs.
        weights = np.asarray(self.weights, dtype=np.float64)
        if not self.members or len(weights) != len(self.members) or (weights < 0).any() or weights.sum() <= 0:
            raise TrainingError(message("training.blend", members=len(self.members), weights=list(self.weights)))
        labels = task.classes[task.codes]
        members = tuple((family, clone(model)) for family, model in self.members)
        for _, model in members:
            model.fit(task.rows, labels, sample_weight=task.weight, validation=task.validation, on_epoch=task.on_epoch)
        self.members_, self.weights_ = members, weights / weights.sum()
        histories = [members[i][1].history for i in np.argsort(-weights, kind="stable")]
        self.history_ = next((history for history in histories if history), [])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(n, C) float64: the members' weighted mean."""
        frame = self._rows(X)
        total = np.zeros((len(frame), len(self.classes_)))
        for weight, (_, model) in zip(self.weights_, self.members_, strict=True):
            total += weight * model.predict_proba(frame)
        return total

    def cost(self, n_rows: int) -> float:
        """The members' sum."""
        return sum(float(model.cost(n_rows)) for _, model in self.members_)

    def emit(self, graph: Graph) -> str:
        """Each member's ops, then the weighted sum; preprocessing in common is written once."""
        parts = [
            graph.op("Mul", model.emit(graph), graph.float32(weight))
            for weight, (_, model) in zip(self.weights_, self.members_, strict=True)
        ]
        total = parts[0]
        for part in parts[1:]:
            total = graph.op("Add", total, part)
        return total

    def check_schema(self, schema: Schema) -> None:
        """Raises SchemaError when the members were fitted on other columns."""
        for _, model in self.members_:
            model.check_schema(schema)

    def describe(self) -> Structure:
        """The members with their weights, and the number of parameters of all."""
        members = tuple(
            msgspec.structs.replace(model.describe(), weight=float(weight))
            for weight, (_, model) in zip(self.weights_, self.members_, strict=True)
        )
        return Structure(family="blend", parameters=sum(m.parameters for m in members), members=members)

    def to_state(self) -> tuple[BlendState, Arrays]:
        """Record and arrays, each member's under its number."""
        members, arrays = [], {}
        for number, (_, model) in enumerate(self.members_):
            state, own = model.to_state()
            members.append(state)
            arrays.update({f"{number}.{name}": value for name, value in own.items()})
        weights, classes = tuple(self.weights_.tolist()), tuple(self.classes_.tolist())
        return BlendState(members=tuple(members), weights=weights, classes=classes), arrays


def member_arrays(arrays: Arrays, number: int) -> Arrays:
    """The arrays of one member, under the names that its family gave them."""
    prefix = f"{number}."
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def from_state(state: BlendState, members: list[Any]) -> BlendClassifier:
    """The fitted estimator that `to_state` described, around its restored members."""
    families = [str(member.__struct_config__.tag) for member in state.members]
    model = BlendClassifier(tuple(zip(families, members, strict=True)), state.weights, state.classes)
    model.members_ = model.members
    model.weights_, model.classes_ = np.asarray(state.weights), np.asarray(state.classes)
    model.history_, model.n_features_in_ = [], members[0].n_features_in_
    return model
