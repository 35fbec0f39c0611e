"""What drift-triggered retraining is worth: the loop over a real stream, beside its alternatives.

A table in time order is cut into windows. A model is made from the first ones; each later window is first
predicted, then its labels come, then the loop may retrain. Compared are: never retraining, retraining after
every window on all labelled rows, evenly spaced retrainings (as many as Refit made), Refit, and answering
the class of the row before. Refit's part is the project's own code (prediction log, drift check, choice
of rows, snapshot, gate, ledger), in process, without Airflow and MLflow; the candidates are the families'
untuned baselines, the same for every strategy.

    python -m bench.streams --data stream.csv [--data other.csv] [--generated sea] [--windows 30] [--delay 2] [--json]

`--delay` is how many windows later labels come; `--generated` plays a stream of known drift instead
(`bench/stream_worlds.py`), any number of times; of these `lender` is one whose answers decide who gets a label, and is
told by itself (`bench/lender.py`).

Beside each table lies a JSON with at least `target`, and `time_column` and `missing_markers` where it has them.
"""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import harness, lender, stream_worlds
from ml.data import generate
from ml.replay.loop import FIRST, Outcome, Stream, fit, refit
from ml.replay.strategies import always, follow, on_schedule, schedule

HISTORIES = {"all": None, "newest 5,000": 5_000, "newest 3 windows": 3.0}  # rows, or windows as a float


def stream_of(file: Path, n_windows: int, home: Path, families: tuple[str, ...], delay: int) -> Stream:
    """A file with its JSON beside it, whose labels come `delay` windows late."""
    facts = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    markers = facts.get("missing_markers") or [""]
    frame = pd.read_csv(file, dtype=object, keep_default_na=False, na_values=markers)
    data = {"target": facts["target"], "positive_label": facts.get("positive_label", "")}
    data |= {"time_column": facts["time_column"]} if facts.get("time_column") else {}
    data["exclude"] = list(facts.get("id_columns", []))
    arrives = [window + delay for window in range(n_windows)]
    return Stream(frame, n_windows, home, data=data, families=families, arrives=arrives)


def run(file: Path, n_windows: int, families: tuple[str, ...], delay: int = 0) -> dict[str, Any]:
    """All strategies on one stream."""
    with tempfile.TemporaryDirectory() as home:
        stream = stream_of(file, n_windows, Path(home), families, delay)
        first = fit(stream.settings, generate(stream.settings), "1")
        closed = refit(stream, first)
        histories = {name: always(stream, first, newest) for name, newest in HISTORIES.items()}
        models = histories["all"]
        scored = n_windows - FIRST
        due = schedule(scored, closed.retrainings)
        strategies = {
            "static": follow(stream, [first] * scored),
            "every window": follow(stream, models),
            "scheduled": follow(stream, on_schedule(models, due)),
            "refit": closed,
        }
        every = {name: follow(stream, made) for name, made in histories.items()}
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
        "events": list(map(str, closed.steps)),
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
        if file.stem == lender.NAME and file in generated:
            results.append(lender.run(file, families=tuple(options.families.split(","))))
            if not options.json:
                lender.show(results[-1])
            continue
        results.append(run(file, options.windows, tuple(options.families.split(",")), options.delay))
        if not options.json:
            show(results[-1])
            if options.events:
                print("\n".join(results[-1]["events"]))
    made.cleanup()
    harness.show(results, as_json=options.json, indent=2)


if __name__ == "__main__":
    main()
