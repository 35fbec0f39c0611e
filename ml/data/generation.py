"""generate: read, infer or validate, split, keep."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.data import pickle_export, production, row_metadata, snapshot, split
from ml.data.inference import labels
from ml.data.inference.infer import infer
from ml.data.inference.profiles import profile
from ml.data.snapshot import Rows, Snapshot
from ml.data.sources import customers, registry
from ml.errors import DataError
from ml.schema.findings import Report
from ml.schema.frame_coerce import canonical
from ml.schema.frames import check_names
from ml.schema.schema import Schema
from ml.settings import Data, Settings
from ml.storage import files

_BROKEN_RISE = 0.5  # as drift.broken_missing: our choice


def generate(
    settings: Settings,
    *,
    labelled: pd.DataFrame | None = None,
    gate_since: pd.Timestamp | None = None,
    train_on_base: bool = True,
) -> Snapshot:
    """Make the snapshot of the configured source, with the labelled production rows added.

    Parameters
    ----------
    labelled
        Matured production rows: raw input columns, the target, `prediction_id` and `time`. A repeated
        `prediction_id` counts once. The newest `data.recent_share` become the part "recent", which the
        gate judges on and nobody trains on; the others join training and validation.
    gate_since
        Rows answered before this moment (UTC) may have trained the champion and are not held out for the gate.
    train_on_base
        False keeps only the test part of the configured source: the labelled rows alone are trained on.

    Raises
    ------
    DataError
        The table is broken; nothing is written.
    """
    if settings.data.source == "customers":
        settings = customers.configure(settings)
    data = settings.data
    raw = registry.read(settings)
    report = Report()
    report.extend(raw.attrs.pop("findings", ()))
    parent = latest(settings)
    schema, rows = _prepare(raw, data, parent if data.schema == "keep" else None, report)
    parts, method = split.assign(rows.y, data, report, ids=rows.ids, time=rows.time)
    extra: dict[str, Any] = {"source": registry.describe(settings), "signature": signature(settings), "split": method}
    if labelled is not None and len(labelled):
        rows, parts, extra["labelled"] = production.add(
            rows, parts, labelled, schema, data, report, gate_since=gate_since
        )
        if not train_on_base:
            keep = (parts == split.TEST) | (np.arange(len(parts)) >= len(parts) - _added(extra["labelled"]))
            rows, parts = _take(rows, keep), parts[keep]
            report.info("the configured source is only judged on: labelled production rows alone are trained on")
    copies = int(rows.X.assign(**{snapshot.Y: rows.y}).duplicated().sum())
    if copies:
        report.info(f"{copies:,} of {len(rows.y):,} rows are exact copies of a row before")
    schema = profile(schema, rows.X[parts == split.TRAIN], max_categories=data.max_categories)
    made = snapshot.write(rows, schema, report, parts, settings, parent=parent.id if parent else None, extra=extra)
    pickle_export.write(made, settings)
    _remember(made, settings)
    return made


def _added(counts: dict[str, Any]) -> int:
    return int(counts["given"] - counts["repeated"] - counts["unusable"])


def _prepare(raw: pd.DataFrame, data: Data, parent: Snapshot | None, report: Report) -> tuple[Schema, Rows]:
    """Infer the schema, or hold the table against the one of the snapshot before."""
    raw = check_names(raw, data)
    if parent is None:
        schema, found = infer(raw, data)
        report.extend(found.findings)
    else:
        schema = parent.schema
    x, found = canonical(raw, schema)
    if parent is not None:
        report.extend(found.findings)
        _check_filled(x, schema, raw.attrs.get("file"))
    y = labels.codes(raw, schema, report, tolerate=data.min_class_rows - 1)
    rows = Rows(x, y, *row_metadata.read(raw, schema, data))
    return schema, _take(rows, y >= 0)


def _check_filled(x: pd.DataFrame, schema: Schema, file: str | None) -> None:
    """A column that has lost most of its values since the snapshot before comes from a broken feed."""
    for column in schema.columns:
        cells = x[column.name]
        missing = float((cells.isna() if column.kind == "number" else cells == "").mean())
        if missing > column.missing_share + _BROKEN_RISE:
            raise DataError(
                f"{missing:.0%} of the rows have no value, {column.missing_share:.0%} had none in the snapshot before; "
                'repair the source, or set data.schema = "infer" if it is meant so',
                file=file,
                column=column.name,
            )


def _take(rows: Rows, keep: NDArray[np.bool_]) -> Rows:
    return Rows(
        rows.X[keep].reset_index(drop=True),
        *(None if values is None else values[keep] for values in rows[1:]),  # type: ignore[arg-type]
    )


def signature(settings: Settings) -> str:
    """What the schema depends on: with another one, the schema of the snapshot before does not count."""
    data = msgspec.to_builtins(settings.data)
    for name in (
        "seed",
        "split",
        "test_share",
        "validation_share",
        "recent_share",
        "recent_min_rows",
        "recent_max_rows",
        "schema",
    ):
        data.pop(name)
    if settings.data.source == "synthetic":
        data["synthetic"] = {k: getattr(settings.synthetic, k) for k in ("n_features", "n_classes")}
    return hashlib.sha256(msgspec.json.encode(data, order="sorted")).hexdigest()[:16]


def latest(settings: Settings) -> Snapshot | None:
    """The snapshot made last from the same settings, if it is still there."""
    pointer = settings.data_dir / "latest.json"
    if not pointer.exists():
        return None
    try:
        noted = msgspec.json.decode(pointer.read_bytes())
        if noted["signature"] != signature(settings):
            return None
        return snapshot.open(settings, noted["snapshot"])
    except (msgspec.DecodeError, KeyError, TypeError, DataError):
        return None


def _remember(made: Snapshot, settings: Settings) -> None:
    note = {"snapshot": made.id, "signature": signature(settings)}
    files.write_json(settings.data_dir / "latest.json", note)
