"""What drift-triggered retraining is worth: the loop over a real stream, beside its alternatives.

A table in time order is cut into windows. A model is made from the first ones; each later window is first
predicted, then its labels come, then the loop may retrain. Compared are: never retraining, retraining after
every window on all labelled rows, evenly spaced retrainings (as many as Refit made), Refit, and answering
the class of the row before. Refit's part is the project's own code (prediction log, drift check, choice
of rows, snapshot, gate, ledger), in process, without Airflow and MLflow; the candidates are the families'
untuned baselines, the same for every strategy.

    python -m bench.streams --data stream.csv [--data other.csv] [--generated sea] [--windows 30] [--delay 2] [--json]

`--delay` is how many windows later labels come; `--generated` plays a stream of known drift instead
(`bench/stream_worlds.py`), any number of times.

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

HISTORIES = {"all": None, "newest 5,000": 5_000, "newest 3 windows": 3.0}  # rows, or windows as a float


def always(stream: Stream, first: Model, newest: float | None = None) -> list[Model]:
    """The model after each window, fitted on what is labelled by then; nothing is held back for a gate.

    Parameters
    ----------
    newest
        Only so many rows, or windows if a float, and not what the first model was made from; None: everything.
    """
    models, rows = [first], []
    values = {**stream.values, "data": {**stream.values["data"], "recent_share": 0.0}}
    s = settings_module.from_values(values)
    for window in range(FIRST, len(stream.windows) - 1):
        if window - stream.delay < FIRST:
            models.append(first)
            continue
        part = stream.windows[window - stream.delay].copy()
        moments = pd.Timestamp("2030-01-01", tz="UTC") + pd.to_timedelta(np.arange(len(part)) + window * 1e6, unit="s")
        rows.append(part.assign(**{PREDICTION_ID: [f"{window}-{i}" for i in range(len(part))], ANSWERED: moments}))
        labelled = pd.concat(rows[-int(newest) :] if isinstance(newest, float) else rows, ignore_index=True)
        labelled = labelled.iloc[-newest:] if isinstance(newest, int) else labelled
        whole = newest is None or (isinstance(newest, int) and len(labelled) < newest)  # not yet a window of its own
        models.append(fit(s, generate(s, labelled=labelled, train_on_base=whole), str(window)))
    return models


def schedule(n_windows: int, budget: int) -> list[int]:
    """Scored windows (from 1) before which an evenly spaced schedule retrains."""
    return [round((i + 1) * n_windows / (budget + 1)) for i in range(budget)]


def follow(stream: Stream, models: list[Model], use: list[int]) -> Outcome:
    """Predictions where window i is answered by `models[use[i]]`."""
    outcome = Outcome(retrainings=len(set(use)) - 1)
    for i, window in enumerate(range(FIRST, len(stream.windows))):
        model = models[use[i]]
        outcome.add(stream, model, window, model.probabilities(stream.windows[window].drop(columns=[stream.target])))
    return outcome


def run(file: Path, n_windows: int, families: tuple[str, ...], delay: int = 0) -> dict[str, Any]:
    """All strategies on one stream."""
    with tempfile.TemporaryDirectory() as home:
        stream = Stream(file, n_windows, Path(home), families, delay)
        first = fit(stream.settings, generate(stream.settings), "1")
        closed = refit(stream, first)
        histories = {name: always(stream, first, newest) for name, newest in HISTORIES.items()}
        models = histories["all"]
        scored = n_windows - FIRST
        due = schedule(scored, closed.retrainings)
        strategies = {
            "static": follow(stream, models, [0] * scored),
            "every window": follow(stream, models, list(range(scored))),
            "scheduled": follow(stream, models, [max([d for d in due if d <= i], default=0) for i in range(scored)]),
            "refit": closed,
        }
        every = {name: follow(stream, made, list(range(scored))) for name, made in histories.items()}
        history = min(every, key=lambda name: mean_loss(every[name]))
        strategies["every window, best history"] = every[history]
        actual = np.concatenate([stream.labels(w) for w in range(FIRST, n_windows)])
        before = np.concatenate([stream.labels(FIRST - 1)[-1:], actual[:-1]])
        rows = {
            name: {
                **scores(np.concatenate(o.predicted), actual),
                "log_loss": mean_loss(o),
                "retrainings": o.retrainings,
            }
            for name, o in strategies.items()
        }
        rows["last class"] = {**scores(before, actual), "log_loss": None, "retrainings": None}
    return {
        "stream": file.stem,
        "windows": n_windows,
        "families": list(families),
        "strategies": rows,
        "delay": delay,
        "share_of_gain": share(rows, "accuracy", "every window"),
        "share_of_log_loss_gain": share(rows, "log_loss", "every window"),
        "share_of_best_history": share(rows, "log_loss", "every window, best history"),
        "best_history": history,
        "share_of_retrainings": closed.retrainings / (scored - 1),
        "events": closed.events,
    }


def share(rows: dict[str, dict[str, Any]], measure: str, rival: str) -> float | None:
    """Refit's gain over never retraining, as a share of the rival's; None where the rival gained nothing."""
    never = rows["static"][measure]
    gain = rows[rival][measure] - never
    better = gain > 0 if measure == "accuracy" else gain < 0
    return (rows["refit"][measure] - never) / gain if better else None


def mean_loss(outcome: Outcome) -> float:
    return float(np.concatenate(outcome.losses).mean())


def scores(predicted: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """Accuracy and Cohen's kappa."""
    agree = float((predicted == actual).mean())
    chance = sum(float((predicted == c).mean() * (actual == c).mean()) for c in np.unique(actual))
    return {"accuracy": agree, "kappa": (agree - chance) / (1 - chance) if chance < 1 else 0.0}


