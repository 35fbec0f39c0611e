"""generate: read, infer or hold against the contract, split, keep."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.data import pickle_export, production, row_metadata, snapshot, snapshot_store, split
from ml.data.blocks.copies import count as count_copies
from ml.data.blocks.disk_table import Scratch
from ml.data.contract import fit
from ml.data.inference import labels
from ml.data.inference.infer import infer_rows
from ml.data.inference.profiles import profile
from ml.data.manifest import Labelled
from ml.data.snapshot import Rows, Snapshot
from ml.data.sources import customers, registry
from ml.errors import DataError
from ml.messages import message
from ml.schema.findings import Report
from ml.schema.frames import Table, check_names
from ml.schema.schema import Schema
from ml.settings import Data, Settings
from ml.storage import files


def generate(
    settings: Settings,
    *,
    contract: Schema | None = None,
    parent: str = "",
    labelled: pd.DataFrame | None = None,
    gate_since: pd.Timestamp | None = None,
    train_on_base: bool = True,
) -> Snapshot:
    """Make the snapshot of the configured source, with the labelled production rows added.

    Parameters
    ----------
    contract
        The champion's schema: its columns, kinds, classes with their order, positive label and target are kept, and
        the table must fit them (`ml.data.contract`). None, or `data.schema = "infer"`: they are found anew.
    parent
        The champion's snapshot, for the manifest.
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
    report = Report()
    contract = contract if data.schema == "keep" else None
    with Scratch(settings.data_dir) as scratch:
        raw = registry.read_large(settings, scratch)
        report.extend(raw.attrs.pop("findings", ()))
        schema, rows = _prepare(raw, data, contract, report)
        parts, method = split.assign(rows.y, data, report, ids=rows.ids, time=rows.time)
        added = Labelled()
        if labelled is not None and len(labelled):
            rows, parts, added = production.add(
                rows, parts, labelled, schema, data, report, gate_since=gate_since,
                max_weight=settings.explore.max_weight,
            )  # fmt: skip
            if not train_on_base:
                keep = (parts == split.TEST) | (np.arange(len(parts)) >= len(parts) - added.added)
                rows, parts = rows.where(keep), parts[keep]
                report.info(message("findings.only_judged_on"))
        copies = count_copies(rows.X, rows.y)
        if copies:
            report.info(message("findings.copies", n=copies, rows=len(rows.y)))
        schema = profile(schema, rows.X[parts == split.TRAIN], max_categories=data.max_categories)
        written = snapshot.write(
            rows,
            schema,
            report,
            parts,
            settings,
            parent=parent or None,
            source=registry.describe(settings),
            split=method,
            labelled=added,
        )
    pickle_export.write(written, settings)
    _remember(written, settings)
    return written


def check(settings: Settings, contract: Schema | None = None) -> Schema:
    """Read the configured table and hold it against a contract, or infer its schema; nothing is written.

    Raises
    ------
    DataError
        The table is broken or does not fit.
    """
    if settings.data.source == "customers":
        settings = customers.configure(settings)
    contract = contract if settings.data.schema == "keep" else None
    with Scratch(settings.data_dir) as scratch:
        return _prepare(registry.read_large(settings, scratch), settings.data, contract, Report())[0]


def _prepare(raw: Table, data: Data, contract: Schema | None, report: Report) -> tuple[Schema, Rows]:
    """Infer the schema, or hold the table against a contract."""
    if contract is None:
        raw = check_names(raw, data)
        schema, found, x = infer_rows(raw, data)
        report.extend(found.findings)
    else:
        raw, schema, x = fit(raw, contract, data, report)
    y = labels.codes(raw, schema, report, tolerate=data.min_class_rows - 1)
    for code, label in enumerate(schema.classes):
        if not (y == code).any():
            report.warn(message("findings.no_row_of_class", label=label), schema.target)
    rows = Rows(x, y, *row_metadata.read(raw, schema, data))
    return schema, rows.where(y >= 0)


def latest(settings: Settings) -> Snapshot | None:
    """The snapshot made last, if it is still there."""
    try:
        return snapshot.open(settings, snapshot_store.latest_id(settings))
    except DataError:
        return None


def _remember(made: Snapshot, settings: Settings) -> None:
    files.write_bytes(settings.data_dir / "latest", made.id.encode())
