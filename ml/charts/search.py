"""How a model was found: training curves, the search, and what was saved in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.charts import drawing
from ml.charts.drawing import Kind
from ml.tuning.trial import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_PANELS = 8
MAX_BARS = 12
MAX_LINES = 40  # of the table of the model


def training_curves(history: Sequence[Mapping[str, float]], *, kind: Kind = "png") -> bytes:
    """Loss, accuracy and F1 by epoch, of training and validation rows."""
    names = [n for n in ("loss", "accuracy", "f1") if any(n in entry for entry in history)] or ["loss"]
    figure, axes = drawing.grid(len(names), columns=3)
    for ax, name in zip(axes, names, strict=True):
        for colour, prefix, label in (
            (drawing.COLOURS[0], "", "training"),
            (drawing.COLOURS[1], "validation_", "validation"),
        ):
            points = [(e.get("epoch", i), e[prefix + name]) for i, e in enumerate(history) if prefix + name in e]
            if points:
                ax.plot(*zip(*points, strict=True), color=colour, label=label, marker="." if len(points) < 3 else "")
        drawing.label(ax, {"loss": "log-loss", "f1": "F1"}.get(name, name), "epoch", "")
        drawing.legend(ax)
    return drawing.picture(figure, kind)


def convergence(trials: Sequence[Trial], *, kind: Kind = "png") -> bytes:
    """Held-out log-loss of each trial, by family, and the best so far."""
    figure, (ax,) = drawing.grid(1, size=(8, 4))
    done = sorted((t for t in trials if t.loss is not None), key=lambda t: t.number)
    for colour, family in zip(drawing.cycle(), sorted({t.family for t in done}), strict=False):
        for status, fill in (("ok", colour), ("pruned", "none")):
            some = [t for t in done if t.family == family and t.status == status]
            label = drawing.text(family) + (", given up early" if status == "pruned" else "")
            if some:
                ax.scatter(
                    [t.number for t in some], [_loss(t) for t in some], s=28, c=fill, edgecolors=colour, label=label
                )
    complete = [t for t in done if t.status == "ok"]
    if complete:
        best = np.minimum.accumulate([_loss(t) for t in complete])
        ax.step([t.number for t in complete], best, where="post", color=drawing.GREY, label="best so far")
    failed = sum(t.status == "failed" for t in trials)
    drawing.label(ax, "Tuning" + (f" ({failed} failed)" if failed else ""), "trial", "held-out log-loss")
    _zoom(ax, [_loss(t) for t in done])
    drawing.legend(ax)
    return drawing.picture(figure, kind)


def search_space(trials: Sequence[Trial], *, kind: Kind = "png") -> bytes:
    """Held-out log-loss against each parameter that varied, a panel each."""
    done = [t for t in trials if t.loss is not None]
    panels = []
    for family in sorted({t.family for t in done}):
        own = [t for t in done if t.family == family]
        for name in sorted({name for t in own for name in t.params}):
            points = [(t.params[name], _loss(t)) for t in own if name in t.params]
            if len({str(value) for value, _ in points}) > 1:
                panels.append((f"{family}: {name}", points))
    if not panels:
        return drawing.message("No parameter varied.", kind)
    figure, axes = drawing.grid(min(len(panels), MAX_PANELS), columns=4, size=(3.2, 2.6))
    for ax, (title, points), colour in zip(axes, panels, drawing.cycle(), strict=False):
        _parameter(ax, title, points, colour)
    return drawing.picture(figure, kind)


def comparison(trials: Sequence[Trial], *, kind: Kind = "png") -> bytes:
    """The best trials by log-loss, accuracy and macro F1, side by side."""
    best = sorted((t for t in trials if t.status == "ok" and t.loss is not None), key=_loss)[:MAX_BARS][::-1]
    if not best:
        return drawing.message("No trial was finished.", kind)
    figure, axes = drawing.grid(3, columns=3, size=(3.6, 0.32 * len(best) + 1.4))
    rows = np.arange(len(best))
    names = [f"{drawing.text(t.family)} #{t.number}" for t in best]
    for ax, title, values in (
        (axes[0], "log-loss (lower is better)", [_loss(t) for t in best]),
        (axes[1], "accuracy", [t.scores.get("accuracy", np.nan) for t in best]),
        (axes[2], "macro F1", [t.scores.get("macro_f1", np.nan) for t in best]),
    ):
        families = sorted({t.family for t in trials})
        ax.barh(rows, values, color=[drawing.COLOURS[families.index(t.family) % len(drawing.COLOURS)] for t in best])
        ax.set_yticks(rows, names if ax is axes[0] else [""] * len(best))
        finite = [v for v in values if np.isfinite(v)]
        if finite:
            span = max(max(finite) - min(finite), 0.02)
            ax.set_xlim(max(0, min(finite) - span), max(finite) + 0.35 * span)
        for row, value in zip(rows, values, strict=True):
            ax.text(value, float(row), f" {value:.3f}", va="center", fontsize=7)
        drawing.label(ax, title, "held-out rows", "")
    return drawing.picture(figure, kind)


def structure(description: Mapping[str, Any], *, kind: Kind = "png") -> bytes:
    """Structure and parameters of the saved model, as a table."""
    from matplotlib.transforms import Bbox

    lines = _flatten(description)[:MAX_LINES]
    figure, (ax,) = drawing.grid(1, size=(8, 0.26 * len(lines) + 0.9))
    ax.axis("off")
    ax.set_title(f"Saved model: {drawing.text(description.get('family', 'model'))}", loc="left", fontsize=11)
    if lines:
        table = ax.table(cellText=lines, colWidths=[0.4, 0.6], cellLoc="left", bbox=Bbox.from_bounds(0, 0, 1, 1))
        table.auto_set_font_size(False)
        table.set_fontsize(8)
        for (row, column), cell in table.get_celld().items():
            cell.set_edgecolor("#dddddd")
            cell.set_facecolor("#f5f7fa" if row % 2 else "white")
            cell.get_text().set_color("#333333" if column else "black")
    return drawing.picture(figure, kind)


def _parameter(ax: Axes, title: str, points: list[tuple[Any, float]], colour: str) -> None:
    """One parameter: numbers on an axis (logarithmic where they span it), anything else by name."""
    losses = [loss for _, loss in points]
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value, _ in points):
        values = [float(value) for value, _ in points]
        ax.scatter(values, losses, s=14, color=colour, alpha=0.7)
        if min(values) > 0 and max(values) / min(values) > 50:
            ax.set_xscale("log")
    else:
        names = sorted({str(value) for value, _ in points})
        ax.scatter([names.index(str(value)) for value, _ in points], losses, s=14, color=colour, alpha=0.7)
        ax.set_xticks(
            range(len(names)), [drawing.text(name, 14) for name in names], rotation=30, ha="right", fontsize=7
        )
    _zoom(ax, losses)
    drawing.label(ax, drawing.text(title), "", "log-loss")
    ax.title.set_fontsize(8)


def _zoom(ax: Axes, losses: list[float]) -> None:
    """A few hopeless trials must not press the others flat."""
    low, high = min(losses), float(np.quantile(losses, 0.9))
    room = max(high - low, 1e-3)
    ax.set_ylim(low - 0.1 * room, high + 0.6 * room)


def _flatten(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    out: list[tuple[str, str]] = []
    for name, inner in value.items():
        key = f"{prefix}{name}"
        if isinstance(inner, Mapping):
            out += _flatten(inner, f"{key}.")
        elif isinstance(inner, list) and inner and all(isinstance(item, Mapping) for item in inner):
            for i, item in enumerate(inner):
                out += _flatten(item, f"{key}[{i}].")
        else:
            out.append((drawing.text(key, 48), drawing.text(f"{inner:,}" if isinstance(inner, int) else inner, 72)))
    return out


def _loss(trial: Trial) -> float:
    return float("nan") if trial.loss is None else trial.loss
