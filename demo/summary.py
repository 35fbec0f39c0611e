"""The end of a demonstration: what happened when, how many were answered right, numbers and picture in files."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from demo.live import PHASES, Batch, Traffic
from demo.picture import Event, draw
from ml import drift, predictions
from ml.data.sources import customers
from ml.errors import RefitError
from ml.registry import ledger
from ml.release import replay_scoring
from ml.settings import Settings
from ml.storage import database
from ml.storage.files import write_json

NEAR = 0.03  # of accuracy, below what is possible: reached


def write(
    reports: Path,
    settings: Settings,
    traffic: Traffic,
    events: Sequence[Event],
    phases: Sequence[dict[str, Any]],
    *,
    noticed: bool,
) -> int:
    """Print the summary and keep `demo.json` and `demo.svg`; 0 when the loop noticed and recovered.

    Recovered means: right nearly as often as is possible (`NEAR`).

    Parameters
    ----------
    phases
        `phase`, `accuracy` at its end; usual, covariate shift, concept shift, concept shift after the swap.
    noticed
        Was a new champion promoted in the third?
    """
    best = {p.name: customers.best_accuracy(p.shift, p.concept) for p in PHASES}
    found = {
        "seconds": time.monotonic() - traffic.started,
        "rows": sum(b.rows for b in traffic.batches),
        "requests_answered": traffic.requests,
        "requests_sent_again": traffic.retried,
        "versions": list(dict.fromkeys(b.version for b in traffic.batches)),
        "accuracy": {p["phase"] + (" after the swap" if i == 3 else ""): p["accuracy"] for i, p in enumerate(phases)},
        "best_possible": best,
        "worst": lowest(traffic.batches),
        "without_the_loop": without_the_loop(settings),
        "moments": moments(events),
        "how": how(settings, time.time() - (time.monotonic() - traffic.started), events),
        "recovered": noticed and recovered(phases[3]["accuracy"]),
        "events": [{"at": e.at, "kind": e.kind, "text": e.text} for e in events],
    }
    write_json(reports / "demo.json", found)
    draw(reports / "demo.svg", traffic.batches, events, best=best)
    print("\nSummary\n" + "\n".join(f"  {line}" for line in lines(found)))
    print(f"  picture: {reports / 'demo.svg'}\n  numbers: {reports / 'demo.json'}", flush=True)
    if not found["recovered"]:
        print("  The loop did not recover in the time of the demonstration.", file=sys.stderr)
    return 0 if found["recovered"] else 1


def recovered(accuracy: float | None) -> bool:
    """Whether an accuracy, in [0, 1], is that of a model that knows the world after the concept shift."""
    changed = PHASES[-1]
    return accuracy is not None and accuracy >= customers.best_accuracy(changed.shift, changed.concept) - NEAR


def how(settings: Settings, started: float, events: Sequence[Event]) -> list[str]:
    """What asked for each retraining since the concept shift, and what came of it, in order of time.

    `started` is the wall clock of the traffic's start, seconds.
    """
    began = next((e.at for e in events if e.kind == "world" and e.text == PHASES[-1].name), None)
    if began is None:
        return []
    try:
        asked = [(c.time, f"{c.verdict}: {c.decision}") for c in drift.history(settings, 100) if c.retrain]
        ends = ledger.events(settings, limit=50, what=[ledger.PROMOTED, ledger.REFUSED])
    except RefitError:
        return []
    told = asked + [(e.time, f"version {e.to_version} {e.what}") for e in ends]
    since = [(moment - started - began, text) for moment, text in sorted(told)]
    return [f"{at:4.0f} s {text}" for at, text in since if at >= 0]


def lines(found: dict[str, Any]) -> list[str]:
    """The summary for a person."""
    told = []
    for name, value in found["accuracy"].items():
        world = name.removesuffix(" after the swap")
        right = "no answer" if value is None else f"{value:.0%} right"
        told.append(f"{name:<30} {right:<10} of {found['best_possible'][world]:.0%} that are possible")
    told.append(f"{'lowest in the concept shift':<30} {found['worst']:.0%} right")
    if found["without_the_loop"] is not None:
        told.append(f"{'the old version, after the swap':<30} {found['without_the_loop']:.0%} right: without the loop")
    told += [f"{seconds:4.0f} s from the concept shift to {what}" for what, seconds in found["moments"].items()]
    told += [f"  {line}" for line in found["how"]]
    again = f", {found['requests_sent_again']} of them sent again" if found["requests_sent_again"] else ""
    told.append(f"{found['rows']:,} customers in {found['requests_answered']:,} requests, every one answered{again}")
    return [*told, f"versions that answered: {', '.join(found['versions'])}"]


def moments(events: Sequence[Event]) -> dict[str, float]:
    """Seconds from the beginning of the concept shift to what followed."""
    began = next((e.at for e in events if e.kind == "world" and e.text == PHASES[-1].name), None)
    if began is None:
        return {}
    wanted: dict[str, Callable[[Event], bool]] = {
        "the verdict 'degraded'": lambda e: e.text == "degraded",
        "Airflow's retraining": lambda e: e.kind == "retrain",
        "the new champion": lambda e: e.kind == "promotion",
    }
    found = {what: next((e.at for e in events if e.at >= began and fits(e)), None) for what, fits in wanted.items()}
    return {what: at - began for what, at in found.items() if at is not None}


def lowest(batches: Sequence[Batch], span_s: float = 15.0) -> float:
    """Lowest accuracy of a span of the concept shift, in [0, 1]."""
    spans: dict[int, list[int]] = {}
    for batch in batches:
        if batch.phase == PHASES[-1].name:
            found = spans.setdefault(int(batch.at // span_s), [0, 0])
            found[0] += batch.right
            found[1] += batch.rows
    return min((right / rows for right, rows in spans.values() if rows >= 100), default=0.0)


def without_the_loop(settings: Settings) -> float | None:
    """Accuracy that the replaced version would have had on what the new one answered; None where none was replaced."""
    try:
        event = next(iter(ledger.events(settings, limit=1, what=[ledger.PROMOTED])), None)
        if event is None or not event.from_version:
            return None
        rows = predictions.window(database.engine(settings), version=event.to_version, labelled_only=True)
        if rows.empty:
            return None
        decided, _ = replay_scoring.score(settings, event.from_version, rows)
    except RefitError:
        return None
    return float((decided == rows["actual"].to_numpy(dtype=object)).mean())
