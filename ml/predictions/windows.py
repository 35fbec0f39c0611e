"""Windows over the prediction log: what was answered, with the latest label of each.

pandas is imported by the functions that return frames, not at import.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from ml.predictions import archive, packed, postgresql, tables
from ml.predictions.archive import Wanted
from ml.predictions.tables import actions, feedback, predictions
from ml.schema.schema import ANSWERED, LABEL_PROPENSITY, PREDICTION_ID, QUESTION, ROW_ID, Schema
from ml.settings import Settings
from ml.storage import database

if TYPE_CHECKING:
    import pandas as pd

PROPENSITIES = ("propensity", "label_propensity")


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
        logged (packed or JSON: see `inputs_frame` and `probabilities_array`), `actual` (the latest label, None where
        none has come) and `labelled_at` (seconds, NaN where none); `action` (None where none is known), `propensity`
        and `label_propensity` (NaN where not known), as `ml.exploration.policy` has them.
    """
    import pandas as pd

    wanted = Wanted(since, until, version, sha256, labelled_only, labels_after, labels_before)
    found = _in_database(engine, wanted, rows)
    if files := archive.files(engine, since=since, until=until):  # after the rows: see `with_files`
        found = archive.with_files(engine, found, files, wanted, rows)
    names = [column.name for column in predictions.c]
    frame = pd.DataFrame(found[::-1], columns=[*names, "actual", "labelled_at", "action", *PROPENSITIES])
    for name in ("inputs", "probabilities"):
        read = [packed.as_read(row[names.index(name)]) for row in reversed(found)]
        frame[name] = pd.Series(read, dtype=object, index=frame.index)
    for name in ("labelled_at", *PROPENSITIES):
        frame[name] = frame[name].astype("float64")
    frame["action"] = frame["action"].astype(object).where(frame["action"].notna(), None)
    _learn(engine, frame["inputs"])
    return frame


def _in_database(engine: sa.Engine, wanted: Wanted, rows: int | None) -> list[archive.Row]:
    """The newest first."""
    p, f = predictions.c, feedback.c
    newer = feedback.alias("newer")
    superseded = sa.exists().where(
        *same(engine, newer.c, f), sa.tuple_(newer.c.received_at, newer.c.id) > sa.tuple_(f.received_at, f.id)
    )
    mine = [*same(engine, f, p), ~superseded]
    if postgresql.is_used(engine):  # the days of the labels, which the planner does not take from those of the rows
        mine.append(f.answered >= (wanted.since or 0.0))
        if wanted.until is not None:
            mine.append(f.answered < wanted.until)
    joined = predictions.join(feedback, sa.and_(*mine), isouter=True)
    joined = joined.join(actions, actions.c.prediction_id == p.prediction_id, isouter=True)
    followed = actions.c.action, actions.c.propensity, actions.c.label_propensity
    query = sa.select(predictions, f.label.label("actual"), f.received_at.label("labelled_at"), *followed)
    query = query.select_from(joined)
    query = query.where(*bounds(wanted.since, wanted.until, wanted.version, wanted.sha256))
    if wanted.labelled_only:
        query = query.where(f.label.is_not(None))
    if wanted.labels_before is not None:
        query = query.where(f.received_at < wanted.labels_before)
    if wanted.labels_after is not None:  # a label that is put right later was known before
        known = newer.c.received_at <= wanted.labels_after
        known_before = sa.exists().where(*same(engine, newer.c, p), known)
        new = sa.select(f.prediction_id).where(f.received_at > wanted.labels_after)  # at first, as the most are older
        query = query.where(p.prediction_id.in_(new), f.received_at > wanted.labels_after, ~known_before)
    # prediction_id settles ties, so that two calls over the same log give the same rows.
    query = query.order_by(p.time.desc(), p.prediction_id.desc()).limit(rows)
    with database.unavailable_as_transient(), engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def same(engine: sa.Engine, labels: Any, rows: Any) -> list[Any]:
    """Conditions under which a label is a row's, or of the same prediction as another label.

    Parameters
    ----------
    engine
        In PostgreSQL the moment of the answer is among them, which leads to the one partition.
    labels
        Columns of `feedback`.
    rows
        Columns of `predictions`, or of `feedback`.
    """
    found = [labels.prediction_id == rows.prediction_id]
    if postgresql.is_used(engine):
        found.append(labels.answered == (rows.time if "time" in rows else rows.answered))
    return found


