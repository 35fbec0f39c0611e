"""The verdicts that were given: table `checks`, read by the pages, Airflow and the next check."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from ml.drift.verdict import DriftVerdict
from ml.settings import Settings
from ml.storage import database

checks = sa.Table(
    "checks",
    database.metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("time", sa.Double, nullable=False, index=True),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("retrain", sa.Boolean, nullable=False),
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),  # the whole DriftVerdict as JSON
)


def save(settings: Settings, verdict: DriftVerdict) -> None:
    """Write a check, over one with the same id."""
    row = {
        "id": verdict.id,
        "time": verdict.time,
        "verdict": verdict.verdict,
        "retrain": verdict.retrain,
        "model_version": verdict.model_version,
        "body": msgspec.json.encode(verdict).decode("utf-8"),
    }
    with database.unavailable_as_transient(), database.engine(settings).begin() as connection:
        connection.execute(sa.delete(checks).where(checks.c.id == verdict.id))
        connection.execute(sa.insert(checks).values(row))


def history(settings: Settings, n: int = 100, *, version: str | None = None, sha256: str = "") -> list[DriftVerdict]:
    """The last n checks, newest first; of one model version where that is given.

    Parameters
    ----------
    n
        At most so many.
    version, sha256
        None: of every version. With its hash: of that very bundle.
    """
    query = sa.select(checks.c.body).order_by(checks.c.time.desc(), checks.c.id.desc()).limit(n)
    if version is not None:
        query = query.where(checks.c.model_version == version)
    with database.unavailable_as_transient(), database.engine(settings).connect() as connection:
        found = [msgspec.json.decode(body, type=DriftVerdict) for body in connection.execute(query).scalars()]
    return [check for check in found if not (sha256 and check.model_sha256) or check.model_sha256 == sha256]


def get(settings: Settings, check_id: str) -> DriftVerdict | None:
    """A check by its id."""
    query = sa.select(checks.c.body).where(checks.c.id == check_id)
    with database.unavailable_as_transient(), database.engine(settings).connect() as connection:
        body = connection.execute(query).scalar()
    return msgspec.json.decode(body, type=DriftVerdict) if body else None


def latest(settings: Settings) -> DriftVerdict | None:
    """The newest check, or None before the first."""
    return next(iter(history(settings, 1)), None)


def last_retrain(settings: Settings) -> DriftVerdict | None:
    """The newest check that asked for a retraining."""
    query = sa.select(checks.c.body).where(checks.c.retrain).order_by(checks.c.time.desc()).limit(1)
    with database.unavailable_as_transient(), database.engine(settings).connect() as connection:
        body = connection.execute(query).scalar()
    return msgspec.json.decode(body, type=DriftVerdict) if body else None
