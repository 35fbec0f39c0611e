"""The prediction log: what was answered, the labels that came later (`tables`), and windows over both (`windows`).

Light to import: pandas is needed only by the functions that return frames, so the process that moves
the service's log into the database never loads it.

| module | what is in it |
|---|---|
| `tables` | The tables of the prediction log, and what writes them |
| `windows` | Windows over the prediction log: what was answered, with the latest label of each |
"""

from ml.predictions.tables import (
    BATCH_ROWS,
    drop_repeated_labels,
    feedback,
    insert,
    insert_feedback,
    insert_meanings,
    predictions,
    purge,
)
from ml.predictions.windows import counts, inputs_frame, labelled, probabilities_array, training_rows, window

__all__ = [
    "BATCH_ROWS",
    "counts",
    "drop_repeated_labels",
    "feedback",
    "inputs_frame",
    "insert",
    "insert_feedback",
    "insert_meanings",
    "labelled",
    "predictions",
    "probabilities_array",
    "purge",
    "training_rows",
    "window",
]
