"""The charts of a version as SVG files: for its run in MLflow and for its bundle, in English."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ml.charts import model_quality, search_history
from ml.charts.chart import Chart, cut, escape
from ml.charts.document import document, note
from ml.charts.model_quality import Curve
from ml.charts.search_history import ScoredTrial

MAX_PANELS = 12  # parameters of the search
MAX_LINES = 40  # of the table of the model
ROW, LONGEST_NAME, LONGEST_VALUE = 22, 48, 72
LOSS = "held-out log-loss"


def version_figures(
    *,
    history: Sequence[Mapping[str, float]],
    trials: Sequence[ScoredTrial],
    failed: int,
    structure: Mapping[str, Any],
    curves: Sequence[Curve],
    confusion: Sequence[Sequence[float]],
    classes: Sequence[str],
    importance: Mapping[str, float],
) -> dict[str, bytes]:
    """Every figure that there is something to draw for: file name → SVG.

    Parameters
    ----------
    history
        Per epoch, of the fitted model; empty for a family that is fitted in one go.
    trials, failed
        Those that have a loss, in the order of their numbers, and how many have none.
    structure
        `describe()` of the model.
    confusion
        (n_classes, n_classes) rows by true and answered class.
    importance
        Column → mean absolute contribution; empty where it was not measured.
    """
    figures = {**_quality(curves, confusion, classes, importance), "model": structure_table(structure)}
    if history:
        figures["training_curves"] = training_curves(history)
    if trials:
        figures |= _search(trials, failed)
    return {f"{name}.svg": figure for name, figure in figures.items()}


def training_curves(history: Sequence[Mapping[str, float]]) -> bytes:
    """Log-loss, accuracy and F1 by epoch, of training and validation rows."""
    panels = [
        search_history.training_curves(
            history, [(metric, f"{name}, training"), (f"validation_{metric}", f"{name}, validation")],
            title=name, x_label="epoch", y_label=name,
        )
        for metric, name in (("loss", "log-loss"), ("accuracy", "accuracy"), ("f1", "F1"))
    ]  # fmt: skip
    return _file([panel for panel in panels if panel], "Training curves", "One epoch gives no curve.", columns=3)


def structure_rows(
    value: object, place: str = "", number: Callable[[float], str] = "{:,}".format
) -> Iterator[tuple[str, str]]:
    """What an estimator says of itself, flat: its place and its value as text, numbers as `number` writes them.

    >>> list(structure_rows({"layers": [{"width": 64}], "rate": 0.5}))
    [('layers[0].width', '64'), ('rate', '0.5')]
    """
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from structure_rows(inner, f"{place}.{name}" if place else str(name), number)
    elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        for i, inner in enumerate(value):
            yield from structure_rows(inner, f"{place}[{i}]", number)
    elif isinstance(value, list):
        yield place, ", ".join(str(inner) for inner in value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield place, number(value)
    else:
        yield place, str(value)


def structure_table(structure: Mapping[str, Any]) -> bytes:
    """Structure and parameters of the saved model, a line each; those after the first 40 are counted."""
    rows = list(structure_rows(structure))
    lines = rows[:MAX_LINES]
    if len(rows) > len(lines):
        lines.append(("…", f"and {len(rows) - len(lines)} more"))
    title = f"Saved model: {cut(str(structure.get('family', 'model')), LONGEST_NAME)}"
    body = "".join(_row(i, name, value) for i, (name, value) in enumerate(lines))
    return document([Chart(title=title, body=body, width=800, height=ROW * len(lines))], title=title)


def _row(index: int, name: str, value: str) -> str:
    y = ROW * index
    stripe = "" if index % 2 else f'<rect class="stripe" x="0" y="{y}" width="800" height="{ROW}"/>'
    return (
        f'{stripe}<text x="8" y="{y + 15}">{escape(cut(name, LONGEST_NAME))}</text>'
        f'<text class="tick" x="330" y="{y + 15}">{escape(cut(value, LONGEST_VALUE))}</text>'
    )


def _quality(
    curves: Sequence[Curve],
    confusion: Sequence[Sequence[float]],
    classes: Sequence[str],
    importance: Mapping[str, float],
) -> dict[str, bytes]:
    areas = [f"{curve.label} (area {curve.area:.3f})" for curve in curves]
    shares = [f"{curve.label} (chance {curve.share:.1%})" for curve in curves]
    charts = {
        "roc": model_quality.roc(
            curves, areas, title="ROC", x_label="false positive rate", y_label="true positive rate"
        ),
        "precision_recall": model_quality.precision_recall(
            curves, shares, title="Precision and recall", x_label="recall", y_label="precision"
        ),
        "calibration": model_quality.calibration(
            curves, title="Calibration", x_label="mean probability", y_label="share that came"
        ),
        "confusion": model_quality.confusion(
            confusion, classes, title="Confusion matrix (rows)", x_label="answered", y_label="true"
        ),
    }
    if importance:
        charts["importance"] = model_quality.importance(importance, title="Mean contribution, in log-odds")
    one_class = "No class of the test rows has rows of both kinds."
    return {name: _file([chart] if chart else [], chart.title, one_class) for name, chart in charts.items()}


def _search(trials: Sequence[ScoredTrial], failed: int) -> dict[str, bytes]:
    title = "Tuning" + (f" ({failed} failed)" if failed else "")
    if above := search_history.not_drawn(trials):
        title += f"; {above} of the worst not drawn"
    convergence = search_history.convergence(trials, best="best so far", title=title, x_label="trial", y_label=LOSS)
    metrics = {"loss": "log-loss (lower is better)", "accuracy": "accuracy", "macro_f1": "macro F1"}
    comparison = search_history.comparison(trials, metrics)
    space = [
        replace(chart, title=f"{family}: {chart.title}")
        for family in search_history.family_colours(trials)
        for chart in search_history.search_space(trials, family)
    ]
    return {
        "tuning_convergence": _file([convergence], title),
        "tuning_space": _file(
            space[:MAX_PANELS], "Log-loss by parameter" + _left_out(space), "No parameter varied.", columns=4
        ),
        "tuning_comparison": _file(
            _with_legend(comparison, trials), "The best trials", "No trial was finished.", columns=3
        ),
    }


def _left_out(charts: Sequence[Chart]) -> str:
    return f" ({MAX_PANELS} of {len(charts)})" if len(charts) > MAX_PANELS else ""


def _with_legend(charts: Sequence[Chart], trials: Sequence[ScoredTrial]) -> list[Chart]:
    """The families' colours, under the first."""
    legend = search_history.family_key(trials)
    return [replace(charts[0], legend=legend), *charts[1:]] if charts else []


def _file(charts: Sequence[Chart], title: str, nothing: str = "", columns: int = 1) -> bytes:
    return document(charts or [note(nothing, title=title)], title=title, columns=columns)
