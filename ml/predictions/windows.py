"""Windows over the prediction log: what was answered, with the latest label of each.

pandas is imported by the functions that return frames, not at import.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from ml.predictions import tables
from ml.predictions.tables import feedback, predictions
from ml.schema.schema import ANSWERED, PREDICTION_ID, QUESTION, ROW_ID, Schema
from ml.settings import Settings
from ml.storage import database

if TYPE_CHECKING:
    import pandas as pd


def window(
    engine: sa.Engine,
    *,
    since: float | None = None,
    until: float | None = None,
    rows: int | None = None,
    version: str | None = None,
    sha256: str = "",
    labelled_only: bool = False,
    labels_after: float | None = None,
    labels_before: float | None = None,
) -> pd.DataFrame:
    """Predictions in time order with the latest label of each, where one has come.

    Parameters
    ----------
    since, until
        Bounds on the moment of the answer, seconds: since <= time < until.
    rows
        At most this many, the newest.
    version, sha256
        Only what this model version answered; with its bundle's hash not what another registry's of that number did.
    labels_after, labels_before
        Only predictions whose first label came after the one moment, or whose latest label came before the other,
        seconds.

    Returns
    -------
    DataFrame
        `prediction_id, time, model_version, inputs, label, probability, probabilities, flags, model_sha256, row_id` as
        logged (JSON as text: see `inputs_frame` and `probabilities_array`), `actual` (the latest label, None where none
        has come) and `labelled_at` (seconds, NaN where none).
    """
    import pandas as pd

    p, f = predictions.c, feedback.c
    newer = feedback.alias("newer")
    superseded = sa.exists().where(
        newer.c.prediction_id == f.prediction_id,
        sa.tuple_(newer.c.received_at, newer.c.id) > sa.tuple_(f.received_at, f.id),
    )
    joined = predictions.join(feedback, sa.and_(f.prediction_id == p.prediction_id, ~superseded), isouter=True)
    query = sa.select(predictions, f.label.label("actual"), f.received_at.label("labelled_at")).select_from(joined)
    query = query.where(*_bounds(since, until, version, sha256))
    if labelled_only:
        query = query.where(f.label.is_not(None))
    if labels_before is not None:
        query = query.where(f.received_at < labels_before)
    if labels_after is not None:  # a label that is put right later was known before
        known = newer.c.received_at <= labels_after
        known_before = sa.exists().where(newer.c.prediction_id == p.prediction_id, known)
        new = sa.select(f.prediction_id).where(f.received_at > labels_after)  # at first, as the most are older
        query = query.where(p.prediction_id.in_(new), f.received_at > labels_after, ~known_before)
    # prediction_id settles ties, so that two calls over the same log give the same rows.
    query = query.order_by(p.time.desc(), p.prediction_id.desc()).limit(rows)
    with database.unavailable_as_transient(), engine.connect() as connection:
        result = connection.execute(query)
        frame = pd.DataFrame(result.fetchall(), columns=list(result.keys()))
    frame["labelled_at"] = frame["labelled_at"].astype("float64")
    return frame.iloc[::-1].reset_index(drop=True)


def labelled(
    settings: Settings,
    since: float | None = None,
    *,
    until: float | None = None,
    labels_before: float | None = None,
    rows: int | None = None,
) -> pd.DataFrame:
    """Predictions whose label has come, as raw training rows: what `generate(labelled=…)` adds.

    Parameters
    ----------
    since, until
        Seconds since the epoch between which the prediction was answered; None: no bound.
    labels_before
        Only those whose latest label came before this moment, seconds; None: no bound.
    rows
        At most so many, the newest; None: all.

    Returns
    -------
    DataFrame
        The logged input columns, the target column with the latest label (text), and, named so that they meet no
        column of a customer (`ml.schema.schema`), the prediction's id, when it was answered (UTC), who it is about and
        which question it answers (`Schema.question`; "" where the log does not say), oldest first. Predictions
        without a label are not in it. A row whose own target is another one has its label in that column.
    """
    engine = database.engine(settings)
    found = window(engine, since=since, until=until, rows=rows, labelled_only=True, labels_before=labels_before)
    return training_rows(settings, found)


def training_rows(settings: Settings, found: pd.DataFrame) -> pd.DataFrame:
    """Labelled rows of a `window` as `labelled` returns them."""
    import pandas as pd

    frame = inputs_frame(found)
    known = meanings(database.engine(settings), found["model_sha256"].unique())
    own = found["model_sha256"].map(lambda key: known[key].target if key in known else _target(settings))
    for target in own.unique():
        labels = found["actual"].where(own == target)
        frame[target] = labels if target not in frame else frame[target].where(own != target, labels)
    frame[QUESTION] = found["model_sha256"].map(lambda key: known[key].question if key in known else "")
    frame[PREDICTION_ID], frame[ROW_ID] = found["prediction_id"], found["row_id"]
    frame[ANSWERED] = pd.to_datetime(found["time"], unit="s", utc=True)
    return frame


def meanings(engine: sa.Engine, hashes: Iterable[str]) -> dict[str, Schema]:
    """SHA-256 of a bundle → what its rows mean, for those that the log knows."""
    query = sa.select(tables.meanings).where(tables.meanings.c.sha256.in_(list(hashes)))
    with database.unavailable_as_transient(), engine.connect() as connection:
        return {row.sha256: Schema.from_json(row.schema) for row in connection.execute(query)}


def inputs_frame(found: pd.DataFrame) -> pd.DataFrame:
    """The logged inputs of a window as columns; a column that some rows lack is missing there."""
    import pandas as pd

    rows = msgspec.json.decode("[" + ",".join(found["inputs"]) + "]")
    return pd.DataFrame.from_records(rows, index=found.index)


def probabilities_array(found: pd.DataFrame, classes: Iterable[str]) -> Any:
    """(n_rows, n_classes) float64, columns in the order of `classes`; NaN where a class was not answered."""
    import numpy as np

    names = list(classes)
    rows = msgspec.json.decode("[" + ",".join(found["probabilities"]) + "]")
    table = [[row.get(name, math.nan) for name in names] for row in rows]
    return np.asarray(table, dtype=np.float64).reshape(len(table), len(names))


class LabelCounts(msgspec.Struct, frozen=True, kw_only=True):
    """`coverage` is labelled / predictions in [0, 1], None without predictions; `delay_s` the median seconds from the
    answer to the first label, None without labels."""

    predictions: int
    labelled: int
    coverage: float | None
    delay_s: float | None


def counts(
    engine: sa.Engine,
    *,
    until: float | None = None,
    version: str | None = None,
    sha256: str = "",
    rows: int | None = None,
) -> LabelCounts:
    """How many of the newest predictions are labelled, and how long labels take.

    Parameters
    ----------
    until
        Seconds since the epoch; later predictions do not count. None: no bound.
    version
        That answered; None: any.
    rows
        So many of the newest predictions are looked at; None: all.
    """
    p, f = predictions.c, feedback.c
    first = sa.select(sa.func.min(f.received_at)).where(f.prediction_id == p.prediction_id).scalar_subquery()
    query = sa.select(first - p.time).where(*_bounds(None, until, version, sha256)).order_by(p.time.desc()).limit(rows)
    with database.unavailable_as_transient(), engine.connect() as connection:
        delays = list(connection.execute(query).scalars())
    known = sorted(delay for delay in delays if delay is not None)
    return LabelCounts(
        predictions=len(delays),
        labelled=len(known),
        coverage=len(known) / len(delays) if delays else None,
        delay_s=known[len(known) // 2] if known else None,
    )


def _target(settings: Settings) -> str:
    if settings.data.source == "customers":  # a source that brings a target of its own
        from ml.data.sources import customers

        settings = customers.configure(settings)
    return settings.data.target


def _bounds(since: float | None, until: float | None, version: str | None, sha256: str) -> list[Any]:
    p = predictions.c
    return (
        ([p.time >= since] if since is not None else [])
        + ([p.time < until] if until is not None else [])
        + ([p.model_version == version] if version is not None else [])
        + ([p.model_sha256.in_([sha256, ""])] if sha256 else [])
    )
