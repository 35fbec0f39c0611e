"""The prediction log: what was answered, the labels that came later, and windows over both.

Light to import: pandas is needed only by the functions that return frames, so the process that moves
the service's log into the database never loads it.

| module | what is in it |
|---|---|
| `archive` | Old days in Parquet files, read as if they had not left the database |
| `archiver` | Brings old days into Parquet files: what leaves the database by age |
| `label_coverage` | Which of the answered rows have a label, by their score, and whether they are a sample |
| `migration` | From the first layout of the prediction log in PostgreSQL to this one, once, in one transaction |
| `packed` | Inputs and probabilities of a logged row as few bytes, for PostgreSQL |
| `postgresql` | The prediction log in PostgreSQL: COPY into a staging table, days that are dropped whole, and keys |
| `tables` | The tables of the prediction log, in both dialects |
| `windows` | Windows over the prediction log: what was answered, with the latest label of each |
| `writing` | What writes the prediction log |
"""

from ml.predictions import migration
from ml.predictions.tables import ActionRow, PredictionRow, feedback, predictions
from ml.predictions.windows import counts, inputs_frame, labelled, probabilities_array, training_rows, window
from ml.predictions.writing import (
    BATCH_ROWS,
    insert,
    insert_actions,
    insert_feedback,
    insert_layouts,
    insert_meanings,
    purge,
)

__all__ = [
    "BATCH_ROWS",
    "ActionRow",
    "PredictionRow",
    "counts",
    "feedback",
    "inputs_frame",
    "insert",
    "insert_actions",
    "insert_feedback",
    "insert_layouts",
    "insert_meanings",
    "labelled",
    "migration",
    "predictions",
    "probabilities_array",
    "purge",
    "training_rows",
    "window",
]
