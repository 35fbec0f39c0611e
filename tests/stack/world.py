"""Customers of the test stack: rows like those the first champion learnt from, their labels, and ways to go wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import sqlalchemy as sa

from demo.send import records
from demo.traffic import Answer, Client
from ml import predictions
from ml.data.sources import registry
from ml.storage import database
from tests.stack.conftest import Stack


class World:
    """Draws rows of the configured source, each a little moved so that none is one that was trained on."""

    def __init__(self, running: Stack) -> None:
        self.running = running
        self.client = Client(running.layout.url("service"))
        frame = registry.read(running.layout.settings)
        self._rows = records(frame, self.client.schema())
        self._labels = frame[running.layout.settings.data.target].astype(str).to_numpy(dtype=object)
        self._random = np.random.default_rng(0)
        self.waiting: list[Answer] = []  # answered, and their labels have not come
        self.kept_back: list[str] = []  # those labels
        self.labelled_before = self.rows_with_labels()  # other tests use the same stack

    def draw(self, n: int, *, turned: bool = False, without: str = "") -> tuple[list[dict[str, Any]], list[str]]:
        """`n` rows and their true labels.

        Parameters
        ----------
        turned
            Every row means the opposite of what it meant: concept shift, with the inputs as ever.
        without
            A column that the feed has lost.
        """
        chosen = self._random.integers(0, len(self._rows), n)
        rows = [{name: value + 0.05 * self._random.normal() for name, value in self._rows[i].items()} for i in chosen]
        labels = self._labels[chosen]
        if turned:
            labels = np.where(labels == "1", "0", "1")
        if without:
            rows = [row | {without: None} for row in rows]
        return rows, labels.tolist()

    def ask(self, rows: list[dict[str, Any]]) -> list[Answer]:
        """Answers to all rows in one request, which reaches the database in one piece."""
        return self.client.predict(rows)

    def tell(self, answers: list[Answer], labels: list[str]) -> None:
        """Send labels; return when they are in the database, as the latest of their predictions."""
        told = {answer.prediction_id: label for answer, label in zip(answers, labels, strict=True)}
        self.client.feedback(list(told.items()))

        def arrived() -> bool:
            found = predictions.window(database.engine(self.running.layout.settings), labelled_only=True)
            latest = dict(zip(found["prediction_id"], found["actual"], strict=True))
            return all(latest.get(key) == label for key, label in told.items())

        self.running.until(arrived, "the labels are not in the database")

    def rows_with_labels(self) -> int:
        """Predictions for which a label has come, ever."""
        first = sa.select(sa.func.count(sa.distinct(predictions.feedback.c.prediction_id))).where(
            predictions.feedback.c.prediction_id.in_(sa.select(predictions.predictions.c.prediction_id))
        )
        with database.engine(self.running.layout.settings).connect() as connection:
            return int(connection.execute(first).scalar_one())


def accuracy(answers: list[Answer], labels: list[str]) -> float:
    """Share of right answers, in [0, 1]."""
    return float(np.mean([answer.label == label for answer, label in zip(answers, labels, strict=True)]))
