"""A fitted model of a table with two dates, a number with a unit, and a label that hangs on the days between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ml.bundle import writer
from ml.bundle.reader import Bundle
from ml.data.inference.infer import infer
from ml.decision import Decision
from ml.schema import frame_coerce
from ml.settings import Data
from ml.training.candidate import CandidateSpec, fit_candidate

NAMES = ["age", "signup", "last_order", "term", "plan"]


def table(n: int = 300, seed: int = 0) -> pd.DataFrame:
    """Raw text cells: `signup` with the day first and cells missing, `last_order` in ISO 8601 with a time."""
    rng = np.random.default_rng(seed)
    signup = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 700, n), unit="D")
    between = rng.integers(0, 200, n)
    last = signup + pd.to_timedelta(between, unit="D") + pd.to_timedelta(rng.integers(0, 1440, n), unit="min")
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n).astype(str),
            "signup": signup.strftime("%d/%m/%Y"),
            "last_order": last.strftime("%Y-%m-%dT%H:%M"),
            "term": rng.choice(["1 months", "12 months", "24 months"], n),
            "plan": rng.choice(["a", "b"], n),
            "left": np.where(between + 20 * rng.normal(size=n) > 120, "yes", "no"),
        }
    )
    frame.loc[::17, "signup"] = ""
    return frame


def bundle(folder: Path, family: str = "logistic") -> Bundle:
    """A model of `table()`, written and opened."""
    raw = table()
    schema, _ = infer(raw, Data(target="left"))
    X, _ = frame_coerce.canonical(raw, schema)
    y = np.array([schema.classes.index(label) for label in raw["left"]])
    return writer.begin(
        folder, fit_candidate(CandidateSpec(family, {}), X, y, schema=schema), Decision(threshold=0.5), X
    )


def expected(opened: Bundle, raw: pd.DataFrame) -> np.ndarray:
    """(n,) probability of "yes" by the library's own reading."""
    rows = writer.rows_of(frame_coerce.canonical(raw, opened.schema)[0], opened.schema)
    return opened.run(rows.numbers, rows.categories)[:, opened.schema.classes.index("yes")]
