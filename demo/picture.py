"""The picture of a demonstration: accuracy over time, and below it, on one line each, what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from demo.live import Batch
from ml import charts
from ml.charts.document import document

VERDICTS = {"stable": "good", "drift": "warn", "degraded": "bad", "broken data": "broken"}
BIN_S = 5.0
WIDTH, LEFT = 1100, 96  # of both charts, so that a moment is at the same place in both
REGIONS, SERVED, FAINT = 3, 3, 8  # colours for worlds, for versions, and for what is in the background
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
    """Write the picture as SVG.

    Parameters
    ----------
    best
        By phase, the accuracy in [0, 1] of somebody who knows the world: no model can do better.
    """
    end = batches[-1].at if batches else 1.0
    worlds = spans([(e.at, e.text) for e in events if e.kind == "world"], end)
    title = "The closed loop: what live answers are worth while the world changes"
    file.parent.mkdir(parents=True, exist_ok=True)
    pictures = [_accuracy(batches, worlds, end, best or {}), _lanes(batches, events, worlds, end)]
    file.write_bytes(document([picture for picture in pictures if picture], title=title))


def spans(starts: Sequence[tuple[float, str]], end: float) -> list[tuple[float, float, str]]:
    """(start, end, name) of each, where the same name twice in a row is one.

    >>> spans([(0.0, "a"), (2.0, "b"), (3.0, "b")], 9.0)
    [(0.0, 2.0, 'a'), (2.0, 9.0, 'b')]
    """
    kept = [start for i, start in enumerate(starts) if i == 0 or start[1] != starts[i - 1][1]]
    ends = [at for at, _ in kept[1:]]
    return [(at, until, name) for (at, name), until in zip(kept, [*ends, end], strict=False)]


def _accuracy(
    batches: Sequence[Batch], worlds: Sequence[tuple[float, float, str]], end: float, best: Mapping[str, float]
) -> charts.Chart:
    times, accuracy, _ = curve(batches)
    percent = [100 * a for a in accuracy]
    smooth = [sum(part) / len(part) for part in (percent[max(0, i - 2) : i + 1] for i in range(len(percent)))]
    reachable: list[tuple[float, float | None]] = []
    for start, until, name in worlds:
        if name in best:
            reachable += [(start, 100 * best[name]), (until, 100 * best[name]), (until, None)]
    lines = [
        charts.Series(name=f"answers of {3 * BIN_S:.0f} s", points=tuple(zip(times, smooth, strict=True)), colour=1),
        charts.Series(name="the most that any model could reach", points=tuple(reachable), colour=2),
        charts.Series(name=f"answers of {BIN_S:.0f} s", points=tuple(zip(times, percent, strict=True)), colour=FAINT),
    ]
    return charts.line_chart(
        [line for line in reversed(lines) if line.points],
        title="Accuracy of live answers, %",
        x_label="seconds",
        y_label="accuracy of live answers, %",
        regions=[charts.Region(start=s, end=e, kind=n % REGIONS) for n, (s, e, _) in enumerate(worlds)],
        x_range=(0.0, end),
        y_range=(0.0, 100.0),
        width=WIDTH,
        height=400,
        left=LEFT,
    )


def _lanes(
    batches: Sequence[Batch], events: Sequence[Event], worlds: Sequence[tuple[float, float, str]], end: float
) -> charts.Chart:
    served = spans([(b.at, f"version {b.version}") for b in batches], end)
    bars = [
        *(_span("world", *world, f"region-{number % REGIONS}") for number, world in enumerate(worlds)),
        *(_span("retraining", start, until, "Airflow runs retrain", "run") for start, until in runs(events, end)),
        *(_span("champion", *version, f"served-{number % SERVED}") for number, version in enumerate(served)),
    ]
    marks = [
        charts.Mark(x=e.at, lane=LANES.index("drift check"), text=e.text, kind=VERDICTS[e.text])
        for e in events
        if e.kind == "verdict" and e.text in VERDICTS
    ]
    told = dict.fromkeys(mark.text for mark in marks)
    picture = charts.lanes(
        marks, LANES, [(at, f"{at:.0f} s") for at in (0.0, end)], title="What happened", spans=bars, width=WIDTH,
        left=LEFT, inset=0,
    )  # fmt: skip
    return replace(picture, legend=tuple(charts.Key(kind=VERDICTS[text], text=text) for text in told))


def _span(lane: str, start: float, end: float, text: str, kind: str) -> charts.Span:
    return charts.Span(start=start, end=end, lane=LANES.index(lane), text=text, kind=kind)


def runs(events: Sequence[Event], end: float) -> list[tuple[float, float]]:
    """Beginning and end of each retraining; `end` for one that still runs."""
    ends = [e.at for e in events if e.kind == "ended"]
    return [(e.at, next((at for at in ends if at >= e.at), end)) for e in events if e.kind == "retrain"]
