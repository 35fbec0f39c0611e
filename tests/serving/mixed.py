"""An application that serves a tiny model of two number columns (n0, n1) and a category (c0: red, green)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask

from ml.settings import Settings, from_values
from serving.app import create_app
from serving.model.store import Pointer, write_pointer
from serving.prediction_log import segments
from serving.prediction_log.records import Feedback, Predictions, Record
from tests.ml.tiny import tiny_bundle
from tests.serving import counting

ROW: dict[str, Any] = {"n0": 1.5, "n1": -0.5, "c0": "red"}


def publish(home: Path, *, version: str = "3", **bundle: Any) -> Settings:
    """Write the bundle, point the service at it."""
    folder = home / "var" / "serving"
    sha256 = tiny_bundle(folder / "cache" / version, **bundle)
    write_pointer(folder, Pointer(version, f"cache/{version}", sha256))
    return from_values({"home": str(home), "serving": {"max_rows": 50}})


@contextmanager
def application(home: Path, **bundle: Any) -> Iterator[Flask]:
    """The application, closed at the end so that its log is complete."""
    app = create_app(publish(home, **bundle))
    try:
        yield app
    finally:
        app.extensions["refit"].close()


def logged(home: Path) -> list[Record]:
    """Every record in the log's segments."""
    found: list[Record] = []
    for segment in segments.segments(home / "var" / "serving" / "segments"):
        for record in counting.whole(segment):
            assert record is not None, "a damaged stretch"
            found.append(record)
    return found


def logged_ids(home: Path) -> list[str]:
    """Ids of the logged predictions."""
    return [one for record in logged(home) if isinstance(record, Predictions) for one in record.ids]


def logged_labels(home: Path) -> list[tuple[str, str]]:
    """Logged labels with their prediction ids."""
    return [(one.prediction_id, one.label) for r in logged(home) if isinstance(r, Feedback) for one in r.labels]
