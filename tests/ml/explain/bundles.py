"""A small bundle of each family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml.bundle import writer
from ml.bundle.reader import Bundle
from ml.decision import Decision
from ml.schema.schema import Column, Schema
from ml.training.candidate import CandidateSpec, fit_candidate

NETWORK = {"hidden": (8,), "members": 2, "epochs": 2, "bins": 3}


MEMBERS = [
    {"family": "mlp", "params": NETWORK, "weight": 0.5},
    {"family": "hist_gradient_boosting", "params": {"max_iter": 5}, "weight": 0.5},
]


PARAMS: dict[str, dict[str, Any]] = {
    "logistic": {},
    "mlp": NETWORK,
    "hist_gradient_boosting": {"max_iter": 10},
    "blend": {"members": MEMBERS},
}


def made(folder: Path, family: str, classes: int, dates: int = 0, **change: Any) -> Bundle:
    """A bundle of a model of five numbers and two categories, values missing; the last `dates` numbers are dates."""
    rng = np.random.default_rng(classes)
    x = rng.normal(size=(300, 5)).astype(np.float32)
    x[rng.random(x.shape) < 0.05] = np.nan
    x[:, 5 - dates :] = np.round(x[:, 5 - dates :] * 200 + 9_000)
    frame = pd.DataFrame(x, columns=[f"n{i}" for i in range(5)])
    for name, levels in (("c0", ["a", "b", ""]), ("c1", ["x", "y"])):
        frame[name] = rng.choice(levels, 300).astype(object)
    y = (np.nan_to_num(x[:, 0]) + (frame["c0"] == "a") + np.nan_to_num(x[:, 1] * x[:, 2]) > 0.3).to_numpy().astype(int)
    y = y + (classes > 2) * (x[:, 3] > 1)
    schema = Schema(
        target="y",
        classes=tuple("pqr"[:classes]),
        positive_label="q",
        columns=(
            *(Column(name=f"n{i}", kind="number" if i < 5 - dates else "date") for i in range(5)),
            Column(name="c0", kind="category", categories=("a", "b")),
            Column(name="c1", kind="category", categories=("x", "y")),
        ),
    )
    candidate = fit_candidate(
        CandidateSpec(family, {**PARAMS[family], **change}, 0), frame, y, schema=schema, device="cpu"
    )
    return writer.begin(folder / family, candidate, Decision(threshold=0.5 if classes == 2 else None), frame)
