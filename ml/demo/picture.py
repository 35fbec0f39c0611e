"""The picture of a demonstration: accuracy over time with everything that happened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ml.demo.live import Batch

COLOURS = {
    "world": "#7a5195",
    "verdict": "#ef8a17",
    "retrain": "#2f6690",
    "promotion": "#1b998b",
    "rollback": "#c1121f",
}
BIN_S = 5.0


class Event(msgspec.Struct, frozen=True):
    """Something that happened `at` seconds after the start; `kind` is a key of `COLOURS`."""

    at: float
    kind: str
    text: str


def curve(batches: Sequence[Batch], bin_s: float = BIN_S) -> tuple[list[float], list[float], list[int]]:
    """Middle of each bin (seconds), accuracy in it, and its rows; empty bins are left out."""
    right: dict[int, int] = {}
    rows: dict[int, int] = {}
    for batch in batches:
        place = int(batch.at // bin_s)
        right[place] = right.get(place, 0) + batch.right
        rows[place] = rows.get(place, 0) + batch.rows
    places = sorted(rows)
    return [(p + 0.5) * bin_s for p in places], [right[p] / rows[p] for p in places], [rows[p] for p in places]


def draw(file: Path, batches: Sequence[Batch], events: Sequence[Event]) -> None:
    """Write the picture as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(13, 6.5), dpi=110)
    times, accuracy, _ = curve(batches)
    axes.plot(times, [100 * a for a in accuracy], color="#c9ced6", linewidth=1, label=f"accuracy of {BIN_S:.0f} s")
    smooth = [sum(accuracy[max(0, i - 2) : i + 1]) / len(accuracy[max(0, i - 2) : i + 1]) for i in range(len(accuracy))]
    axes.plot(times, [100 * a for a in smooth], color="#22223b", linewidth=2.2, label=f"accuracy of {3 * BIN_S:.0f} s")
    _versions(axes, batches)
    low = 100 * min(accuracy, default=0.5)
    for number, event in enumerate(e for e in events if e.kind != "version"):
        colour = COLOURS.get(event.kind, "#555555")
        axes.axvline(event.at, color=colour, linewidth=1.6 if event.kind != "verdict" else 0.8, alpha=0.8)
        axes.annotate(
            event.text, (event.at, low - 2 - 2.2 * (number % 5)), fontsize=8, color=colour, ha="left", xytext=(3, 0),
            textcoords="offset points",
        )  # fmt: skip
    axes.set(xlabel="seconds", ylabel="accuracy of live answers, %", ylim=(low - 14, 102))
    axes.set_title("The closed loop: the world changes, the loop notices, retrains, and recovers")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(file)
    pyplot.close(figure)


def _versions(axes: object, batches: Sequence[Batch]) -> None:
    """A band a version that answered, named at its beginning."""
    began, current = 0.0, ""
    spans: list[tuple[float, float, str]] = []
    for batch in batches:
        if batch.version != current:
            if current:
                spans.append((began, batch.at, current))
            began, current = batch.at, batch.version
    if batches:
        spans.append((began, batches[-1].at, current))
    for number, (start, end, version) in enumerate(spans):
        axes.axvspan(start, end, color="#1b998b", alpha=0.05 + 0.07 * (number % 2))  # type: ignore[attr-defined]
        axes.text(start, 100.5, f" version {version}", fontsize=9, color="#1b998b")  # type: ignore[attr-defined]
