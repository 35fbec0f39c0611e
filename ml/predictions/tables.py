"""The tables of the prediction log, in both dialects.

In SQLite `predictions` has its id as the key, and inputs as JSON. In PostgreSQL `predictions` and `feedback` are cut
into days by the moment of the answer, inputs are packed (`ml.predictions.packed`), and `prediction_keys` says of each
prediction when it was answered: so a repeated id is known whatever its day, and a label finds the day of its
prediction. A label whose prediction has not come has a key with `WAITING` in place of the moment, and so its row.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from ml.storage import database

LAYOUT = 2  # of the prediction log in PostgreSQL; 1 had no partitions. See `ml.predictions.migration`
WAITING = -1.0  # in place of the moment of an answer that has not come

BYTES = sa.Text().with_variant(sa.LargeBinary(), "postgresql")

predictions = sa.Table(
    "predictions",
    database.metadata,
    sa.Column("prediction_id", sa.Text, nullable=False),
    sa.Column("time", sa.Double, nullable=False),  # answered at
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("inputs", BYTES, nullable=False),  # packed, or JSON: an object, column → value, null for missing
    sa.Column("label", sa.Text, nullable=False),  # predicted
    sa.Column("probability", sa.Double, nullable=False),  # of the predicted or positive label, as answered
    sa.Column("probabilities", BYTES, nullable=False),  # packed, or JSON: an object, class → probability
    sa.Column("flags", sa.Text, nullable=False),  # JSON list of warnings, as answered
    sa.Column("model_sha256", sa.Text, nullable=False, server_default=""),  # of the bundle that answered: see meanings
    sa.Column("row_id", sa.Text, nullable=False, server_default=""),  # `ml.schema.schema.identity`; "" where no id came
    sa.PrimaryKeyConstraint("prediction_id").ddl_if(dialect="sqlite"),
    sa.Index("predictions_by_version_and_time", "model_version", "time"),
    sa.Index("predictions_by_time", "time"),
    postgresql_partition_by="RANGE (time)",
    comment=f"Refit's prediction log, layout {LAYOUT}",
)
feedback = sa.Table(
    "feedback",
    database.metadata,
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("prediction_id", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),  # what turned out to be true
    sa.Column("received_at", sa.Double, nullable=False),
    # PostgreSQL: when the prediction was answered, in whose partition it is; WAITING until that comes, and in SQLite.
    sa.Column("answered", sa.Double, nullable=False, server_default="-1"),
    sa.PrimaryKeyConstraint("id").ddl_if(dialect="sqlite"),
    sa.Index("feedback_by_id", "id", "answered", unique=True).ddl_if(dialect="postgresql"),
    sa.Index("feedback_by_prediction", "prediction_id", "received_at", "id"),
    postgresql_partition_by="RANGE (answered)",
)

# Labels that say what the one before them said. Readers do not see them; they are here because a label that was given
# between the two may still come, from another machine, and make them a change.
repeated_labels = sa.Table(
    "repeated_labels",
    database.metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("prediction_id", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("received_at", sa.Double, nullable=False),
    sa.Index("repeated_labels_by_prediction", "prediction_id"),
)

# PostgreSQL: of every prediction. SQLite: of those that are in the archive and no longer in `predictions`.
prediction_keys = sa.Table(
    "prediction_keys",
    database.metadata,
    sa.Column("prediction_id", sa.Text, primary_key=True),
    sa.Column("time", sa.Double, nullable=False),  # answered at; WAITING: only a label has come
    sa.Index("prediction_keys_by_time", "time", postgresql_using="brin"),
)

# Which columns packed inputs have: `ml.predictions.packed`.
layouts = sa.Table(
    "layouts",
    database.metadata,
    sa.Column("key", sa.Text, primary_key=True),  # in hex
    sa.Column("content", sa.Text, nullable=False),
)

# What followed an answer, where that is known: one a prediction, the caller's word before the policy's.
actions = sa.Table(
    "actions",
    database.metadata,
    sa.Column("prediction_id", sa.Text, primary_key=True),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("propensity", sa.Double),  # of this action for this row, in (0, 1]; null where it is not known
    # Of a chance of a label, 0 where there is none: see `ml.exploration.policy`.
    sa.Column("label_propensity", sa.Double),
    sa.Column("told_at", sa.Double, nullable=False),  # by the caller; 0 where the policy of the settings gave it
)

# What a logged row means, by the content hash of the bundle that answered it: never taken from today's settings.
meanings = sa.Table(
    "meanings",
    database.metadata,
    sa.Column("sha256", sa.Text, primary_key=True),
    sa.Column("schema", sa.Text, nullable=False),  # schema.json: target, classes in order, ids, time, reading rules
)

# Rows that are in Parquet files: `ml.predictions.archive`.
archived = sa.Table(
    "archived",
    database.metadata,
    sa.Column("name", sa.Text, primary_key=True),  # of the file, below the archive's address
    sa.Column("day", sa.Integer, nullable=False),  # days since 1970, UTC
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),  # of its values
    sa.Column("since", sa.Double, nullable=False),  # the first answer in it
    sa.Column("until", sa.Double, nullable=False),  # the last
    sa.Column("archived_at", sa.Double, nullable=False),
)


class ActionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `actions`."""

    prediction_id: str
    action: str
    propensity: float | None
    label_propensity: float | None
    told_at: float = 0.0


class PredictionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `predictions`. Inputs and probabilities are JSON, or packed, which SQLite is not given.

    `followed` is what the policy let follow, where there is one: a row of `actions`.
    """

    prediction_id: str
    time: float
    model_version: str
    inputs: str | bytes
    label: str
    probability: float
    probabilities: str | bytes
    flags: str
    model_sha256: str = ""
    row_id: str = ""
    followed: ActionRow | None = None


class MeaningRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `meanings`."""

    sha256: str
    schema: str


class LayoutRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `layouts`."""

    key: str
    content: str


class FeedbackRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `feedback` as it comes."""

    id: str
    prediction_id: str
    label: str
    received_at: float


class ArchivedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `archived`."""

    name: str
    day: int
    rows: int
    sha256: str
    since: float
    until: float
    archived_at: float
