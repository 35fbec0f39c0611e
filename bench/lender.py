"""A lender: the answer decides who gets a label. What the loop keeps seeing, with a share of actions drawn at random.

`bench/stream_worlds.py` makes the applicants: who would not pay back changes slowly. Who is answered "yes" (will not
pay back) is declined, and whether that was right is never known; of the others it is known two windows later. The first
model is made from three windows in which everybody was lent to; then come 25 windows, with 24 occasions to retrain.
Compared, by the share of all who would not pay back that is answered "yes" (recall), labelled or not:

- a loop that sees every label, as if the declined had been lent to;
- the loop with `explore.share` of the rows, whose action is drawn (and is "approve"), logged with their propensities;
- the loop as it would be without: labels of the approved alone, and nothing logged of actions;
- a rule of accuracy alone: retrain at each of the 24 occasions on all that is labelled, and replace where accuracy on
  the newest labels is not lower;
- never retraining.

    python -m bench.lender [--rows 84000] [--share 0.03] [--seed 0] [--json]
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import harness, stream_worlds
from ml.data import generate
from ml.replay.loop import FIRST, Outcome, Stream, fit, refit
from ml.replay.strategies import by_accuracy, follow

NAME = "lender"
ROWS, WINDOWS, DELAY, SHARE = 84_000, 28, 2, 0.03
LATE = 8  # windows, the last third, whose recall is told apart
LENT = {"policy": {"no": "approve", "yes": "decline"}, "labelled": ["approve"], "actions": ["approve"]}


def run(
    file: Path, *, share: float = SHARE, families: tuple[str, ...] = ("logistic", "hist_gradient_boosting")
) -> dict[str, Any]:
    """All strategies on the table of `stream_worlds.write("lender", …)`."""
    frame = pd.read_csv(file, dtype=object)
    strategies: dict[str, tuple[dict[str, Any] | None, bool]] = {
        "sees every label": (None, False),
        f"explores {share:.1%}": ({**LENT, "share": share}, True),
        "approved only, nothing explored": (LENT, False),
        "approved only, by accuracy": (LENT, False),
        "never": (LENT, False),
    }
    rows = {}
    for name, (explore, logged) in strategies.items():
        with tempfile.TemporaryDirectory() as home:
            stream = Stream(
                frame, WINDOWS, Path(home), data={"target": "y", "positive_label": "yes"}, families=families,
                arrives=[window + DELAY for window in range(WINDOWS)],
                values={"explore": explore} if explore else None, logged=logged,
            )  # fmt: skip
            rows[name] = _played(name, stream)
    whole, explored, plain = (rows[name]["recall"] for name in list(rows)[:3])
    return {
        "stream": NAME, "windows": WINDOWS, "rows": len(frame), "delay": DELAY, "share": share, "strategies": rows,
        "points_behind_every_label": 100 * (whole - explored), "points_behind_without": 100 * (whole - plain),
    }  # fmt: skip


def _played(name: str, stream: Stream) -> dict[str, Any]:
    first = fit(stream.settings, generate(stream.settings), "1")
    replaced = 0
    if name == "never":
        outcome = follow(stream, [first] * (WINDOWS - FIRST))
    elif name.endswith("by accuracy"):
        outcome, replaced = by_accuracy(stream, first)
    else:
        outcome = refit(stream, first)
        replaced = sum(bool(step.promoted) for step in outcome.steps)
    return {**scores(stream, outcome), "retrainings": outcome.retrainings, "replaced": replaced}


def scores(stream: Stream, outcome: Outcome) -> dict[str, float]:
    """Recall of "yes" and accuracy over all applicants, and accuracy over those who were answered "no"."""
    actual = [stream.labels(window) == "yes" for window in range(FIRST, WINDOWS)]
    declined = [answered == "yes" for answered in outcome.predicted]
    true, answered = np.concatenate(actual), np.concatenate(declined)
    late = np.concatenate(declined[-LATE:])[np.concatenate(actual[-LATE:])]
    return {
        "recall": float(answered[true].mean()),
        "recall_late": float(late.mean()),
        "accuracy": float((answered == true).mean()),
        "accuracy_labelled": float(1 - true[~answered].mean()),
        "log_loss": float(np.concatenate(outcome.losses).mean()),
        "declined": float(answered.mean()),
    }


def show(result: dict[str, Any]) -> None:
    """A table for people."""
    print(f"\n{result['stream']}: {result['rows']:,} applicants, labels {result['delay']} windows late")
    print(f"{'':<34}{'recall':>8}{'late':>8}{'accuracy':>10}{'of approved':>12}{'log-loss':>10}{'retrained':>11}")
    for name, row in result["strategies"].items():
        shares = f"{row['recall']:>8.1%}{row['recall_late']:>8.1%}{row['accuracy']:>10.1%}"
        made = f"{row['replaced']} of {row['retrainings']}"
        print(f"{name:<34}{shares}{row['accuracy_labelled']:>12.1%}{row['log_loss']:>10.4f}{made:>11}")
    print(
        f"Recall on all applicants: exploring is {result['points_behind_every_label']:.1f} points behind seeing every "
        f"label, not exploring {result['points_behind_without']:.1f}"
    )


def main() -> None:
    parser = harness.options(__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--share", type=float, default=SHARE, help="of the rows whose action is drawn")
    parser.add_argument("--seed", type=int, default=0, help="of the applicants")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as made:
        file = stream_worlds.write(NAME, Path(made), rows=options.rows, seed=options.seed)
        result = run(file, share=options.share)
    if not options.json:
        show(result)
    harness.show([result], as_json=options.json, indent=2)


if __name__ == "__main__":
    main()
