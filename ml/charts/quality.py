"""How good a model is on rows it has not seen: ROC, precision and recall, calibration, confusion."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ml.charts import drawing
from ml.charts.drawing import Kind
from ml.decision import Decision, Floats
from ml.evaluation.curves import curves
from ml.schema.schema import Schema


def roc(p: Floats, y: npt.NDArray[np.int64], schema: Schema, *, kind: Kind = "png") -> bytes:
    """True against false positive rate; one curve, or one a class against the rest."""
    figure, (ax,) = drawing.grid(1, size=(5, 4.6))
    ax.plot([0, 1], [0, 1], color=drawing.GREY, linestyle=":", label="chance")
    for colour, curve in zip(drawing.cycle(), curves(p, y, schema), strict=False):
        label = f"{drawing.text(curve['label'])} (area {curve['area']:.3f})"
        ax.plot(*np.transpose(curve["roc"]), color=colour, label=label)
    drawing.label(ax, "ROC", "false positive rate", "true positive rate")
    drawing.legend(ax)
    return drawing.picture(figure, kind)


def precision_recall(p: Floats, y: npt.NDArray[np.int64], schema: Schema, *, kind: Kind = "png") -> bytes:
    """Precision against recall, with the share of the class as the line of chance."""
    figure, (ax,) = drawing.grid(1, size=(5, 4.6))
    for colour, curve in zip(drawing.cycle(), curves(p, y, schema), strict=False):
        ax.step(*np.transpose(curve["precision_recall"]), where="pre", color=colour, label=drawing.text(curve["label"]))
        ax.axhline(curve["share"], color=colour, linestyle=":", linewidth=0.8)
    ax.set_ylim(0, 1.02)
    drawing.label(ax, "Precision and recall (dotted: chance)", "recall", "precision")
    drawing.legend(ax)
    return drawing.picture(figure, kind)


def calibration(p: Floats, y: npt.NDArray[np.int64], schema: Schema, *, kind: Kind = "png") -> bytes:
    """What was said against what came, in ten bins of equal width; the area of a dot is its share of rows."""
    figure, (ax,) = drawing.grid(1, size=(5, 4.6))
    ax.plot([0, 1], [0, 1], color=drawing.GREY, linestyle=":", label="perfect")
    for colour, curve in zip(drawing.cycle(), curves(p, y, schema), strict=False):
        said, came, rows = np.transpose(curve["calibration"])
        ax.plot(said, came, color=colour, linewidth=1, label=drawing.text(curve["label"]))
        ax.scatter(said, came, s=8 + 120 * rows / len(y), color=colour, alpha=0.7)
    drawing.label(ax, "Calibration", "probability said", "share that came")
    drawing.legend(ax)
    return drawing.picture(figure, kind)


def confusion(p: Floats, y: npt.NDArray[np.int64], schema: Schema, decision: Decision, *, kind: Kind = "png") -> bytes:
    """Rows by true and answered class; the colour is the share of the true class."""
    n = len(schema.classes)
    table = np.zeros((n, n), dtype=np.int64)
    np.add.at(table, (y, decision.codes(p, schema)), 1)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    side = max(4.2, 0.55 * n + 2)
    figure, (ax,) = drawing.grid(1, size=(side, side - 0.3))
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    labels = [drawing.text(label, 16) for label in schema.classes]
    ax.set_xticks(range(n), labels, rotation=45 if n > 3 else 0, ha="right" if n > 3 else "center")
    ax.set_yticks(range(n), labels)
    ax.grid(False)
    for (i, j), count in np.ndenumerate(table) if n <= 20 else ():
        ax.text(j, i, f"{count:,}", ha="center", va="center", color="white" if share[i, j] > 0.55 else "#222222")
    drawing.label(ax, "Confusion matrix (rows)", "answered", "true")
    return drawing.picture(figure, kind)
