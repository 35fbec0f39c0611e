"""A world to watch: a known model over known rows, served into a prediction log, and ways in which it changes."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml import data, predictions
from ml.drift import DriftVerdict
from ml.drift.reference import Baseline
from ml.monitoring import check as checking
from ml.monitoring import retraining_decision
from ml.release import watch
from ml.schema.schema import Column, Schema
from ml.settings import Settings, from_values
from ml.storage import database

LEVELS = ("a", "b", "c")
WEIGHTS = np.array([1.6, -1.2, 0.8, 0.0])
SCHEMA = Schema(
    target="y",
    classes=("0", "1"),
    positive_label="1",
    columns=(
        *(Column(name=f"x{i}", kind="number") for i in range(4)),
        Column(name="c", kind="category", categories=LEVELS),
    ),
)
START = 1_800_000_000.0


def settings(home: Path, **drift: Any) -> Settings:
    """A home without MLflow and without reports, unless asked for."""
    return from_values({"home": str(home), "drift": {"track": False, "report_rows": 0, **drift}})


def home(folder: Path, **sections: Any) -> Settings:
    """Settings of a home with the snapshot that a champion was made from; `sections` are added to them."""
    frame, y, _ = draw(1_000, 50)
    table = folder / "base.csv"
    frame.assign(y=y).to_csv(table, index=False)
    settings = from_values(
        {
            "home": str(folder),
            "data": {"source": "file", "path": str(table), "target": "y", "positive_label": "1"},
            "train": {"families": ["logistic"]},
            **sections,
        }
    )
    data.generate(settings)
    return settings


def draw(
    n: int, seed: int, *, shift: float = 0.0, concept: float = 0.0, columns: int = 4
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Rows, true labels and the model's probability of "1".

    `shift` moves the first `columns` numbers by so many standard deviations; `concept` turns the true
    weights against the model's.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (n, 4))
    x[:, :columns] += shift
    c = rng.choice(LEVELS, n, p=[0.5, 0.3, 0.2])
    p = 1 / (1 + np.exp(-2 * (x @ WEIGHTS)))
    true = 1 / (1 + np.exp(-2 * (x @ (WEIGHTS * (1 - 2 * concept)))))
    y = np.where(rng.random(n) < true, "1", "0").astype(object)
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(4)])
    frame["c"] = c.astype(object)
    return frame, y, p


def baseline(version: str = "1", n: int = 2_000, **more: Any) -> Baseline:
    """The model's own reference."""
    frame, y, p = draw(n, 1)
    return Baseline(version, SCHEMA, frame, y, decide(p), np.column_stack([1 - p, p]), **more)


def decide(p: np.ndarray) -> np.ndarray:
    return np.where(p >= 0.5, "1", "0").astype(object)


def check(found: Settings, *, now: float | None = None, baseline: Baseline | None = None) -> DriftVerdict:
    """Compare and decide, both at one moment."""
    return retraining_decision.decide(found, checking.compare(found, now=now, baseline=baseline), now=now)


def watch_and_check(found: Settings, *, now: float | None = None) -> DriftVerdict:
    """The three steps of a drift check, as the command does them."""
    shadow = watch.watch(found, now=now).shadow
    return retraining_decision.decide(found, checking.compare(found, now=now, shadow=shadow), now=now)


def serve(
    found: Settings,
    frame: pd.DataFrame,
    p: np.ndarray,
    *,
    at: float = START,
    step: float = 0.001,
    version: str = "1",
    labels: np.ndarray | None = None,
    labelled_at: float | None = None,
) -> list[str]:
    """Log rows as answered at `at` and after, `step` seconds apart, with labels where given; returns the ids."""
    engine = database.engine(found)
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    ids = [uuid.uuid4().hex for _ in rows]
    predictions.insert(
        engine,
        [
            {
                "prediction_id": key,
                "time": at + step * i,
                "model_version": version,
                "inputs": row,
                "label": label,
                "probability": q,
                "probabilities": {"0": 1 - q, "1": q},
            }
            for i, (key, row, label, q) in enumerate(zip(ids, rows, decide(p), p.tolist(), strict=True))
        ],
    )
    if labels is not None:
        moment = at + 10 if labelled_at is None else labelled_at
        answer(found, ids, labels, moment)
    return ids


def answer(found: Settings, ids: list[str], labels: Any, at: Any) -> None:
    """Labels for logged predictions, which came at one moment or each at its own."""
    moments = np.broadcast_to(at, len(ids)).tolist()
    predictions.insert_feedback(
        database.engine(found),
        [
            {"prediction_id": key, "label": label, "received_at": moment}
            for key, label, moment in zip(ids, labels, moments, strict=True)
        ],
    )
