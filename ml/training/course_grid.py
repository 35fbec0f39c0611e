"""The logistic-regression grid of the course report, beside the report's own five rows."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

# What the report printed (C, solver, accuracy on its 200 test rows).
REPORT = (
    (0.01, "liblinear", 0.81),
    (0.1, "liblinear", 0.83),
    (1.0, "lbfgs", 0.85),
    (10.0, "lbfgs", 0.84),
    (100.0, "saga", 0.80),
)


class GridPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A point of the grid and its scores on the validation rows: None where it could not be fitted."""

    C: float
    solver: str
    accuracy: float | None = None
    f1: float | None = None
    log_loss: float | None = None


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """Content of a bundle's grid.json: the points, the validation rows that scored them, and whether the table was
    made as the report's was, so that its numbers say something beside them."""

    points: tuple[GridPoint, ...]
    validation_rows: int
    beside_report: bool


def table(points: Sequence[GridPoint], *, beside_report: bool = True) -> str:
    """The grid as text: C by solver, accuracy on the validation rows, the report's accuracy beside its five.

    The report's data was made by make_classification: beside another table its numbers would say nothing.
    """
    solvers = list(dict.fromkeys(point.solver for point in points))
    accuracy_at = {(point.C, point.solver): point.accuracy for point in points}
    report = {(c, solver): accuracy for c, solver, accuracy in REPORT} if beside_report else {}
    width = 22
    lines = ["C".rjust(8) + "".join(solver.rjust(width) for solver in solvers)]
    for c in sorted({key[0] for key in accuracy_at}):
        cells = [_cell(accuracy_at.get((c, solver)), report.get((c, solver))) for solver in solvers]
        lines.append(f"{c:g}".rjust(8) + "".join(cell.rjust(width) for cell in cells))
    return "\n".join(lines)


def comparison(points: Sequence[GridPoint], n_rows: int) -> str:
    """One sentence on how the grid compares with the report's five rows."""
    measured = {(point.C, point.solver): point.accuracy for point in points if point.accuracy is not None}
    pairs = [(measured[c, solver], accuracy) for c, solver, accuracy in REPORT if (c, solver) in measured]
    if not pairs:
        return "The report's grid could not be fitted on this table."
    ours = [pair[0] for pair in pairs]
    mean = sum(ours) / len(ours)
    error = (mean * (1 - mean) / max(n_rows, 1)) ** 0.5
    return (
        f"Ours lie within {100 * (max(ours) - min(ours)):.1f} points of each other, the report's within 5.0: with "
        f"converged solvers C and solver change little on such data, and one accuracy on {n_rows} rows has a standard "
        f"error of {100 * error:.1f} points, so the report's differences are mostly noise; candidates are chosen by "
        "log-loss instead."
    )


def _cell(accuracy: float | None, reported: float | None) -> str:
    ours = "–" if accuracy is None else f"{100 * accuracy:.1f}%"
    return ours if reported is None else f"{ours} (report {100 * reported:.0f}%)"
