"""Pickle export in the course format: one pickle with X_train, X_val, X_test, y_train, y_val, y_test.

A pickle runs code when it is read, so this one is read back only from where it was written, and only
while it has the hash that was noted then. Of a large table each part is a sample: a pickle is made and read in memory
as a whole, and the course's programs read it so.
"""

from __future__ import annotations

import hashlib
import pickle
from typing import TypedDict

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.data.snapshot import Snapshot
from ml.errors import DataError
from ml.messages import Message, message
from ml.settings import Settings
from ml.storage import files

PARTS = ("train", "validation", "test")
MOST_CELLS = 20_000_000  # of a part: 80 MB of numbers; our choice


class Course(TypedDict):
    """The pickled mapping, in the names of the course: inputs (n, d) and class codes (n,) of each part."""

    X_train: pd.DataFrame
    X_val: pd.DataFrame
    X_test: pd.DataFrame
    y_train: NDArray[np.int64]
    y_val: NDArray[np.int64]
    y_test: NDArray[np.int64]


def write(snapshot: Snapshot, settings: Settings) -> None:
    """Write `data/course.pkl`, and its hash in `data/course.json`: DataFrames, and codes as int64.

    Of a part of more than `MOST_CELLS` so many are drawn at random (`Snapshot.sample`).
    """
    most = _most_rows(snapshot)
    train, val, test = (snapshot.sample(name, most) for name in PARTS)
    content = Course(X_train=train.X, X_val=val.X, X_test=test.X, y_train=train.y, y_val=val.y, y_test=test.y)
    path = settings.data_dir / "course.pkl"
    with files.replacing(path) as stream:  # not by `dumps`: a large table would be in memory once more
        pickle.dump(content, stream, protocol=pickle.HIGHEST_PROTOCOL)
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    note = {"sha256": digest, "snapshot": snapshot.id, "classes": snapshot.schema.classes}
    files.write_json(path.with_suffix(".json"), note)


def sampled(snapshot: Snapshot) -> Message | None:
    """That the pickle has a sample of some parts; None where it has all rows."""
    most = _most_rows(snapshot)
    parts = {name: snapshot.manifest.parts[name] for name in PARTS}
    named = [message("data.sampled_part", n=most, part=name, rows=n) for name, n in parts.items() if n > most]
    return message("data.pickle_sampled", parts=named) if named else None


def _most_rows(snapshot: Snapshot) -> int:
    return max(MOST_CELLS // len(snapshot.schema.columns), 1)


def read(settings: Settings) -> Course:
    """Read what `write` wrote.

    Raises
    ------
    DataError
        It is not there, or is not the file that was written.
    """
    path = settings.data_dir / "course.pkl"
    try:
        noted = msgspec.json.decode(path.with_suffix(".json").read_bytes())["sha256"]
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(message("data.no_pickle"), file=str(path)) from error
    if hashlib.sha256(content).hexdigest() != noted:
        raise DataError(message("data.other_pickle"), file=str(path))
    loaded: Course = pickle.loads(content)
    return loaded
