"""Slices: the same metrics on parts of the rows: each level of a category, each quarter of a number's range."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from ml.decision import Floats, positive_code
from ml.evaluation import metrics
from ml.evaluation.bootstrap import Interval, Resamples, interval
from ml.messages import Message, Text, message
from ml.schema.cells import iso
from ml.schema.schema import Schema

if TYPE_CHECKING:
    import pandas as pd

MIN_ROWS = 50  # a slice with fewer says too little: at 50 rows an accuracy is known to ±14 points
MAX_SLICES = 400  # of the largest; bounds the time on tables with hundreds of columns
N_BOOTSTRAP = 200  # resamples for an interval that is shown, not decided by; our choice

Mask = npt.NDArray[np.bool_]


class Slice(msgspec.Struct, frozen=True):
    """The metrics of the rows that share a `value` of a `column`; `shared` is it by code, where it is no level."""

    column: str
    value: str
    rows: int
    metrics: dict[str, Interval]
    shared: Text = ""


def slices(X: pd.DataFrame, schema: Schema, *, min_rows: int = MIN_ROWS) -> Iterator[tuple[str, Text, Mask]]:
    """Slices of a table: each level of a category, each quarter of a number's range, each column's missing values.

    Parameters
    ----------
    X
        (n_rows, n_columns) canonical frame; quartiles are those of these rows.
    schema
        Its columns are cut.
    min_rows
        Of a slice; a slice of all rows is not a slice, and is left out.

    Yields
    ------
    (column, what its rows share, mask of (n_rows,)).
    """
    for column in schema.columns:
        if column.name not in X:
            continue
        values = X[column.name].to_numpy()
        if column.kind == "category":
            parts = _category_parts(values)
        else:
            parts = _number_parts(values.astype(np.float64), iso if column.kind == "date" else None)
        for name, mask in parts:
            if min_rows <= mask.sum() < len(mask):
                yield column.name, name, mask


def _number_parts(
    values: npt.NDArray[np.float64], written: Callable[[float], str] | None
) -> Iterator[tuple[Text, Mask]]:
    missing = np.isnan(values)
    yield message("evaluation.missing"), missing
    if missing.all():
        return
    edges = np.unique(np.quantile(values[~missing], [0, 0.25, 0.5, 0.75, 1]))
    if len(edges) == 1:
        yield written(edges[0]) if written else f"{edges[0]:.6g}", ~missing
    for k, (low, high) in enumerate(itertools.pairwise(edges)):
        last = k == len(edges) - 2
        inside = (values >= low) & ((values <= high) if last else (values < high))
        known = {"low": low, "high": high}
        name = message("evaluation.dates", low=written(low), high=written(high)) if written else None
        yield name or message("evaluation.range", **known), inside & ~missing


def _category_parts(values: npt.NDArray[Any]) -> Iterator[tuple[Text, Mask]]:
    text = values.astype(str)
    for level in np.unique(text):
        yield str(level) or message("evaluation.missing"), text == level


def slice_metrics(
    p: Floats, y: npt.NDArray[np.int64], codes: npt.NDArray[np.int64], X: pd.DataFrame, schema: Schema,
    draws: Resamples, weight: Floats,
) -> list[Slice]:  # fmt: skip
    """Accuracy, F1 (positive class, or macro), log-loss and share of positives of each slice, the largest first.

    Parameters
    ----------
    p, y, codes
        (n_rows, n_classes) probabilities, (n_rows,) true and answered class codes.
    X
        (n_rows, n_columns) canonical frame.
    draws
        The resamples of all rows: the first `N_BOOTSTRAP` of them are behind the intervals.
    weight
        (n_rows,) sample weights.
    """
    largest = sorted(slices(X, schema), key=lambda s: -int(s[2].sum()))[:MAX_SLICES]
    w, rows = draws.weights[:N_BOOTSTRAP], draws.rows
    out = []
    for column, value, mask in largest:
        inside = mask[rows]
        full = _measure(weight[None, mask], p[mask], y[mask], codes[mask], schema)
        drawn = rows[inside]
        base = _measure(weight[None, drawn], p[drawn], y[drawn], codes[drawn], schema)
        boot = _measure(w[:, inside], p[drawn], y[drawn], codes[drawn], schema)
        measured = {
            name: interval(float(v[0]), float(base[name][0]), boot[name], *metrics.limits(name))
            for name, v in full.items()
        }
        out.append(Slice(column, str(value), int(mask.sum()), measured, value if isinstance(value, Message) else ""))
    return out


def _measure(
    w: Floats, p: Floats, y: npt.NDArray[np.int64], codes: npt.NDArray[np.int64], schema: Schema
) -> dict[str, npt.NDArray[np.float64]]:
    n_classes = len(schema.classes)
    f1 = metrics.precision_recall_f1(metrics.confusion(w, y, codes, n_classes))[2]
    out = {
        "accuracy": metrics.mean(w, codes == y),
        "log_loss": metrics.mean(w, metrics.log_losses(p, y)),
        "f1": f1[:, positive_code(schema)] if n_classes == 2 else f1.mean(axis=1),
    }
    if n_classes == 2:
        out["positive_share"] = metrics.mean(w, y == positive_code(schema))
    return out
