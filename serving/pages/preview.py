"""What the page shows of a scored table."""

from __future__ import annotations

from collections import Counter
from typing import BinaryIO

from serving.scoring.file_writers import Csv, answer_columns
from serving.scoring.score import Scored
from serving.scoring.upload import Part

SHOWN_ROWS = 200  # of an uploaded table
SHOWN_COLUMNS = 30  # of an uploaded table


class Preview(Csv):
    """Writes the whole result, counts the classes, and keeps the first rows for the page."""

    def __init__(self, out: BinaryIO):
        super().__init__(out)
        self.counts: Counter[str] = Counter()
        self.flagged = 0
        self.head: list[str] = []
        self.rows: list[list[str]] = []

    def add(self, part: Part, scored: Scored) -> None:
        """Append the rows of `part`."""
        super().add(part, scored)
        self.counts.update(scored.labels)
        self.flagged += sum(bool(warnings) for warnings in scored.rows.warnings)
        missing = SHOWN_ROWS - len(self.rows)
        if missing > 0:
            added = answer_columns(scored, part.table.column_names)
            shown_columns = [name for name in added.column_names if not name.endswith(("prediction_id", "warnings"))]
            answer = added.select(shown_columns).slice(0, missing)
            given = part.table.slice(0, missing).select(part.table.column_names[:SHOWN_COLUMNS])
            self.head = [*answer.column_names, *given.column_names]
            columns = [[_cell(value) for value in column.to_pylist()] for column in (*answer.columns, *given.columns)]
            self.rows += [list(row) for row in zip(*columns, strict=True)]


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "" if value is None else str(value)
    return text if len(text) <= 80 else text[:79] + "…"
