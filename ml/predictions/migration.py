"""From the first layout of the prediction log in PostgreSQL to this one, once, in one transaction.

The first had plain tables; what was in them is copied into partitions with their keys, its inputs as the JSON that they
are. That takes about as long as a dump and a restore, needs the room of the table once more, and is undone by whatever
ends it. The layout's number is in the comment of `predictions`; a newer one than this version knows is refused.
"""

from __future__ import annotations

import logging

import sqlalchemy as sa

from ml.errors import SettingsError
from ml.messages import message
from ml.predictions import postgresql, tables
from ml.storage import database

log = logging.getLogger("refit.predictions")

_TABLES = (tables.predictions, tables.feedback, tables.prediction_keys, tables.repeated_labels, tables.layouts)
_OF_THE_FIRST = ("predictions_by_time", "predictions_by_version_and_time", "feedback_by_prediction")
_COPY = (
    "ALTER TABLE first_feedback ADD COLUMN IF NOT EXISTS answered float8 NOT NULL DEFAULT -1",
    "INSERT INTO prediction_keys (prediction_id, time) SELECT prediction_id, time FROM first_predictions",
    """
INSERT INTO prediction_keys (prediction_id, time) SELECT DISTINCT prediction_id, -1 FROM first_feedback
ON CONFLICT DO NOTHING
""",
    """
INSERT INTO predictions (prediction_id, time, model_version, inputs, label, probability, probabilities, flags,
    model_sha256, row_id)
SELECT prediction_id, time, model_version, convert_to(inputs, 'UTF8'), label, probability,
    convert_to(probabilities, 'UTF8'), flags, model_sha256, row_id FROM first_predictions
""",
    """
INSERT INTO feedback (id, prediction_id, label, received_at, answered)
SELECT f.id, f.prediction_id, f.label, f.received_at, k.time FROM first_feedback f
JOIN prediction_keys k USING (prediction_id)
""",
    "DROP TABLE first_predictions, first_feedback",
)


def migrate(engine: sa.Engine) -> None:
    """Bring an older layout to this one; nothing where there is none.

    Raises
    ------
    SettingsError
        The database was written by a newer version of Refit.
    """
    if not postgresql.is_used(engine):
        return
    with database.unavailable_as_transient(), engine.begin() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('refit.prediction_log.layout'))")
        query = "SELECT relkind, obj_description(oid) FROM pg_class WHERE oid = to_regclass('predictions')"
        found = connection.exec_driver_sql(query).one_or_none()
        if found is not None and found[0] == "r":
            log.warning("the prediction log is brought to layout %d; this may take a while", tables.LAYOUT)
            _migrate(connection)
        elif found is not None:
            layout = int((found[1] or "0").rpartition(" ")[2])
            if layout > tables.LAYOUT:
                raise SettingsError(message("requests.database_newer", found=layout, known=tables.LAYOUT))


def _migrate(connection: sa.Connection) -> None:
    for index in _OF_THE_FIRST:
        connection.exec_driver_sql(f"DROP INDEX IF EXISTS {index}")
    columns = {column["name"] for column in sa.inspect(connection).get_columns("predictions")}
    for column in {"model_sha256", "row_id"} - columns:  # of a first version's first days
        connection.exec_driver_sql(f"ALTER TABLE predictions ADD COLUMN {column} text NOT NULL DEFAULT ''")
    for table in ("predictions", "feedback"):
        connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO first_{table}")
    database.metadata.create_all(connection, tables=list(_TABLES))
    days = "SELECT DISTINCT floor(time / 86400)::int FROM first_predictions"
    postgresql.make_days(connection, {postgresql.NO_DAY, *connection.exec_driver_sql(days).scalars()})
    for statement in _COPY:
        connection.exec_driver_sql(statement)


database.before_tables.append(migrate)
