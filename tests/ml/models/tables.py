"""Tables for the tests of the model families: generated, mixed, with missing values."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pandas as pd

from ml.schema.schema import Column, Schema


def schema_of(frame: pd.DataFrame, n_classes: int) -> Schema:
    """A schema that fits a canonical frame."""
    columns = tuple(
        Column(name=str(name), kind="date" if str(name)[0] == "d" else "number")
        if pd.api.types.is_numeric_dtype(frame[name])
        else Column(name=str(name), kind="category")
        for name in frame.columns
    )
    return Schema(target="target", classes=tuple(str(c) for c in range(n_classes)), positive_label="", columns=columns)


def table(
    n: int = 300,
    *,
    numbers: int = 4,
    categories: int = 3,
    dates: int = 0,
    n_classes: int = 2,
    missing: float = 0.1,
    seed: int = 0,
) -> tuple[pd.DataFrame, np.ndarray]:
    """A canonical frame (n, numbers + dates + categories) and codes (n,) that depend on it."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, numbers)).astype(np.float32) * np.logspace(-3, 4, max(numbers, 1))[:numbers]
    levels = [f"l{i}" for i in range(6)] + ["ünïcode ␟", "Hà Nội"]
    texts = rng.choice(levels, size=(n, categories), p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.08, 0.01, 0.01])
    margin = np.zeros(n)
    if numbers:
        margin += (values / np.logspace(-3, 4, numbers))[:, :3].sum(axis=1)
    if categories:
        margin += (texts[:, 0] == "l0") * 2.0
    days = np.round(rng.uniform(8_000, 9_800, size=(n, dates)) * 4) / 4
    if dates:
        margin += (np.floor(days[:, 0]) % 7 == 3) * 2.0 + np.diff(days[:, :2], axis=1).sum(axis=1) / 500
    margin += rng.logistic(size=n)
    edges = np.quantile(margin, np.linspace(0, 1, n_classes + 1)[1:-1])
    y = np.searchsorted(edges, margin).astype(np.int64)
    values[rng.random(values.shape) < missing] = np.nan
    texts[rng.random(texts.shape) < missing] = ""
    frame = pd.DataFrame({f"n{j}": values[:, j].astype(np.float32) for j in range(numbers)})
    for j in range(dates):
        frame[f"d{j}"] = np.where(rng.random(n) < missing, np.nan, days[:, j]).astype(np.float32)
    for j in range(categories):
        frame[f"c{j}"] = texts[:, j]
    return frame, y


def feeds(X: pd.DataFrame, schema: Schema) -> dict[str, np.ndarray]:
    """Rows as the inputs of an exported graph."""
    found = {}
    if schema.numbers:
        found["numbers"] = X[list(schema.numbers)].to_numpy(np.float32)
    if schema.categories:
        found["categories"] = X[list(schema.categories)].to_numpy(object)
    return found


def session(model: Any, schema: Schema) -> onnxruntime.InferenceSession:
    """The exported graph, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.to_onnx(schema).SerializeToString(), options)
