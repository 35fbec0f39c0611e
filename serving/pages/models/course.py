"""The course report's table of results (its section 5.2) beside ours: the same C and solver, on made rows."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from ml.training.course_grid import REPORT, Grid, GridPoint
from serving.pages.i18n import formats
from serving.status.version_files import VersionFiles


def of(files: VersionFiles) -> dict[str, Any] | None:
    """The report's five rows beside ours; None where the table is not the report's kind, or the grid is not known."""
    try:
        grid = msgspec.convert(files.json("grid.json"), Grid)
    except msgspec.ValidationError:
        return None
    ours = {(point.C, point.solver): point for point in grid.points if point.accuracy is not None}
    known = [ours[c, solver] for c, solver, _ in REPORT if (c, solver) in ours]
    if not grid.beside_report or not known or not grid.validation_rows:
        return None
    accuracies = [point.accuracy for point in known if point.accuracy is not None]
    mean = sum(accuracies) / len(accuracies)
    best = min((p for p in ours.values() if p.log_loss is not None), key=lambda p: p.log_loss or 0.0, default=None)
    reported = [accuracy for _, _, accuracy in REPORT]
    return {
        "rows": [_row(i, c, solver, told, ours.get((c, solver))) for i, (c, solver, told) in enumerate(REPORT, 1)],
        "n": formats.number(grid.validation_rows, 0),
        "spread": formats.number(100 * (max(accuracies) - min(accuracies)), 1, fixed=True),
        "reported_spread": formats.number(100 * (max(reported) - min(reported)), 1, fixed=True),
        "error": formats.number(100 * math.sqrt(mean * (1 - mean) / grid.validation_rows), 1, fixed=True),
        "best": best and {"C": formats.number(best.C), "solver": best.solver, "tried": len(ours)},
    }


def _row(number: int, c: float, solver: str, told: float, point: GridPoint | None) -> dict[str, str]:
    return {
        "number": str(number),
        "C": formats.number(c),
        "solver": solver,
        "report": formats.percent(told),
        "ours": "–" if point is None else formats.percent(point.accuracy or 0.0),
        "log_loss": "–" if point is None else formats.number(point.log_loss, 4, fixed=True),
    }
