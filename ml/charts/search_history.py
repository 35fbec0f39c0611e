"""How a version was found: training curves, the trials of the search, and what they tried.

All text is the caller's: a page gives it in the reader's language.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ml.charts.categories import dot_plot
from ml.charts.chart import SMALL, Chart, Key, Localise, cut, short
from ml.charts.line_chart import Series, line_chart

MAX_TRIALS = 12  # side by side
LOGARITHMIC = 50.0  # a parameter whose values span this factor is drawn on a logarithmic axis; our choice
LONGEST_LEVEL = 10  # letters of a category on an axis
HOPELESS = 0.9  # quantile of the losses above which a trial is in the table alone: it would press the others flat


@dataclass(frozen=True, kw_only=True)
class ScoredTrial:
    """A trial that has a loss, as `trials.json` of a bundle has it; `number` is its place on the axis."""

    number: int
    loss: float
    family: str = ""
    status: str = "ok"
    params: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)


def family_colours(trials: Sequence[ScoredTrial]) -> dict[str, int]:
    """Family → its place in the palette, from the second on: the first is the best so far."""
    return {name: place for place, name in enumerate(sorted({trial.family for trial in trials}), 2)}


def training_curves(
    history: Sequence[Mapping[str, float]],
    names: Sequence[tuple[str, str]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    localise: Localise = str,
) -> Chart:
    """Metrics by epoch, of training and validation rows.

    Parameters
    ----------
    history
        An entry an epoch; an entry may lack a metric.
    names
        (metric, text) of the lines. One that has fewer than two points is left out.
    """
    series = []
    for metric, text in names:
        points = tuple(
            (float(i), float(row[metric])) for i, row in enumerate(history, 1) if row.get(metric) is not None
        )
        if len(points) > 1:
            series.append(Series(name=text, points=points))
    return line_chart(series, title=title, x_label=x_label, y_label=y_label, localise=localise)


def convergence(
    trials: Sequence[ScoredTrial], *, best: str, title: str, x_label: str, y_label: str, localise: Localise = str
) -> Chart:
    """Loss of each trial, by family, and the best so far (named `best`); a hollow dot was given up early.

    `trials` are in the order of their numbers.
    """
    if not trials:
        return Chart(title=title)
    top = _highest_drawn(trials)
    series = [Series(name=best, points=_best_so_far(trials))]
    for family, colour in family_colours(trials).items():
        for hollow in (False, True):
            own = [t for t in trials if t.family == family and t.loss <= top and (t.status != "ok") is hollow]
            points = tuple((float(t.number), t.loss) for t in own)
            series.append(Series(name=family, points=points, dots=True, line=False, colour=colour, hollow=hollow))
    lines = [line for line in series if line.points]
    return line_chart(lines, title=title, x_label=x_label, y_label=y_label, localise=localise)


def not_drawn(trials: Sequence[ScoredTrial]) -> int:
    """How many trials `convergence` leaves out, for a caption that says so."""
    return sum(trial.loss > _highest_drawn(trials) for trial in trials)


def _highest_drawn(trials: Sequence[ScoredTrial]) -> float:
    """The first trial's loss (the baseline's) at least; above the quantile a trial would press the others flat."""
    return max(trials[0].loss, _quantile([trial.loss for trial in trials])) if trials else 0.0


def _best_so_far(trials: Sequence[ScoredTrial]) -> tuple[tuple[float, float], ...]:
    """A step at each trial that was completed, to the last of all: not a slope."""
    points: list[tuple[float, float]] = []
    for trial in trials:
        if trial.status == "ok":
            before = points[-1:]
            least = min(trial.loss, *(loss for _, loss in before)) if before else trial.loss
            points += [*((float(trial.number), loss) for _, loss in before), (float(trial.number), least)]
    return (*points, (float(trials[-1].number), points[-1][1])) if points else ()


def best_trials(trials: Sequence[ScoredTrial]) -> list[ScoredTrial]:
    """The best of those that were completed, the best first."""
    return sorted((t for t in trials if t.status == "ok"), key=lambda trial: trial.loss)[:MAX_TRIALS]


def comparison(trials: Sequence[ScoredTrial], metrics: Mapping[str, str], *, localise: Localise = str) -> list[Chart]:
    """The best trials side by side, a chart a metric.

    Parameters
    ----------
    metrics
        Metric → the chart's title; `loss`, or a name of the trials' scores. One that no trial has is left out.
    """
    colours, best = family_colours(trials), best_trials(trials)
    charts = []
    for metric, title in metrics.items():
        values = [(t, t.loss if metric == "loss" else t.scores.get(metric)) for t in best]
        items = [(f"#{t.number}", float(value), colours[t.family]) for t, value in values if value is not None]
        charts.append(dot_plot(items, title=title, localise=localise))
    return [chart for chart in charts if chart]


def search_space(trials: Sequence[ScoredTrial], family: str, *, localise: Localise = str) -> list[Chart]:
    """Loss against each parameter of a family that varied, a chart each, in the order of their names.

    Parameters
    ----------
    trials
        Of all families, so that a family has one colour in every chart.
    family
        Whose parameters are drawn.
    """
    colour = family_colours(trials)[family]
    own = [trial for trial in trials if trial.family == family]
    top = _quantile([trial.loss for trial in own])
    own = [trial for trial in own if trial.loss <= top]
    charts = []
    for name in sorted({name for trial in own for name in trial.params}):
        points = [(trial.params[name], trial.loss) for trial in own if name in trial.params]
        if len({str(value) for value, _ in points}) > 1:
            charts.append(_parameter(name, points, colour, localise))
    return charts


def family_key(trials: Sequence[ScoredTrial]) -> tuple[Key, ...]:
    """The legend of charts whose dots have their family's colour."""
    return tuple(Key(kind=str(colour), text=family) for family, colour in family_colours(trials).items())


def _parameter(name: str, points: list[tuple[Any, float]], colour: int, localise: Localise) -> Chart:
    placed, ticks = _placed(points, localise)
    series = Series(name=name, points=tuple(placed), dots=True, line=False, colour=colour)
    chart = line_chart(
        [series], title=name, x_label="", y_label="", x_names=ticks, x_range=_with_room([x for x, _ in placed]),
        y_range=_with_room([loss for _, loss in placed]), width=SMALL, height=200, localise=localise,
    )  # fmt: skip
    return replace(chart, legend=())  # its name is its title


def _placed(
    points: list[tuple[Any, float]], localise: Localise
) -> tuple[list[tuple[float, float]], list[tuple[float, str]] | None]:
    """Numbers on an axis, logarithmic where they span it; anything else by name, in a place each."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value, _ in points):
        levels = sorted({str(value) for value, _ in points})
        ticks = [(float(i), cut(level, LONGEST_LEVEL)) for i, level in enumerate(levels)]
        return [(float(levels.index(str(value))), loss) for value, loss in points], ticks
    numbers = [(float(value), loss) for value, loss in points]
    low, high = min(x for x, _ in numbers), max(x for x, _ in numbers)
    if low <= 0 or high / low <= LOGARITHMIC:
        return numbers, None
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    return [(math.log10(x), loss) for x, loss in numbers], [(float(n), short(10.0**n, localise)) for n in powers]


def _quantile(losses: Sequence[float]) -> float:
    return sorted(losses)[int(HOPELESS * (len(losses) - 1))]


def _with_room(values: list[float]) -> tuple[float, float]:
    """The range of some values, and a little more, so that no dot lies on the edge."""
    room = 0.06 * (max(values) - min(values))
    return min(values) - room, max(values) + room
