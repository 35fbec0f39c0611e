"""Many models and many predictions on paper: what runs where, what it costs, what breaks first.

    python -m bench.fleet                                            # one model, 1 M, 100 M and 1 G predictions a day
    python -m bench.fleet --models 1000 --predictions 1e9 --json
    python -m bench.fleet --nights                                   # when 1,000 nightly retrainings end, simulated

`COSTS` are what one thing costs here, each with the program that measured it; nothing else is assumed but what the
options say. The nights are a simulation of a queue: every model retrains once, at its cron or spread over the night,
some again since drift was found, in as many places as there are; printed is when the champions are there.
"""

from __future__ import annotations

import heapq
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import harness

DAY_S = 86_400.0


@dataclass(frozen=True)
class Costs:
    """What was measured on two cores of a server, CPU seconds of one core and bytes; see docs/scale.md."""

    request_s: float = 160e-6  # a single row over HTTP, its record in the segment: 6,000 on one connection
    batch_row_s: float = 3.4e-6  # a row of a file, logistic: bench.score, 290,000 rows a core second
    ship_row_s: float = 12.1e-6  # the log shipper, a row moved to PostgreSQL: bench.log_writers
    database_row_s: float = 12.3e-6  # PostgreSQL's own, the same row
    row_bytes: float = 513.0  # of the log in PostgreSQL with all indexes and keys, 20 columns: bench.log_writers
    poll_s: float = 6.1e-3  # MLflow's server, one question which version is the champion: 400 of them
    poll_interval_s: float = 0.5  # serving.reload_interval_s: one follower a machine and model
    check_s: float = 7.4  # python -m ml drift-check of 400 rows × 17 with its Evidently report
    checks_a_day: float = 96.0  # schedule.drift_cron, every 15 minutes
    retrain_s: float = 44.0  # python -m ml pipeline, 1,000 rows × 20, 50 trials
    stack_bytes: float = 2.4e9  # Airflow, MLflow and the service of one home, by PSS: ./run_pipeline.sh --status
    service_bytes: float = 78e6  # a worker of the service with one model: bench.serving


COSTS = Costs()


def load(predictions: float, models: int, *, peak: float, batch_share: float, costs: Costs = COSTS) -> dict[str, float]:
    """Cores and bytes that a day's predictions and the models' loops take.

    Parameters
    ----------
    predictions
        Rows answered in a day, by all models together.
    models
        Each with a service, a champion and a loop of its own.
    peak
        The busiest second beside the mean one.
    batch_share
        Of the rows that come in files, in [0, 1].
    """
    rate = predictions / DAY_S
    single, batch = rate * (1 - batch_share), rate * batch_share
    return {
        "rows a second": rate,
        "service cores at the peak": peak * (single * costs.request_s + batch * costs.batch_row_s),
        "log shipper cores": rate * costs.ship_row_s,
        "database cores": rate * costs.database_row_s,
        "log GB a day": predictions * costs.row_bytes / 1e9,
        "registry cores": models / costs.poll_interval_s * costs.poll_s,
        "drift check cores": models * costs.checks_a_day * costs.check_s / DAY_S,
        "retraining core hours a night": models * costs.retrain_s / 3600,
        "memory GB, a stack a model": models * costs.stack_bytes / 1e9,
        "memory GB, two workers a model": models * 2 * costs.service_bytes / 1e9,
    }


def limits(*, peak: float, batch_share: float, costs: Costs = COSTS) -> list[tuple[str, float]]:
    """Predictions a day at which one of each is full, the first to break first.

    Parameters
    ----------
    peak, batch_share
        As of `load`.
    """
    a_row = (1 - batch_share) * costs.request_s + batch_share * costs.batch_row_s
    return sorted(
        {
            "one service worker (a core)": DAY_S / (peak * a_row),
            "one log shipper (a core)": DAY_S / costs.ship_row_s,
            "one PostgreSQL of 8 cores": 8 * DAY_S / costs.database_row_s,
            "a disk of 2 TB, 30 days kept": 2e12 / 30 / costs.row_bytes,
        }.items(),
        key=lambda pair: pair[1],
    )


def night(
    models: int, places: int, *, spread_s: float, again: float, retrain_s: float, spread: float = 0.5, seed: int = 0
) -> dict[str, float]:
    """When the champions of one night are there, in a queue with so many places; seconds after a run was due.

    Parameters
    ----------
    places
        Runs at the same time, a core each.
    spread_s
        The cron moments lie evenly in so many seconds; 0: all at once, as with one cron for all.
    again
        Share of the models in which drift is found at one moment in the night as well, as when one feed breaks.
    retrain_s, spread
        Median seconds of a run, and the standard deviation of their logarithm between models.
    """
    rng = np.random.default_rng(seed)
    due = np.linspace(0.0, spread_s, models, endpoint=False)
    rng.shuffle(due)
    shifted = rng.choice(models, int(again * models), replace=False)
    moment = rng.uniform(0.0, max(spread_s, 3600.0))
    due = np.concatenate([due, np.full(len(shifted), moment)])
    took = retrain_s * np.exp(spread * rng.standard_normal(len(due)))
    free = [0.0] * places
    heapq.heapify(free)
    waited = np.empty(len(due))
    for run in np.argsort(due, kind="stable"):
        start = max(heapq.heappop(free), due[run])
        heapq.heappush(free, start + took[run])
        waited[run] = start + took[run] - due[run]
    return {
        "p50 s": float(np.quantile(waited, 0.5)),
        "p99 s": float(np.quantile(waited, 0.99)),
        "last s": float(waited.max()),
        "busy": float(took.sum() / (places * max(free))),
    }


def main() -> None:
    parser = harness.options(__doc__, nights="the simulated nights instead of the day's load")
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--predictions", type=float, action="append", help="a day; repeatable (default: 1e6, 1e8, 1e9)")
    parser.add_argument("--peak", type=float, default=3.0, help="the busiest second beside the mean one")
    parser.add_argument("--batch-share", type=float, default=0.0, help="of the rows that come in files")
    parser.add_argument("--places", type=int, action="append", help="runs at a time; repeatable (default: 4, 16, 64)")
    arguments = parser.parse_args()
    shape = {"peak": arguments.peak, "batch_share": arguments.batch_share}
    if arguments.nights:
        models = arguments.models if arguments.models > 1 else 1_000
        found: object = {
            f"{models} models, {places} places, {name}": night(
                models, places, spread_s=spread_s, again=0.2, retrain_s=COSTS.retrain_s
            )
            for places in arguments.places or (4, 16, 64)
            for name, spread_s in (("all at 03:00", 0.0), ("spread over 4 hours", 4 * 3600.0))
        }
    else:
        found = {
            "load": {f"{n:.3g}": load(n, arguments.models, **shape) for n in arguments.predictions or (1e6, 1e8, 1e9)},
            "breaks first": dict(limits(**shape)),
        }
    print(json.dumps(found, indent=2) if arguments.json else _text(found))


def _text(found: object, indent: int = 0) -> str:
    if not isinstance(found, dict):
        return ""
    lines = []
    for name, value in found.items():
        if isinstance(value, dict):
            lines += [f"{' ' * indent}{name}", _text(value, indent + 2)]
        else:
            digits = max(0, 3 - math.floor(math.log10(abs(value))) - 1) if value else 0
            lines.append(f"{' ' * indent}{name:<36}{value:>20,.{digits}f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
