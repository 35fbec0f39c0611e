"""Windows over the prediction log: what was answered, with the latest label of each.

pandas is imported by the functions that return frames, not at import.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from ml.predictions.tables import feedback, predictions
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
    labelled_only: bool = False,
) -> pd.DataFrame:
    """Predictions in time order with the latest label of each, where one has come.

    Parameters
    ----------
    since, until
        Bounds on the moment of the answer, seconds: since <= time < until.
    rows
        At most this many, the newest.
    version
        Only what this model version answered.

    Returns
    -------
    DataFrame
        `prediction_id, time, model_version, inputs, label, probability, probabilities, flags` as logged
        (JSON as text: see `inputs_frame` and `probabilities_array`), `actual` (the latest label, None where none has
        come) and `labelled_at` (seconds, NaN where none).
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
    query = query.where(*_bounds(since, until, version))
    if labelled_only:
        query = query.where(f.label.is_not(None))
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
    rows: int | None = None,
) -> pd.DataFrame:
    """Predictions whose label has come, as raw training rows: what `generate(labelled=…)` adds.

    Returns
    -------
    DataFrame
        The logged input columns, the target column with the latest label (text), `prediction_id` and `time`
        (UTC), oldest first. Predictions without a label are not in it.
    """
    return training_rows(
        settings, window(database.engine(settings), since=since, until=until, rows=rows, labelled_only=True)
    )


def training_rows(settings: Settings, found: pd.DataFrame) -> pd.DataFrame:
    """Labelled rows of a `window` as `labelled` returns them."""
    import pandas as pd

    frame = inputs_frame(found)
    frame[_target(settings)] = found["actual"]
    frame["prediction_id"] = found["prediction_id"]
    frame["time"] = pd.to_datetime(found["time"], unit="s", utc=True)
    return frame


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
    engine: sa.Engine, *, until: float | None = None, version: str | None = None, rows: int | None = None
) -> LabelCounts:
    """How many of the newest predictions are labelled, and how long labels take."""
    p, f = predictions.c, feedback.c
    first = sa.select(sa.func.min(f.received_at)).where(f.prediction_id == p.prediction_id).scalar_subquery()
    query = sa.select(first - p.time).where(*_bounds(None, until, version)).order_by(p.time.desc()).limit(rows)
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


def _bounds(since: float | None, until: float | None, version: str | None) -> list[Any]:
    p = predictions.c
    return (
        ([p.time >= since] if since is not None else [])
        + ([p.time < until] if until is not None else [])
        + ([p.model_version == version] if version is not None else [])
    )
