"""A fitted model of the customers source: whole numbers, booleans, texts, missing cells."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ml.bundle import writer
from ml.bundle.reader import Bundle
from ml.data.inference.infer import infer
from ml.data.sources import customers
from ml.decision import Decision
from ml.schema import frame_coerce
from ml.settings import from_values
from ml.training.candidate import CandidateSpec, fit_candidate


def table(n: int = 300, seed: int = 1) -> pd.DataFrame:
    """Raw rows as pandas has them: int64, float64 with NaN, bool, text."""
    return customers.make(n, seed)


def bundle(folder: Path) -> Bundle:
    """A logistic model of `table()`, written and opened."""
    settings = customers.configure(from_values({"home": str(folder.parent), "data": {"source": "customers"}}))
    raw = table()
    schema, _ = infer(raw, settings.data)
    X, _ = frame_coerce.canonical(raw, schema)
    y = (raw[customers.TARGET] == "yes").to_numpy(dtype="int64")
    rows = X[[column.name for column in schema.columns]]
    candidate = fit_candidate(CandidateSpec("logistic", {"C": 1.0}), rows, y, schema=schema)
    return writer.begin(folder, candidate, Decision(threshold=0.5), rows)
