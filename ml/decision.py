"""From a model's scores to what is answered: calibrated probabilities, then a label.

Light on purpose: the service imports this, so nothing here needs more than NumPy and msgspec.

Every calibration is one formula, softmax(scale · log p + bias) over the classes, so that it is a few
nodes at the end of model.onnx (`ml.models.onnx.calibration`):

===========  ===================================  ================================================
kind         free parameters                      two classes
===========  ===================================  ================================================
none         –                                    p
temperature  one scale (1 / temperature)          log-odds divided by the temperature
sigmoid      one scale, a bias per class          Platt scaling of the log-odds
beta         a scale and a bias per class         beta calibration; vector scaling for more classes
===========  ===================================  ================================================

**Sources**: Guo et al. 2017, "On Calibration of Modern Neural Networks" (temperature, vector scaling);
Platt 1999 (sigmoid); Kull et al. 2017, "Beta calibration".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ml.messages import Message, message
from ml.schema.schema import Schema

Floats = npt.NDArray[np.floating]

# Floor of float32 probabilities, the graph's: below it their logarithm, and log-odds, are noise.
FLOAT32_FLOOR = 1e-7


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """softmax(scale · log(max(p, 1e-7)) + bias); `scale` and `bias` have one entry a class."""

    kind: Literal["none", "temperature", "sigmoid", "beta"] = "none"
    scale: tuple[float, ...] = ()
    bias: tuple[float, ...] = ()

    def apply(self, probabilities: Floats) -> npt.NDArray[np.float64]:
        """Calibrated probabilities.

        Parameters
        ----------
        probabilities
            (n_rows, n_classes), each row summing to 1.

        Returns
        -------
        (n_rows, n_classes) float64, each row summing to 1.

        >>> Calibration(kind="temperature", scale=(0.5, 0.5), bias=(0.0, 0.0)).apply(np.array([[0.2, 0.8]])).round(3)
        array([[0.333, 0.667]])
        """
        p = np.asarray(probabilities, dtype=np.float64)
        if self.kind == "none":
            return p
        return softmax(np.log(np.maximum(p, FLOAT32_FLOOR)) * np.array(self.scale) + np.array(self.bias))


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """How a row of calibrated probabilities becomes a label: the content of decision.json.

    `threshold` is compared with the probability of the schema's positive label (two classes only);
    `costs[j][k]` is the cost of answering class k where j is true (None: every error costs the same);
    `objective` says what the threshold was chosen for, and `calibration` what model.onnx ends with.
    """

    threshold: float | None = None
    calibration: Calibration = Calibration()
    objective: str = "accuracy"
    costs: tuple[tuple[float, ...], ...] | None = None

    def codes(self, probabilities: Floats, schema: Schema) -> npt.NDArray[np.int64]:
        """The class number answered for each row.

        Two classes with a threshold: the positive label where its probability reaches the threshold.
        Otherwise the class with the least expected cost, which without costs is the most probable one.

        Parameters
        ----------
        probabilities
            (n_rows, n_classes), calibrated already: what model.onnx returns.

        Returns
        -------
        (n_rows,) int64

        >>> schema = Schema(target="y", classes=("no", "yes"), positive_label="yes", columns=())
        >>> Decision(threshold=0.3).codes(np.array([[0.65, 0.35], [0.9, 0.1]]), schema)
        array([1, 0])
        """
        p = np.asarray(probabilities)
        if self.threshold is not None and p.shape[1] == 2:
            # In float32, the graph's own precision: what was on the threshold when it was chosen stays there.
            positive = positive_code(schema)
            reached = p[:, positive].astype(np.float32) >= np.float32(self.threshold)
            return np.where(reached, positive, 1 - positive).astype(np.int64)
        if self.costs is not None:
            return np.asarray((p @ np.array(self.costs)).argmin(axis=1), dtype=np.int64)
        return np.asarray(p.argmax(axis=1), dtype=np.int64)

    def code(self, probabilities: Sequence[float], schema: Schema) -> int:
        """As `codes`, for one row of float32 probabilities: the service answers single rows without arrays."""
        if self.threshold is not None and len(probabilities) == 2:
            positive = positive_code(schema)
            return positive if probabilities[positive] >= np.float32(self.threshold) else 1 - positive
        if self.costs is not None:
            return int(self.codes(np.array([probabilities], np.float32), schema)[0])
        return probabilities.index(max(probabilities))

    def to_json(self) -> bytes:
        """The content of decision.json."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)

    @classmethod
    def from_json(cls, text: bytes | str) -> Decision:
        """Read what `to_json` wrote."""
        return msgspec.json.decode(text, type=cls)


def positive_code(schema: Schema) -> int:
    """Class number of the positive label; the last class where none is named."""
    if schema.positive_label in schema.classes:
        return schema.classes.index(schema.positive_label)
    return len(schema.classes) - 1


def sentence(decision: Decision, schema: Schema, base_rate: float | None = None) -> Message:
    """How an answer is made, as page, file, command line and model card say it.

    Parameters
    ----------
    base_rate
        Share of the positive label in the test rows; None where it is not known.

    >>> schema = Schema(target="y", classes=("no", "yes"), positive_label="yes", columns=())
    >>> str(sentence(Decision(threshold=0.225, objective="f1"), schema, 0.24))
    'At 22.5% and more the answer is “yes”, chosen for F1; 24.0% of the test rows are “yes”.'
    """
    if decision.threshold is None or len(schema.classes) != 2:
        return message("evaluation.cheapest" if decision.costs is not None else "evaluation.most_probable")
    known = {
        "threshold": decision.threshold,
        "label": schema.classes[positive_code(schema)],
        "objective": _objective(decision.objective),
    }
    if base_rate is None:
        return message("evaluation.threshold", **known)
    return message("evaluation.threshold_and_base_rate", base_rate=base_rate, **known)


def counts(schema: Schema, precision: float | None, recall: float | None) -> Message | None:
    """Precision and recall as counts of 100; None where there is no positive label.

    Parameters
    ----------
    precision, recall
        Of the positive label, in [0, 1]; None where undefined.
    """
    if precision is None or recall is None or len(schema.classes) != 2:
        return None
    label = schema.classes[positive_code(schema)]
    return message("evaluation.counts", label=label, right=100 * precision, found=100 * recall)


def of_metrics(decision: Decision, schema: Schema, metrics: Mapping[str, Any]) -> list[Message]:
    """`sentence` and `counts` of a version.

    Parameters
    ----------
    metrics
        The content of its metrics.json; an older one may lack the base rate.
    """
    base_rate = metrics.get("no_skill", {}).get("precision") if len(schema.classes) == 2 else None
    measured = metrics.get("metrics", {})
    precision, recall = ((measured.get(name) or {}).get("value") for name in ("precision", "recall"))
    counted = counts(schema, precision, recall)
    return [sentence(decision, schema, base_rate), *([counted] if counted else [])]


def _objective(name: str) -> Message | str:
    match name:
        case "accuracy":
            return message("evaluation.for_accuracy")
        case "balanced_accuracy":
            return message("evaluation.for_balanced_accuracy")
        case "cost":
            return message("evaluation.for_cost")
        case _:
            return "F1" if name == "f1" else name


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rows of (n_rows, n_classes) as probabilities."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
