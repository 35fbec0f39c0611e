"""A prediction log of four days, and what is asked of it before and after some of them are in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from ml import predictions
from ml.settings import Settings
from ml.storage import database
from tests.ml.predictions.logged import label, record

DAY = 86_400.0
ASKED: list[dict[str, Any]] = [
    {},
    {"rows": 3},
    {"rows": 7},
    {"rows": 0},
    {"since": 1.2 * DAY},
    {"until": 1.2 * DAY},
    {"since": 0.5 * DAY, "until": 2.5 * DAY, "rows": 4},
    {"version": "2"},
    {"version": "2", "sha256": "s2", "rows": 2},
    {"sha256": "s1"},
    {"labelled_only": True},
    {"labelled_only": True, "rows": 2},
    {"labels_after": 3.0 * DAY},
    {"labels_before": 3.0 * DAY},
]


def filled(found: Settings) -> sa.Engine:
    """Four days of four rows, of two versions, every other one labelled, one label put right and one repeated."""
    engine = database.engine(found)
    rows = [
        record(
            f"{day}{i}", time=(day + i / 5) * DAY, model_version=str(1 + i % 2), model_sha256=f"s{1 + i % 2}",
            inputs={"x": i / 10, "c": None if i == 3 else "a"},
        )
        for day in range(4)
        for i in range(4)
    ]  # fmt: skip
    for row in rows[::3]:
        row |= {"action": "approve", "propensity": 0.9, "label_propensity": None}
    predictions.insert(engine, rows)
    told = {"prediction_id": "00", "action": "call", "propensity": 0.5, "label_propensity": 0.5, "told_at": 9.0}
    predictions.insert_actions(engine, [told])
    labels = [label(row["prediction_id"], "1", row["time"] + 0.5 * DAY) for row in rows[::2]]
    predictions.insert_feedback(engine, [*labels, label("00", "0", 3.5 * DAY), label("02", "1", 3.5 * DAY)])
    return engine


def windows(engine: sa.Engine) -> list[pd.DataFrame]:
    return [predictions.window(engine, **asked) for asked in ASKED]


def in_database(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return sorted(connection.execute(sa.select(predictions.predictions.c.prediction_id)).scalars())


def parquet(found: Settings) -> list[Path]:
    return sorted((found.var / "archive").glob("*.parquet"))
