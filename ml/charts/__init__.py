"""The plots that go to MLflow, into the bundle and onto the pages. matplotlib is imported when one is drawn.

Every function returns the picture as bytes (PNG, or SVG with `kind="svg"`). Names of columns and classes
are drawn as they are: `$` starts no formula, and what no font has is a box, not an error.

| module | what is in it |
|---|---|
| `drawing` | What all figures are drawn with |
| `quality` | How good a model is on rows it has not seen: ROC, precision and recall, calibration, confusion |
| `search` | How a model was found: training curves, the search, and what was saved in the end |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.charts.drawing import Kind
from ml.charts.quality import calibration, confusion, precision_recall, roc
from ml.charts.search import comparison, convergence, search_space, structure, training_curves
from ml.decision import Decision, Floats
from ml.schema.schema import Schema
from ml.tuning.trial import Trial

__all__ = [
    "all_figures",
    "calibration",
    "comparison",
    "confusion",
    "convergence",
    "precision_recall",
    "roc",
    "search_space",
    "structure",
    "training_curves",
]


def all_figures(
    *,
    history: Sequence[Mapping[str, float]],
    trials: Sequence[Trial],
    description: Mapping[str, Any],
    probabilities: Floats,
    y: npt.NDArray[np.int64],
    schema: Schema,
    decision: Decision,
    kind: Kind = "png",
) -> dict[str, bytes]:
    """Every figure that there is something to draw for: file name → picture.

    Parameters
    ----------
    history
        Per epoch, of the fitted model; empty for a family that is fitted in one go.
    description
        `describe()` of the model.
    probabilities, y
        (n_rows, n_classes) calibrated probabilities of the test rows, and their codes.
    """
    found = {
        "confusion": confusion(probabilities, y, schema, decision, kind=kind),
        "roc": roc(probabilities, y, schema, kind=kind),
        "precision_recall": precision_recall(probabilities, y, schema, kind=kind),
        "calibration": calibration(probabilities, y, schema, kind=kind),
        "model": structure(description, kind=kind),
    }
    if history:
        found["training_curves"] = training_curves(history, kind=kind)
    if any(trial.loss is not None for trial in trials):
        found["tuning_convergence"] = convergence(trials, kind=kind)
        found["tuning_space"] = search_space(trials, kind=kind)
        found["tuning_comparison"] = comparison(trials, kind=kind)
    return {f"{name}.{kind}": picture for name, picture in found.items()}
