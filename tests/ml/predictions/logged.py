"""Rows and labels of the prediction log as tests write them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from ml import predictions


def record(key: str, **more: Any) -> dict[str, Any]:
    values = {
        "prediction_id": key,
        "time": 100.0,
        "model_version": "1",
        "inputs": {"x": 1.5, "c": "a"},
        "label": "1",
        "probability": 0.8,
        "probabilities": {"0": 0.2, "1": 0.8},
        "flags": ["x is out of range"],
    }
    return values | more


def label(key: str, value: str, at: float, **more: Any) -> dict[str, Any]:
    return {"prediction_id": key, "label": value, "received_at": at} | more


def history(engine: sa.Engine, key: str) -> list[tuple[str, float]]:
    """(label, moment) of a prediction as readers see them."""
    f = predictions.feedback.c
    query = sa.select(f.label, f.received_at).where(f.prediction_id == key).order_by(f.received_at, f.id)
    with engine.connect() as connection:
        return [(row[0], row[1]) for row in connection.execute(query)]
