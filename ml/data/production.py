"""Labelled production rows: the newest for the gate, the others for training."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.data import split
from ml.data.blocks.disk_table import DiskTable
from ml.data.inference import labels
from ml.data.manifest import Labelled
from ml.data.snapshot import Rows
from ml.errors import SchemaError
from ml.exploration import weights
from ml.exploration.weights import effective_sample_size
from ml.messages import message
from ml.schema.findings import Report
from ml.schema.frame_coerce import canonical
from ml.schema.schema import ANSWERED, LABEL_PROPENSITY, PREDICTION_ID, QUESTION, RESERVED, ROW_ID, Schema
from ml.settings import Data


def add(
    rows: Rows,
    parts: NDArray[np.int8],
    labelled: pd.DataFrame,
    schema: Schema,
    data: Data,
    report: Report,
    *,
    gate_since: pd.Timestamp | None = None,
    max_weight: float = np.inf,
) -> tuple[Rows, NDArray[np.int8], Labelled]:
    """Append matured production rows to a split table; the base rows keep their parts.

    Parameters
    ----------
    max_weight
        Where the log has the rows' chances of a label they are weighed by their inverse, at most so
        (`ml.exploration.weights`); a row whose action gave no chance of one is left out.
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
    given, schema = len(labelled), schema.of_canonical_rows
    labelled, other = same_question(labelled, schema)
    if other:
        report.warn(message("findings.other_question", n=other))
    if not len(labelled):
        return rows, parts, Labelled(given=given, other_question=other)
    for name in (PREDICTION_ID, ANSWERED, schema.target):
        if name not in labelled.columns:
            raise SchemaError(message("data.labelled_need", column=name))
    moments = pd.to_datetime(labelled[ANSWERED], utc=True).dt.tz_localize(None).astype("datetime64[us]")
    labelled = labelled.assign(**{ANSWERED: moments}).sort_values([ANSWERED, PREDICTION_ID], kind="stable")
    labelled = labelled.drop_duplicates(PREDICTION_ID, keep="last").reset_index(drop=True)
    unique = len(labelled)
    y = labels.codes(labelled, schema, report, tolerate=None)
    labelled, y = labelled[y >= 0].reset_index(drop=True), y[y >= 0]
    usable = len(y)
    labelled, y, chances = _weighed(labelled, y, max_weight)
    ids = _ids(labelled)
    held = np.zeros(len(y), bool) if rows.ids is None else np.isin(ids, rows.ids[parts == split.TEST])
    labelled, y, ids, weight = labelled[~held].reset_index(drop=True), y[~held], ids[~held], chances.rows[~held]
    x, found = canonical(labelled[[name for name in labelled.columns if not name.startswith(RESERVED)]], schema)
    report.extend(found.findings)
    times = labelled[ANSWERED].to_numpy()
    since = None if gate_since is None else np.datetime64(gate_since.tz_convert(None), "us")
    untouched = len(y) if since is None else int((times >= since).sum())
    new_parts = deal(len(y), data, untouched, weight=weight)
    keep = _together(rows.ids, parts, ids, new_parts)
    rows = _joined(rows, x, y, ids, times, None if chances.uniform else weight).where(keep)
    new_kept = keep[len(parts) :]
    counts = Labelled(
        given=given,
        other_question=other,
        repeated=given - other - unique,
        unusable=unique - usable,
        without_chance=chances.without,
        weighed=not chances.uniform,
        same_id_judged=usable - chances.without - len(y) + int((~keep).sum()),
        added=int(new_kept.sum()),
        **{n: int((new_parts[new_kept] == code).sum()) for code, n in enumerate(split.PARTS) if code != split.TEST},
        time_range=(str(times.min()), str(times.max())) if len(times) else None,
    )
    report.info(message("findings.labelled_added", n=counts.added, kept=counts.recent))
    if chances.without:
        report.info(message("exploration.without_chance", n=chances.without))
    if counts.weighed:
        report.info(message("exploration.added_weighed"))
    if counts.same_id_judged:
        report.info(message("findings.same_ids", n=counts.same_id_judged))
    return rows, np.concatenate([parts, new_parts])[keep], counts


def same_question(labelled: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, int]:
    """The labelled rows that answer what is being trained, and how many do not. One that does not say is taken.

    Columns that only the others have a value in go with them.
    """
    if QUESTION not in labelled.columns:
        return labelled, 0
    same = labelled[QUESTION].isin(["", schema.question])
    kept = labelled[same].reset_index(drop=True)
    known = {column.name for column in schema.columns} | {schema.target}
    foreign = [
        name
        for name in kept.columns
        if name not in known and not name.startswith(RESERVED) and kept[name].isna().all() and not same.all()
    ]
    return kept.drop(columns=foreign), int((~same).sum())


def without_ids_of(labelled: pd.DataFrame, held: pd.DataFrame) -> pd.DataFrame:
    """Labelled rows without those about somebody whom `held` rows, which they will be judged on, are about."""
    if ROW_ID not in labelled.columns or ROW_ID not in held.columns:
        return labelled
    return labelled[~(labelled[ROW_ID].isin(held[ROW_ID]) & (labelled[ROW_ID] != ""))]


