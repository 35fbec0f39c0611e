"""Charts of how the served version was found: training curves, the search's trials, and what they tried."""

from __future__ import annotations

import math
from typing import Any

from flask_babel import gettext
from markupsafe import Markup

from serving.model.store import Served
from serving.pages.charts import grids, svg
from serving.pages.i18n import formats

MOST_ROWS = 12  # trials side by side
MOST_PANELS = 6
LOGARITHMIC = 50.0  # a parameter whose values span this much is drawn on a logarithmic axis

Chart = dict[str, Any]
Trial = dict[str, Any]


def of(served: Served) -> list[Chart]:
    """Every chart that the bundle has the numbers for."""
    trials = [t for t in served.bundle.json("trials.json") or [] if isinstance(t, dict) and t.get("loss") is not None]
    found = [_training(served, "loss"), _training(served, "accuracy", "f1")]
    if len(trials) > 1:
        found += [_convergence(trials), _comparison(trials), _space(trials)]
    return [chart for chart in found if chart]


def _training(served: Served, *names: str) -> Chart | None:
    """One pass over the training rows after another; nothing for a family that is fitted in one go."""
    history = [row for row in served.bundle.json("history.json") or [] if isinstance(row, dict)]
    words_of = {"loss": gettext("Log-loss"), "accuracy": gettext("Accuracy"), "f1": gettext("F1")}
    series = []
    for name in names:
        for key, part in ((name, gettext("Training")), (f"validation_{name}", gettext("Validation"))):
            points = tuple((float(i), float(row[key])) for i, row in enumerate(history, 1) if row.get(key) is not None)
            label = part if len(names) == 1 else f"{words_of[name]}, {part}"
            series.append(svg.Series(name=label, points=points))
    series = [one for one in series if len(one.points) > 1]
    if not series:
        return None
    title = gettext("Training curves") if names == ("loss",) else gettext("Accuracy and F1 while training")
    note = gettext("Log-loss after each pass over the training rows; lower is better.")
    by_epoch = [dict(one.points) for one in series]
    return {
        "key": "training_curves",
        "title": title,
        "note": note if names == ("loss",) else gettext("After each pass over the training rows; higher is better."),
        "svg": svg.line_chart(series, title=title, x_label=gettext("Epoch"), y_label=words_of[names[0]]),
        "series": [one.name for one in series],
        "head": [gettext("Epoch"), *(one.name for one in series)],
        "rows": [
            [str(int(x)), *(formats.number(column.get(x), 4, fixed=True) for column in by_epoch)] for x in by_epoch[0]
        ],
    }


def _families(trials: list[Trial]) -> dict[str, int]:
    """Family → its colour, from the second on: the first is the best so far."""
    return {name: place for place, name in enumerate(sorted({str(t.get("family", "")) for t in trials}), 2)}


def _convergence(trials: list[Trial]) -> Chart:
    losses = [float(t["loss"]) for t in trials]
    complete = [(float(i), loss) for i, (t, loss) in enumerate(zip(trials, losses, strict=True), 1)
                if t.get("status", "ok") == "ok"]  # fmt: skip
    best: list[tuple[float, float | None]] = []
    for x, loss in complete:
        least = min(loss, best[-1][1]) if best and best[-1][1] is not None else loss
        best += [(x, best[-1][1]), (x, least)] if best else [(x, least)]  # a step, not a slope
    # Hopeless trials would flatten the picture; the table has them.
    top = max(losses[0], sorted(losses)[int(0.9 * (len(losses) - 1))])
    series = [
        svg.Series(name=gettext("Best so far"), points=(*best, (float(len(losses)), best[-1][1])) if best else ())
    ]
    for family, colour in _families(trials).items():
        for status in ("ok", "pruned"):
            points = tuple(
                (float(i), loss)
                for i, (t, loss) in enumerate(zip(trials, losses, strict=True), 1)
                if t.get("family", "") == family and t.get("status", "ok") == status and loss <= top
            )
            series.append(
                svg.Series(name=family, points=points, dots=True, line=False, colour=colour, hollow=status != "ok")
            )
    title = gettext("Convergence of the search")
    return {
        "key": "tuning_convergence",
        "title": title,
        "note": gettext(
            "Held-out log-loss of each configuration that was tried; lower is better. A hollow dot was given up early."
        ),
        "svg": svg.line_chart(
            [s for s in series if s.points], title=title, x_label=gettext("Trial"), y_label=gettext("Log-loss")
        ),
        "series": [series[0].name, *_families(trials)],
        "head": [gettext("Trial"), *_head()],
        "rows": [[str(i), *_row(t)] for i, t in enumerate(trials, 1)],
    }


