"""Labelled production rows: the newest for the gate, the others for training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.data import split
from ml.data.inference import labels
from ml.data.manifest import Labelled
from ml.data.snapshot import Rows
from ml.errors import SchemaError
from ml.schema.findings import Report
from ml.schema.frame_coerce import canonical
from ml.schema.schema import Schema
from ml.settings import Data

PREDICTION_ID, MOMENT = "prediction_id", "time"


def add(
    rows: Rows,
    parts: NDArray[np.int8],
    labelled: pd.DataFrame,
    schema: Schema,
    data: Data,
    report: Report,
    *,
    gate_since: pd.Timestamp | None = None,
) -> tuple[Rows, NDArray[np.int8], Labelled]:
    """Append matured production rows to a split table; the base rows keep their parts.

    Parameters
    ----------
    gate_since
        Rows answered before this moment (UTC) may have trained the champion: they are not held out for the gate.

    Returns
    -------
    rows, parts
        With the new rows at the end.
    counts
        For the manifest.

    Raises
    ------
    SchemaError
        The labelled rows lack a column that the model needs.
    """
    for name in (PREDICTION_ID, MOMENT, schema.target):
        if name not in labelled.columns:
            raise SchemaError(f"labelled production rows need the column '{name}'")
    given = len(labelled)
    moments = pd.to_datetime(labelled[MOMENT], utc=True).dt.tz_localize(None).astype("datetime64[us]")
    labelled = labelled.assign(**{MOMENT: moments}).sort_values([MOMENT, PREDICTION_ID], kind="stable")
    labelled = labelled.drop_duplicates(PREDICTION_ID, keep="last").reset_index(drop=True)
    unique = len(labelled)
    y = labels.codes(labelled, schema, report, tolerate=None)
    labelled, y = labelled[y >= 0].reset_index(drop=True), y[y >= 0]
    known = _ids(labelled, schema)
    if known is not None and rows.ids is not None:
        held = set(rows.ids[parts == split.TEST])
        fresh = np.array([identifier not in held for identifier in known], bool)
        labelled, y, known = labelled[fresh].reset_index(drop=True), y[fresh], known[fresh]
    x, found = canonical(labelled, schema)
    report.extend(found.findings)
    times = labelled[MOMENT].to_numpy()
    since = None if gate_since is None else np.datetime64(gate_since.tz_convert(None), "us")
    new_parts = deal(len(y), data, len(y) if since is None else int((times >= since).sum()))
    counts = Labelled(
        given=given,
        repeated=given - unique,
        unusable=unique - len(y),
        **{name: int((new_parts == code).sum()) for code, name in enumerate(split.PARTS) if code != split.TEST},
        time_range=(str(times.min()), str(times.max())) if len(times) else None,
    )
    report.info(f"{len(y):,} labelled production rows added, {counts.recent:,} of them held out for the gate")
    return _joined(rows, x, y, known, times), np.concatenate([parts, new_parts]), counts


def deal(n: int, data: Data, untouched: int | None = None) -> NDArray[np.int8]:
    """Parts of `n` rows in time order: train, then validation, then recent.

    `untouched`: how many of the newest rows no model has been trained on; only they can be "recent".
    """
    recent = min(held_out(n, data), n if untouched is None else untouched)
    if recent < data.recent_min_rows:
        recent = 0
    validation = round((n - recent) * data.validation_share / (1 - data.test_share))
    parts = np.full(n, split.TRAIN, dtype=np.int8)
    parts[n - recent - validation :] = split.VALIDATION
    parts[n - recent :] = split.RECENT
    return parts


def held_out(n: int, data: Data) -> int:
    """How many of `n` rows the gate gets: a share, but enough to judge on as long as that is at most half of them."""
    if not data.recent_share:
        return 0
    return min(max(round(n * data.recent_share), min(data.recent_min_rows, n // 2)), data.recent_max_rows)


def _ids(labelled: pd.DataFrame, schema: Schema) -> NDArray[np.object_] | None:
    from ml.data.row_metadata import identifiers

    if not schema.id_columns or any(name not in labelled.columns for name in schema.id_columns):
        return None
    return identifiers(labelled, schema)


def _joined(
    rows: Rows, x: pd.DataFrame, y: NDArray[np.int64], ids: NDArray[np.object_] | None, times: NDArray[Any]
) -> Rows:
    n = len(y)
    own = np.array([f"\x1fprediction {i}" for i in range(n)], dtype=object) if ids is None else ids
    time = None
    if rows.time is not None:
        # A base table whose time is a plain number has no calendar to place production rows in: they come last.
        time = np.concatenate(
            [rows.time, times if rows.time.dtype.kind == "M" else np.full(n, np.nextafter(rows.time.max(), np.inf))]
        )
    return Rows(
        pd.concat([rows.X, x], ignore_index=True),
        np.concatenate([rows.y, y]),
        None if rows.weight is None else np.concatenate([rows.weight, np.ones(n)]),
        None if rows.ids is None else np.concatenate([rows.ids, own]),
        time,
    )