def _together(
    base: NDArray[np.object_] | None, parts: NDArray[np.int8], ids: NDArray[np.object_], new_parts: NDArray[np.int8]
) -> NDArray[np.bool_]:
    """Bring the rows of one id to one side; (n_base + n_new,) False for those that must be left out.

    Somebody whom the gate is asked about is not trained on at all. Of the others, a production row follows the base
    rows of its id, or else the newest row of its id.
    """
    judged = np.isin(ids, ids[new_parts == split.RECENT])
    place: dict[Any, Any] = {}
    if base is not None:
        place = {i: part for i, part in zip(base.tolist(), parts.tolist(), strict=True) if part != split.TEST}
    newest = dict(zip(ids.tolist(), new_parts.tolist(), strict=True))  # in time order: the last one stands
    sides = [place.get(who, newest[who]) for who in ids[~judged].tolist()]
    new_parts[~judged] = np.array(sides, dtype=np.int8)
    old = np.ones(len(parts), bool) if base is None else (parts == split.TEST) | ~np.isin(base, ids[judged])
    return np.concatenate([old, ~judged | (new_parts == split.RECENT)])


def deal(
    n: int, data: Data, untouched: int | None = None, *, weight: NDArray[np.float64] | None = None
) -> NDArray[np.int8]:
    """Parts of `n` rows in time order: train, then validation, then recent.

    Parameters
    ----------
    untouched
        How many of the newest rows no model has been trained on; only they can be "recent". None: all.
    weight
        (n,) by inverse propensity; None: all rows alike.
    """
    recent = min(held_out(n, data, weight=weight), n if untouched is None else untouched)
    if recent < data.recent_min_rows:
        recent = 0
    validation = round((n - recent) * data.validation_share / (1 - data.test_share))
    parts = np.full(n, split.TRAIN, dtype=np.int8)
    parts[n - recent - validation :] = split.VALIDATION
    parts[n - recent :] = split.RECENT
    return parts


def held_out(n: int, data: Data, *, weight: NDArray[np.float64] | None = None) -> int:
    """How many of `n` rows the gate gets: a share, but enough to judge on as long as that is at most half of them.

    Parameters
    ----------
    n, data
        All of them; with the share that is held out.
    weight
        (n,) by inverse propensity. Such rows tell less than as many of equal weight: `data.recent_max_rows` are
        effective ones. None: all rows alike.
    """
    if not data.recent_share:
        return 0
    worth = effective_sample_size(weight) / n if weight is not None and n and weight.any() else 1.0
    return min(
        max(round(n * data.recent_share), min(data.recent_min_rows, n // 2)), round(data.recent_max_rows / worth)
    )


def weights_of(labelled: pd.DataFrame, max_weight: float) -> NDArray[np.float64] | None:
    """Weights (n,) of labelled rows by inverse propensity; None where they count alike."""
    if LABEL_PROPENSITY not in labelled.columns:
        return None
    found = weights.weights(labelled[LABEL_PROPENSITY], most=max_weight)
    return None if found.uniform else found.rows


def _ids(labelled: pd.DataFrame) -> NDArray[np.object_]:
    """(n,) who each row is about; one that does not say stands for itself."""
    own = np.array([f"\x1fprediction {key}" for key in labelled[PREDICTION_ID]], dtype=object)
    if ROW_ID not in labelled.columns:
        return own
    sent_ids = labelled[ROW_ID].fillna("").to_numpy(dtype=object)
    return np.where(sent_ids == "", own, sent_ids)


def _weighed(
    labelled: pd.DataFrame, y: NDArray[np.int64], max_weight: float
) -> tuple[pd.DataFrame, NDArray[np.int64], weights.Weights]:
    """Rows whose action gave a chance of a label, and the weights of these."""
    n = len(labelled)
    chance = labelled[LABEL_PROPENSITY] if LABEL_PROPENSITY in labelled.columns else np.full(n, np.nan)
    found = weights.weights(chance, most=max_weight)
    kept = msgspec.structs.replace(found, rows=found.rows[found.used])
    return labelled[found.used].reset_index(drop=True), y[found.used], kept


def _joined(
    rows: Rows,
    x: pd.DataFrame,
    y: NDArray[np.int64],
    ids: NDArray[np.object_],
    times: NDArray[Any],
    weight: NDArray[np.float64] | None,
) -> Rows:
    n, known = len(y), rows.weight
    if weight is not None and known is None:
        known = np.ones(len(rows.y))
    time = None
    if rows.time is not None:
        # A base table whose time is a plain number has no calendar to place production rows in: they come last.
        time = np.concatenate(
            [rows.time, times if rows.time.dtype.kind == "M" else np.full(n, np.nextafter(rows.time.max(), np.inf))]
        )
    return Rows(
        rows.X.with_rows(x) if isinstance(rows.X, DiskTable) else pd.concat([rows.X, x], ignore_index=True),
        np.concatenate([rows.y, y]),
        None if known is None else np.concatenate([known, np.ones(n) if weight is None else weight]),
        None if rows.ids is None else np.concatenate([rows.ids, ids]),
        time,
    )