def _learn(engine: sa.Engine, inputs: Iterable[str | bytes]) -> None:
    """Know the layouts of packed inputs, with which they are read later."""
    if unknown := packed.unknown(inputs):
        query = sa.select(tables.layouts.c.content).where(tables.layouts.c.key.in_([key.hex() for key in unknown]))
        with database.unavailable_as_transient(), engine.connect() as connection:
            packed.learn(connection.execute(query).scalars())


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
        column of a customer (`ml.schema.schema`), the prediction's id, when it was answered (UTC), who it is about,
        which question it answers (`Schema.question`; "" where the log does not say) and its chance of a label
        (`ml.exploration.policy`; NaN where the log does not say), oldest first. Predictions
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
    frame[LABEL_PROPENSITY] = found["label_propensity"]
    frame[ANSWERED] = pd.to_datetime(found["time"], unit="s", utc=True)
    return frame


def meanings(engine: sa.Engine, hashes: Iterable[str]) -> dict[str, Schema]:
    """SHA-256 of a bundle → what its rows mean, for those that the log knows."""
    query = sa.select(tables.meanings).where(tables.meanings.c.sha256.in_(list(hashes)))
    with database.unavailable_as_transient(), engine.connect() as connection:
        return {row.sha256: Schema.from_json(row.schema) for row in connection.execute(query)}


def inputs_frame(found: pd.DataFrame) -> pd.DataFrame:
    """The logged inputs of a window as columns; a column that some rows lack is missing there."""

    return packed.inputs_frame(found["inputs"].tolist(), found.index)


def probabilities_array(found: pd.DataFrame, classes: Iterable[str]) -> Any:
    """(n_rows, n_classes) float64, columns in the order of `classes`; NaN where a class was not answered."""
    import numpy as np

    names = list(classes)
    pairs = zip(found["probabilities"], found["inputs"], strict=True)
    answered = [packed.probabilities_of(value, inputs) for value, inputs in pairs]
    table = [[row.get(name, math.nan) for name in names] for row in answered]
    return np.asarray(table, dtype=np.float64).reshape(len(table), len(names))


class LabelCounts(msgspec.Struct, frozen=True, kw_only=True):
    """`coverage` is labelled / predictions in [0, 1], None without predictions; `delay_s` the median seconds from the
    answer to the first label, None without labels; `waiting` those predictions that came after the newest labelled one
    (all, without labels)."""

    predictions: int
    labelled: int
    waiting: int
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
    first = sa.select(sa.func.min(f.received_at)).where(*same(engine, f, p)).scalar_subquery()
    query = sa.select(p.prediction_id, p.time, first).where(*bounds(None, until, version, sha256))
    with database.unavailable_as_transient(), engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(query.order_by(p.time.desc()).limit(rows))]
    if files := archive.files(engine, until=until):
        wanted = Wanted(until=until, version=version, sha256=sha256)
        found = archive.with_first_labels(engine, found, files, wanted, rows)
    known = sorted(label - time for _, time, label in found if label is not None)
    newest = max((time for _, time, label in found if label is not None), default=-math.inf)
    return LabelCounts(
        predictions=len(found),
        labelled=len(known),
        waiting=sum(time > newest for _, time, _ in found),
        coverage=len(known) / len(found) if found else None,
        delay_s=known[len(known) // 2] if known else None,
    )


def _target(settings: Settings) -> str:
    if settings.data.source == "customers":  # a source that brings a target of its own
        from ml.data.sources import customers

        settings = customers.configure(settings)
    return settings.data.target


def bounds(since: float | None, until: float | None, version: str | None, sha256: str) -> list[Any]:
    """Conditions on `predictions`: see `window`. None and "" bound nothing.

    Parameters
    ----------
    since, until
        since <= time < until, seconds.
    version, sha256
        That answered.
    """
    p = predictions.c
    return (
        ([p.time >= since] if since is not None else [])
        + ([p.time < until] if until is not None else [])
        + ([p.model_version == version] if version is not None else [])
        + ([p.model_sha256.in_([sha256, ""])] if sha256 else [])
    )
