"""The plots that go to MLflow, into the bundle and onto the pages. matplotlib is imported when one is drawn.

Every function returns the picture as bytes (PNG, or SVG with `kind="svg"`). Names of columns and classes
are drawn as they are: `$` starts no formula, and what no font has is a box, not an error.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ml.decision import Decision, Floats
from ml.evaluation.curves import curves
from ml.schema import Schema
from ml.tuning.trials import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind = Literal["png", "svg"]

# Okabe and Ito's colours, which colour-blind people can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#8a8a8a"
MAX_PANELS = 8
MAX_BARS = 12
MAX_LINES = 40  # of the table of the model


def all_figures(
    *,
    history: Sequence[Mapping[str, float]],
    trials: Sequence[Trial],
    description: Mapping[str, Any],
    probabilities: Floats,
    y: npt.NDArray[np.int64],
    schema: Schema,
    decision: Decision,
    kind: Kind = "png",
) -> dict[str, bytes]:
    """Every figure that there is something to draw for: file name → picture.

    Parameters
    ----------
    history
        Per epoch, of the fitted model; empty for a family that is fitted in one go.
    description
        `describe()` of the model.
    probabilities, y
        (n_rows, n_classes) calibrated probabilities of the test rows, and their codes.
    """
    found = {
        "confusion": confusion(probabilities, y, schema, decision, kind=kind),
        "roc": roc(probabilities, y, schema, kind=kind),
        "precision_recall": precision_recall(probabilities, y, schema, kind=kind),
        "calibration": calibration(probabilities, y, schema, kind=kind),
        "model": structure(description, kind=kind),
    }
    if history:
        found["training_curves"] = training_curves(history, kind=kind)
    if any(trial.loss is not None for trial in trials):
        found["tuning_convergence"] = convergence(trials, kind=kind)
        found["tuning_space"] = search_space(trials, kind=kind)
        found["tuning_comparison"] = comparison(trials, kind=kind)
    return {f"{name}.{kind}": picture for name, picture in found.items()}


def training_curves(history: Sequence[Mapping[str, float]], *, kind: Kind = "png") -> bytes:
    """Loss, accuracy and F1 by epoch, of training and validation rows."""
    names = [n for n in ("loss", "accuracy", "f1") if any(n in entry for entry in history)] or ["loss"]
    figure, axes = _grid(len(names), columns=3)
    for ax, name in zip(axes, names, strict=True):
        for colour, prefix, label in ((COLOURS[0], "", "training"), (COLOURS[1], "validation_", "validation")):
            points = [(e.get("epoch", i), e[prefix + name]) for i, e in enumerate(history) if prefix + name in e]
            if points:
                ax.plot(*zip(*points, strict=True), color=colour, label=label, marker="." if len(points) < 3 else "")
        _label(ax, {"loss": "log-loss", "f1": "F1"}.get(name, name), "epoch", "")
        _legend(ax)
    return _picture(figure, kind)


def convergence(trials: Sequence[Trial], *, kind: Kind = "png") -> bytes:
    """Held-out log-loss of each trial, by family, and the best so far."""
    figure, (ax,) = _grid(1, size=(8, 4))
    done = sorted((t for t in trials if t.loss is not None), key=lambda t: t.number)
    for colour, family in zip(_cycle(), sorted({t.family for t in done}), strict=False):
        for status, fill in (("ok", colour), ("pruned", "none")):
            some = [t for t in done if t.family == family and t.status == status]
            label = _text(family) + (", given up early" if status == "pruned" else "")
            if some:
                ax.scatter(
                    [t.number for t in some], [_loss(t) for t in some], s=28, c=fill, edgecolors=colour, label=label
                )
    complete = [t for t in done if t.status == "ok"]
    if complete:
        best = np.minimum.accumulate([_loss(t) for t in complete])
        ax.step([t.number for t in complete], best, where="post", color=GREY, label="best so far")
    failed = sum(t.status == "failed" for t in trials)
    _label(ax, "Tuning" + (f" ({failed} failed)" if failed else ""), "trial", "held-out log-loss")
    _zoom(ax, [_loss(t) for t in done])
    _legend(ax)
    return _picture(figure, kind)


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
        return _message("No parameter varied.", kind)
    figure, axes = _grid(min(len(panels), MAX_PANELS), columns=4, size=(3.2, 2.6))
    for ax, (title, points), colour in zip(axes, panels, _cycle(), strict=False):
        _parameter(ax, title, points, colour)
    return _picture(figure, kind)


def comparison(trials: Sequence[Trial], *, kind: Kind = "png") -> bytes:
    """The best trials by log-loss, accuracy and macro F1, side by side."""
    best = sorted((t for t in trials if t.status == "ok" and t.loss is not None), key=_loss)[:MAX_BARS][::-1]
    if not best:
        return _message("No trial was finished.", kind)
    figure, axes = _grid(3, columns=3, size=(3.6, 0.32 * len(best) + 1.4))
    rows = np.arange(len(best))
    names = [f"{_text(t.family)} #{t.number}" for t in best]
    for ax, title, values in (
        (axes[0], "log-loss (lower is better)", [_loss(t) for t in best]),
        (axes[1], "accuracy", [t.scores.get("accuracy", np.nan) for t in best]),
        (axes[2], "macro F1", [t.scores.get("macro_f1", np.nan) for t in best]),
    ):
        families = sorted({t.family for t in trials})
        ax.barh(rows, values, color=[COLOURS[families.index(t.family) % len(COLOURS)] for t in best])
        ax.set_yticks(rows, names if ax is axes[0] else [""] * len(best))
        finite = [v for v in values if np.isfinite(v)]
        if finite:
            span = max(max(finite) - min(finite), 0.02)
            ax.set_xlim(max(0, min(finite) - span), max(finite) + 0.35 * span)
        for row, value in zip(rows, values, strict=True):
            ax.text(value, float(row), f" {value:.3f}", va="center", fontsize=7)
        _label(ax, title, "held-out rows", "")
    return _picture(figure, kind)


def structure(description: Mapping[str, Any], *, kind: Kind = "png") -> bytes:
    """Structure and parameters of the saved model, as a table."""
    from matplotlib.transforms import Bbox

    lines = _flatten(description)[:MAX_LINES]
    figure, (ax,) = _grid(1, size=(8, 0.26 * len(lines) + 0.9))
    ax.axis("off")
    ax.set_title(f"Saved model: {_text(description.get('family', 'model'))}", loc="left", fontsize=11)
    if lines:
        table = ax.table(cellText=lines, colWidths=[0.4, 0.6], cellLoc="left", bbox=Bbox.from_bounds(0, 0, 1, 1))
        table.auto_set_font_size(False)
        table.set_fontsize(8)
        for (row, column), cell in table.get_celld().items():
            cell.set_edgecolor("#dddddd")
            cell.set_facecolor("#f5f7fa" if row % 2 else "white")
            cell.get_text().set_color("#333333" if column else "black")
    return _picture(figure, kind)


def roc(p: Floats, y: npt.NDArray[np.int64], schema: Schema, *, kind: Kind = "png") -> bytes:
    """True against false positive rate; one curve, or one a class against the rest."""
    figure, (ax,) = _grid(1, size=(5, 4.6))
    ax.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="chance")
    for colour, curve in zip(_cycle(), curves(p, y, schema), strict=False):
        label = f"{_text(curve['label'])} (area {curve['area']:.3f})"
        ax.plot(*np.transpose(curve["roc"]), color=colour, label=label)
    _label(ax, "ROC", "false positive rate", "true positive rate")
    _legend(ax)
    return _picture(figure, kind)


def precision_recall(p: Floats, y: npt.NDArray[np.int64], schema: Schema, *, kind: Kind = "png") -> bytes:
    """Precision against recall, with the share of the class as the line of chance."""
    figure, (ax,) = _grid(1, size=(5, 4.6))
    for colour, curve in zip(_cycle(), curves(p, y, schema), strict=False):
        ax.step(*np.transpose(curve["precision_recall"]), where="pre", color=colour, label=_text(curve["label"]))
        ax.axhline(curve["share"], color=colour, linestyle=":", linewidth=0.8)
    ax.set_ylim(0, 1.02)
    _label(ax, "Precision and recall (dotted: chance)", "recall", "precision")
    _legend(ax)
    return _picture(figure, kind)


def calibration(p: Floats, y: npt.NDArray[np.int64], schema: Schema, *, kind: Kind = "png") -> bytes:
    """What was said against what came, in ten bins of equal width; the area of a dot is its share of rows."""
    figure, (ax,) = _grid(1, size=(5, 4.6))
    ax.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfect")
    for colour, curve in zip(_cycle(), curves(p, y, schema), strict=False):
        said, came, rows = np.transpose(curve["calibration"])
        ax.plot(said, came, color=colour, linewidth=1, label=_text(curve["label"]))
        ax.scatter(said, came, s=8 + 120 * rows / len(y), color=colour, alpha=0.7)
    _label(ax, "Calibration", "probability said", "share that came")
    _legend(ax)
    return _picture(figure, kind)


def confusion(p: Floats, y: npt.NDArray[np.int64], schema: Schema, decision: Decision, *, kind: Kind = "png") -> bytes:
    """Rows by true and answered class; the colour is the share of the true class."""
    n = len(schema.classes)
    table = np.zeros((n, n), dtype=np.int64)
    np.add.at(table, (y, decision.codes(p, schema)), 1)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    side = max(4.2, 0.55 * n + 2)
    figure, (ax,) = _grid(1, size=(side, side - 0.3))
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    labels = [_text(label, 16) for label in schema.classes]
    ax.set_xticks(range(n), labels, rotation=45 if n > 3 else 0, ha="right" if n > 3 else "center")
    ax.set_yticks(range(n), labels)
    ax.grid(False)
    for (i, j), count in np.ndenumerate(table) if n <= 20 else ():
        ax.text(j, i, f"{count:,}", ha="center", va="center", color="white" if share[i, j] > 0.55 else "#222222")
    _label(ax, "Confusion matrix (rows)", "answered", "true")
    return _picture(figure, kind)


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
        ax.set_xticks(range(len(names)), [_text(name, 14) for name in names], rotation=30, ha="right", fontsize=7)
    _zoom(ax, losses)
    _label(ax, _text(title), "", "log-loss")
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
            out.append((_text(key, 48), _text(f"{inner:,}" if isinstance(inner, int) else inner, 72)))
    return out


def _loss(trial: Trial) -> float:
    return float("nan") if trial.loss is None else trial.loss


def _text(value: Any, longest: int = 40) -> str:
    """Safe to draw: one line, not too long, and no dollar sign that would start a formula."""
    text = "".join(c if c.isprintable() else " " for c in str(value))
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return text.replace("\\", "\\\\").replace("$", r"\$") if "$" in text else text


def _grid(n: int, *, columns: int = 1, size: tuple[float, float] = (4.4, 3.4)) -> tuple[Figure, list[Axes]]:
    """A white figure with n panels. No pyplot: nothing global, so it is safe in any thread."""
    from matplotlib.figure import Figure

    columns = min(n, columns)
    rows = -(-n // columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained", facecolor="white")
    panels = [figure.add_subplot(rows, columns, i + 1) for i in range(n)]
    for ax in panels:
        ax.grid(color="#e6e6e6", linewidth=0.7)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8)
    return figure, panels


def _label(ax: Axes, title: str, x: str, y: str) -> None:
    ax.set_title(title, fontsize=10)
    ax.set_xlabel(x, fontsize=9)
    ax.set_ylabel(y, fontsize=9)


def _legend(ax: Axes) -> None:
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=8, frameon=False)


def _message(text: str, kind: Kind) -> bytes:
    figure, (ax,) = _grid(1, size=(5, 1.2))
    ax.axis("off")
    ax.text(0.5, 0.5, text, ha="center", va="center")
    return _picture(figure, kind)


def _cycle() -> list[str]:
    return list(COLOURS) * 8


def _picture(figure: Figure, kind: Kind) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, dpi=110, metadata=metadata)
    return buffer.getvalue()