def show(result: dict[str, Any]) -> None:
    """A table for people."""
    print(f"\n{result['stream']} ({', '.join(result['families'])})")
    print(f"{'strategy':<28}{'accuracy':>9}{'kappa':>7}{'log-loss':>10}{'retrainings':>12}")
    for name, row in result["strategies"].items():
        cost = "" if row["retrainings"] is None else row["retrainings"]
        loss = "" if row["log_loss"] is None else f"{row['log_loss']:.4f}"
        print(f"{name:<28}{100 * row['accuracy']:>8.1f}%{row['kappa']:>7.2f}{loss:>10}{cost:>12}")
    told = {
        "of what every window gained in accuracy": result["share_of_gain"],
        "in log-loss": result["share_of_log_loss_gain"],
        f"of every window with the best history ({result['best_history']})": result["share_of_best_history"],
    }
    texts = [f"{'no gain' if value is None else format(value, '.0%')} {what}" for what, value in told.items()]
    print(f"Refit: {', '.join(texts)}; with {result['share_of_retrainings']:.0%} of its retrainings")


def main() -> None:
    parser = harness.options(__doc__, events="what Refit decided after each window")
    parser.add_argument("--data", type=Path, action="append", default=[], help="CSV in time order, its JSON beside it")
    parser.add_argument("--generated", action="append", default=[], choices=stream_worlds.WORLDS, help="made here")
    parser.add_argument("--windows", type=int, default=30)
    parser.add_argument("--delay", type=int, default=0, help="windows until the labels come")
    parser.add_argument("--families", default="logistic,hist_gradient_boosting", help="candidates, comma-separated")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    results = []
    made = tempfile.TemporaryDirectory()
    generated = [stream_worlds.write(name, Path(made.name)) for name in options.generated]
    for file in [*options.data, *generated]:
        results.append(run(file, options.windows, tuple(options.families.split(",")), options.delay))
        if not options.json:
            show(results[-1])
            if options.events:
                print("\n".join(results[-1]["events"]))
    made.cleanup()
    harness.show(results, as_json=options.json, indent=2)


if __name__ == "__main__":
    main()
