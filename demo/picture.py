"""The picture of a demonstration: accuracy over time, and below it, on one line each, what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from demo.live import Batch

VERDICTS = {"stable": "#1b998b", "drift": "#e08e0b", "degraded": "#c1121f", "broken data": "#6a040f"}
WORLDS = ("#f4f5f7", "#fdf1dc", "#fbe3e4", "#fbe3e4")
INK, FAINT, SERVED = "#22223b", "#c9ced6", ("#2f6690", "#1b998b", "#7a5195")
BIN_S = 5.0
LANES = ("world", "drift check", "retraining", "champion")


class Event(msgspec.Struct, frozen=True):
    """Something that happened `at` seconds after the start.

    `kind` is world, verdict, retrain, ended, task, ledger, promotion or rollback; `text` is a word or two for the
    picture, `told` the lines for the terminal.
    """

    at: float
    kind: str
    text: str
    told: str = ""


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


def draw(
    file: Path, batches: Sequence[Batch], events: Sequence[Event], *, best: Mapping[str, float] | None = None
) -> None:
    """Write the picture as PNG.

    Parameters
    ----------
    best
        By phase, the accuracy in [0, 1] of somebody who knows the world: no model can do better.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(
        2, 1, figsize=(13, 7.5), dpi=110, sharex=True, height_ratios=[3.2, 1], layout="constrained"
    )
    end = batches[-1].at if batches else 1.0
    worlds = spans([(e.at, e.text) for e in events if e.kind == "world"], end)
    _accuracy(above, batches, worlds, best or {})
    _lanes(below, batches, events, worlds, end)
    above.set_title("The closed loop: what live answers are worth while the world changes", loc="left")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
    pyplot.close(figure)


def spans(starts: Sequence[tuple[float, str]], end: float) -> list[tuple[float, float, str]]:
    """(start, end, name) of each, where the same name twice in a row is one.

    >>> spans([(0.0, "a"), (2.0, "b"), (3.0, "b")], 9.0)
    [(0.0, 2.0, 'a'), (2.0, 9.0, 'b')]
    """
    kept = [start for i, start in enumerate(starts) if i == 0 or start[1] != starts[i - 1][1]]
    ends = [at for at, _ in kept[1:]]
    return [(at, until, name) for (at, name), until in zip(kept, [*ends, end], strict=False)]


def _accuracy(
    axes: Any, batches: Sequence[Batch], worlds: list[tuple[float, float, str]], best: Mapping[str, float]
) -> None:
    times, accuracy, _ = curve(batches)
    percent = [100 * a for a in accuracy]
    smooth = [sum(percent[max(0, i - 2) : i + 1]) / len(percent[max(0, i - 2) : i + 1]) for i in range(len(percent))]
    axes.plot(times, percent, color=FAINT, linewidth=1, label=f"answers of {BIN_S:.0f} s")
    axes.plot(times, smooth, color=INK, linewidth=2.4, label=f"answers of {3 * BIN_S:.0f} s")
    for number, (start, end, name) in enumerate(worlds):
        axes.axvspan(start, end, color=WORLDS[number % len(WORLDS)], zorder=0)
        if name in best:
            told = "the most that any model could reach" if number == 0 else None
            axes.hlines(100 * best[name], start, end, colors="#7a5195", linestyles="dashed", linewidth=1.2, label=told)
    axes.set(ylabel="accuracy of live answers, %", ylim=(0, 100), xlim=(0, batches[-1].at if batches else 1.0))
    axes.grid(axis="y", color="#e3e6ea", linewidth=0.8)
    axes.legend(loc="lower left", frameon=True, framealpha=0.9, edgecolor="none")
    axes.spines[["top", "right"]].set_visible(False)


def _lanes(
    axes: Any, batches: Sequence[Batch], events: Sequence[Event], worlds: list[tuple[float, float, str]], end: float
) -> None:
    places = {name: len(LANES) - 1 - number for number, name in enumerate(LANES)}
    for number, (start, until, name) in enumerate(worlds):
        _bar(axes, start, until, places["world"], name, WORLDS[number % len(WORLDS)], INK)
    for name, colour in VERDICTS.items():
        at = [e.at for e in events if e.kind == "verdict" and e.text == name]
        if at:
            axes.scatter(at, [places["drift check"]] * len(at), color=colour, s=60, label=name, zorder=3)
    for start, until in runs(events, end):
        _bar(axes, start, until, places["retraining"], "Airflow runs retrain", "#dbe7f0", "#2f6690")
    served = spans([(b.at, f"version {b.version}") for b in batches], end)
    for number, (start, until, name) in enumerate(served):
        colour = SERVED[number % len(SERVED)]
        _bar(axes, start, until, places["champion"], name, colour, "white")
    axes.set(xlabel="seconds", ylim=(-0.6, len(LANES) - 0.4), yticks=list(places.values()), yticklabels=list(places))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.62), frameon=False, title="verdicts")
    axes.tick_params(left=False)
    axes.spines[["top", "right", "left"]].set_visible(False)


def runs(events: Sequence[Event], end: float) -> list[tuple[float, float]]:
    """Beginning and end of each retraining; `end` for one that still runs."""
    ends = [e.at for e in events if e.kind == "ended"]
    return [(e.at, next((at for at in ends if at >= e.at), end)) for e in events if e.kind == "retrain"]


def _bar(axes: Any, start: float, end: float, place: int, text: str, colour: str, ink: str) -> None:
    axes.barh(place, end - start, left=start, height=0.7, color=colour, edgecolor="white")
    axes.text((start + end) / 2, place, text, ha="center", va="center", fontsize=9, color=ink, clip_on=True)
