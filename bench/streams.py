"""What drift-triggered retraining is worth: the loop over a real stream, beside its alternatives.

A table in time order is cut into windows. A model is made from the first ones; each later window is first
predicted, then its labels come, then the loop may retrain. Compared are: never retraining, retraining after
every window on all labelled rows, evenly spaced retrainings (as many as Refit made), Refit, and answering
the class of the row before. Refit's part is the project's own code (prediction log, drift check, choice
of rows, snapshot, gate, ledger), in process, without Airflow and MLflow; the candidates are the families'
untuned baselines, the same for every strategy.

    python -m bench.streams --data stream.csv [--data other.csv] [--generated sea] [--windows 30] [--json]

`--generated` plays a stream of known drift instead (`bench/stream_worlds.py`), any number of times.

Beside each table lies a JSON with at least `target`, and `time_column` and `missing_markers` where it has them.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import harness, stream_worlds
from bench.stream_loop import FIRST, Model, Outcome, Stream, fit, refit
from ml import settings as settings_module
from ml.data import generate
from ml.schema.schema import ANSWERED, PREDICTION_ID


def always(stream: Stream, first: Model) -> list[Model]:
    """The model after each window, fitted on everything that is labelled by then; nothing is held back for a gate."""
    models, rows = [first], []
    values = {**stream.values, "data": {**stream.values["data"], "recent_share": 0.0}}
    s = settings_module.from_values(values)
    for window in range(FIRST, len(stream.windows) - 1):
        part = stream.windows[window].copy()
        moments = pd.Timestamp("2030-01-01", tz="UTC") + pd.to_timedelta(np.arange(len(part)) + window * 1e6, unit="s")
        rows.append(part.assign(**{PREDICTION_ID: [f"{window}-{i}" for i in range(len(part))], ANSWERED: moments}))
        models.append(fit(s, generate(s, labelled=pd.concat(rows, ignore_index=True)), str(window)))
    return models


def schedule(n_windows: int, budget: int) -> list[int]:
    """Scored windows (from 1) before which an evenly spaced schedule retrains."""
    return [round((i + 1) * n_windows / (budget + 1)) for i in range(budget)]


def follow(stream: Stream, models: list[Model], use: list[int]) -> Outcome:
    """Predictions where window i is answered by `models[use[i]]`."""
    outcome = Outcome(retrainings=len(set(use)) - 1)
    for i, window in enumerate(range(FIRST, len(stream.windows))):
        model = models[use[i]]
        classes = np.asarray(model.snapshot.schema.classes, dtype=object)
        p = model.probabilities(stream.windows[window].drop(columns=[stream.target]))
        outcome.predicted.append(classes[p.argmax(axis=1)])
    return outcome


def run(file: Path, n_windows: int, families: tuple[str, ...]) -> dict[str, Any]:
    """All strategies on one stream."""
    with tempfile.TemporaryDirectory() as home:
        stream = Stream(file, n_windows, Path(home), families)
        first = fit(stream.settings, generate(stream.settings), "1")
        closed = refit(stream, first)
        models = always(stream, first)
        scored = n_windows - FIRST
        due = schedule(scored, closed.retrainings)
        strategies = {
            "static": follow(stream, models, [0] * scored),
            "every window": follow(stream, models, list(range(scored))),
            "scheduled": follow(stream, models, [max([d for d in due if d <= i], default=0) for i in range(scored)]),
            "refit": closed,
        }
        actual = np.concatenate([stream.labels(w) for w in range(FIRST, n_windows)])
        before = np.concatenate([stream.labels(FIRST - 1)[-1:], actual[:-1]])
        rows = {
            name: {**scores(np.concatenate(o.predicted), actual), "retrainings": o.retrainings}
            for name, o in strategies.items()
        }
        rows["last class"] = {**scores(before, actual), "retrainings": None}
    gain = rows["every window"]["accuracy"] - rows["static"]["accuracy"]
    share = (rows["refit"]["accuracy"] - rows["static"]["accuracy"]) / gain if gain > 0 else None
    return {
        "stream": file.stem,
        "windows": n_windows,
        "families": list(families),
        "strategies": rows,
        "share_of_gain": share,
        "share_of_retrainings": closed.retrainings / (scored - 1),
        "events": closed.events,
    }


def scores(predicted: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """Accuracy and Cohen's kappa."""
    agree = float((predicted == actual).mean())
    chance = sum(float((predicted == c).mean() * (actual == c).mean()) for c in np.unique(actual))
    return {"accuracy": agree, "kappa": (agree - chance) / (1 - chance) if chance < 1 else 0.0}


def show(result: dict[str, Any]) -> None:
    """A table for people."""
    print(f"\n{result['stream']} ({', '.join(result['families'])})")
    print(f"{'strategy':<14}{'accuracy':>9}{'kappa':>7}{'retrainings':>12}")
    for name, row in result["strategies"].items():
        cost = "" if row["retrainings"] is None else row["retrainings"]
        print(f"{name:<14}{100 * row['accuracy']:>8.1f}%{row['kappa']:>7.2f}{cost:>12}")
    share = result["share_of_gain"]
    text = "every window gained nothing" if share is None else f"{share:.0%} of what every window gained"
    print(f"Refit: {text}, with {result['share_of_retrainings']:.0%} of its retrainings")


def main() -> None:
    parser = harness.options(__doc__, events="what Refit decided after each window")
    parser.add_argument("--data", type=Path, action="append", default=[], help="CSV in time order, its JSON beside it")
    parser.add_argument("--generated", action="append", default=[], choices=stream_worlds.WORLDS, help="made here")
    parser.add_argument("--windows", type=int, default=30)
    parser.add_argument("--families", default="logistic,hist_gradient_boosting", help="candidates, comma-separated")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    results = []
    made = tempfile.TemporaryDirectory()
    generated = [stream_worlds.write(name, Path(made.name)) for name in options.generated]
    for file in [*options.data, *generated]:
        results.append(run(file, options.windows, tuple(options.families.split(","))))
        if not options.json:
            show(results[-1])
            if options.events:
                print("\n".join(results[-1]["events"]))
    made.cleanup()
    harness.show(results, as_json=options.json, indent=2)


if __name__ == "__main__":
    main()
