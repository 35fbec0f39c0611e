"""The logistic grid beside the report's rows."""

from __future__ import annotations

import itertools

from ml.training import course_grid


def rows(accuracy: float) -> list[course_grid.GridPoint]:
    points = itertools.product((0.01, 0.1, 1.0, 10.0, 100.0), ("liblinear", "lbfgs", "saga"))
    return [course_grid.GridPoint(c, solver, accuracy) for c, solver in points]


def test_report_stands_beside_its_five_rows() -> None:
    """Each of the report's five accuracies stands in the cell of its C and solver."""
    text = course_grid.table(rows(0.9))
    assert text.count("90.0%") == 15
    lines = {line.split()[0]: line for line in text.splitlines()[1:]}
    assert lines["0.01"].index("(report 81%)") < lines["100"].index("(report 80%)")
    for c, share in (("0.01", 81), ("0.1", 83), ("1", 85), ("10", 84), ("100", 80)):
        assert f"(report {share}%)" in lines[c]


def test_point_that_could_not_be_fitted_is_a_dash() -> None:
    """liblinear on three classes has no accuracy; the table still stands."""
    first, *others = rows(0.9)
    points = [course_grid.GridPoint(first.C, first.solver), *others]
    assert "–" in course_grid.table(points)
    assert "standard error of 2.1 points" in course_grid.comparison(points, 200)


def test_no_grid_is_said() -> None:
    """Without one fitted point there is nothing to compare."""
    assert "could not be fitted" in course_grid.comparison([], 200)
