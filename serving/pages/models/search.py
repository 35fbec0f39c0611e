"""Charts of how a version was found: training curves, the search's trials, and what they tried."""

from __future__ import annotations

from typing import Any

import msgspec
from flask_babel import gettext
from markupsafe import Markup

from ml.charts import Chart, search_history
from ml.charts.search_history import ScoredTrial
from serving.pages.i18n import formats
from serving.status.version_files import VersionFiles

MAX_PANELS = 6  # parameters of a family that are drawn

Section = dict[str, Any]  # what the template's macro `chart` shows


def of(files: VersionFiles) -> list[Section]:
    """Every chart that the version has the numbers for."""
    known = [t for t in files.json("trials.json") or [] if isinstance(t, dict) and t.get("loss") is not None]
    trials = msgspec.convert([{**trial, "number": i} for i, trial in enumerate(known, 1)], list[ScoredTrial])
    sections = [_training(files, "loss"), _training(files, "accuracy", "f1")]
    if len(trials) > 1:
        sections += [_convergence(trials), _comparison(trials), _space(trials)]
    return [section for section in sections if section]


def _training(files: VersionFiles, *metrics: str) -> Section | None:
    """One pass over the training rows after another; nothing for a family that is fitted in one go."""
    history = [row for row in files.json("history.json") or [] if isinstance(row, dict)]
    words_of = {"loss": gettext("Log-loss"), "accuracy": gettext("Accuracy"), "f1": gettext("F1")}
    names = [
        (key, part if len(metrics) == 1 else f"{words_of[metric]}, {part}")
        for metric in metrics
        for key, part in ((metric, gettext("Training")), (f"validation_{metric}", gettext("Validation")))
    ]
    is_loss = metrics == ("loss",)
    chart = search_history.training_curves(
        history, names, x_label=gettext("Epoch"), y_label=words_of[metrics[0]], localise=formats.localised,
        title=gettext("Training curves") if is_loss else gettext("Accuracy and F1 while training"),
    )  # fmt: skip
    if not chart:
        return None
    note = gettext("Log-loss after each pass over the training rows; lower is better.")
    series = [(key, text) for key, text in names if text in {entry.text for entry in chart.legend}]
    return {
        "key": "training_curves",
        "title": chart.title,
        "note": note if is_loss else gettext("After each pass over the training rows; higher is better."),
        "svg": chart,
        "series": [text for _, text in series],
        "head": [gettext("Epoch"), *(text for _, text in series)],
        "rows": [
            [str(i), *(formats.number(row.get(key), 4, fixed=True) for key, _ in series)]
            for i, row in enumerate(history, 1)
            if row.get(series[0][0]) is not None
        ],
    }


def _convergence(trials: list[ScoredTrial]) -> Section:
    best = gettext("Best so far")
    chart = search_history.convergence(
        trials, best=best, title=gettext("Convergence of the search"), x_label=gettext("Trial"),
        y_label=gettext("Log-loss"), localise=formats.localised,
    )  # fmt: skip
    return {
        "key": "tuning_convergence",
        "title": chart.title,
        "note": gettext(
            "Held-out log-loss of each configuration that was tried; lower is better. A hollow dot was given up early."
        ),
        "svg": chart,
        "series": [best, *search_history.family_colours(trials)],
        "head": [gettext("Trial"), *_head()],
        "rows": [_row(trial) for trial in trials],
    }


def _head() -> list[str]:
    """Names of what `_row` gives."""
    return [gettext("Family"), gettext("Log-loss"), gettext("Accuracy"), gettext("Macro F1"), gettext("Parameters")]


def _row(trial: ScoredTrial) -> list[str]:
    return [
        str(trial.number),
        trial.family,
        formats.number(trial.loss, 4, fixed=True),
        *(formats.number(trial.scores.get(name), fixed=True) for name in ("accuracy", "macro_f1")),
        ", ".join(f"{name} {_shown(value)}" for name, value in trial.params.items()),
    ]


def _shown(value: Any) -> str:
    return formats.localised(f"{value:.4g}") if isinstance(value, float) else str(value)


def _comparison(trials: list[ScoredTrial]) -> Section | None:
    best = search_history.best_trials(trials)
    if len(best) < 2:
        return None
    metrics = {"loss": gettext("Log-loss"), "accuracy": gettext("Accuracy"), "macro_f1": gettext("Macro F1")}
    return {
        "key": "tuning_comparison",
        "title": gettext("Comparison of configurations"),
        "note": gettext("The best %(n)s by log-loss, on the same held-out rows.", n=len(best)),
        "svg": _panels(search_history.comparison(trials, metrics, localise=formats.localised)),
        "wide": True,
        "series": list(search_history.family_colours(trials)),
        "first": 2,
        "head": [gettext("Trial"), *_head()],
        "rows": [_row(trial) for trial in best],
    }


def _space(trials: list[ScoredTrial]) -> Section | None:
    """The winning family's parameters against the loss, a panel each."""
    family = min(trials, key=lambda trial: trial.loss).family
    panels = search_history.search_space(trials, family, localise=formats.localised)
    if not panels:
        return None
    return {
        "key": "tuning_space",
        "title": gettext("Search space"),
        "note": gettext("Held-out log-loss against what was tried of %(family)s.", family=family),
        "svg": _panels(panels[:MAX_PANELS]),
        "wide": True,
        "series": [],
        "head": [],
        "rows": [],
    }


def _panels(charts: list[Chart]) -> Markup:
    panel = Markup('<figure class="panel"><figcaption>{}</figcaption>{}</figure>')
    panels = [panel.format(chart.title, Markup(chart)) for chart in charts]
    return Markup('<div class="three">{}</div>').format(Markup("").join(panels))