def _head() -> list[str]:
    """Names of what `_row` gives."""
    return [gettext("Family"), gettext("Log-loss"), gettext("Accuracy"), gettext("Macro F1"), gettext("Parameters")]


def _row(trial: Trial) -> list[str]:
    scores = trial.get("scores", {})
    parameters = ", ".join(f"{name} {_shown(value)}" for name, value in trial.get("params", {}).items())
    return [
        str(trial.get("family", "")),
        formats.number(trial["loss"], 4, fixed=True),
        *(formats.number(scores.get(name), fixed=True) for name in ("accuracy", "macro_f1")),
        parameters,
    ]


def _shown(value: Any) -> str:
    return formats.localised(f"{value:.4g}") if isinstance(value, float) else str(value)


def _comparison(trials: list[Trial]) -> Chart | None:
    numbered = [(i, t) for i, t in enumerate(trials, 1) if t.get("status", "ok") == "ok"]
    best = sorted(numbered, key=lambda pair: float(pair[1]["loss"]))[:MOST_ROWS]
    if len(best) < 2:
        return None
    colours = _families(trials)
    panels = []
    for name, text in (
        ("loss", gettext("Log-loss")),
        ("accuracy", gettext("Accuracy")),
        ("macro_f1", gettext("Macro F1")),
    ):
        items = []
        for i, trial in best:
            value = trial["loss"] if name == "loss" else trial.get("scores", {}).get(name)
            if value is not None:
                items.append((f"#{i}", float(value), colours[str(trial.get("family", ""))]))
        if items:
            panels.append(_panel(text, grids.dots(items, title=text)))
    return {
        "key": "tuning_comparison",
        "title": gettext("Comparison of configurations"),
        "note": gettext("The best %(n)s by log-loss, on the same held-out rows.", n=len(best)),
        "svg": Markup('<div class="three">{}</div>').format(Markup("").join(panels)),
        "wide": True,
        "series": list(colours),
        "first": 2,
        "head": [gettext("Trial"), *_head()],
        "rows": [[str(i), *_row(t)] for i, t in best],
    }


def _panel(title: str, picture: Markup) -> Markup:
    return Markup('<figure class="panel"><figcaption>{}</figcaption>{}</figure>').format(title, picture)


def _space(trials: list[Trial]) -> Chart | None:
    """The winning family's parameters against the loss, a panel each."""
    winner = min(trials, key=lambda t: float(t["loss"]))
    own = [t for t in trials if t.get("family") == winner.get("family")]
    top = sorted(float(t["loss"]) for t in own)[int(0.9 * (len(own) - 1))]
    own = [t for t in own if float(t["loss"]) <= top]
    panels = []
    for name in sorted({name for t in own for name in t.get("params", {})}):
        points = [(t["params"][name], float(t["loss"])) for t in own if name in t.get("params", {})]
        if len({str(value) for value, _ in points}) > 1:
            panels.append(_panel(name, _parameter(name, points, _families(trials)[str(winner.get("family", ""))])))
    if not panels:
        return None
    return {
        "key": "tuning_space",
        "title": gettext("Search space"),
        "note": gettext("Held-out log-loss against what was tried of %(family)s.", family=winner.get("family", "")),
        "svg": Markup('<div class="three">{}</div>').format(Markup("").join(panels[:MOST_PANELS])),
        "wide": True,
        "series": [],
        "head": [],
        "rows": [],
    }


def _parameter(name: str, points: list[tuple[Any, float]], colour: int) -> Markup:
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value, _ in points)
    ticks: list[tuple[float, str]] | None = None
    if not numeric:
        levels = sorted({str(value) for value, _ in points})
        ticks = [(float(i), svg.cut(level, 10)) for i, level in enumerate(levels)]
        placed = [(float(levels.index(str(value))), loss) for value, loss in points]
    else:
        placed = [(float(value), loss) for value, loss in points]
        low, high = min(x for x, _ in placed), max(x for x, _ in placed)
        if low > 0 and high / low > LOGARITHMIC:
            placed = [(math.log10(x), loss) for x, loss in placed]
            powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
            ticks = [(float(power), svg.short(10.0**power)) for power in powers]
    series = svg.Series(name=name, points=tuple(placed), dots=True, line=False, colour=colour)
    return svg.line_chart(
        [series],
        title=name,
        x_label="",
        y_label="",
        x_names=ticks,
        x_range=_with_room([x for x, _ in placed]),
        y_range=_with_room([loss for _, loss in placed]),
        width=svg.SMALL,
        height=200,
    )


def _with_room(values: list[float]) -> tuple[float, float]:
    """The range of some values, and a little more, so that no dot lies on the edge."""
    room = 0.06 * (max(values) - min(values))
    return min(values) - room, max(values) + room
