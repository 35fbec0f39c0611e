"""A generated churn table: named mixed-type columns, missing values, an id and a time.

The population is known, so drift can be made at will: `shift` moves the customers (covariate
shift), `concept` changes why they leave (concept shift).
"""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.settings import Settings

TARGET, ID, TIME = "churned", "customer_id", "as_of"
START = "2025-01-01"

_CONTRACTS = ("month to month", "one year", "two years")
_PAYMENTS = ("card", "bank transfer", "invoice", "wallet")
_REGIONS = ("north", "south", "east", "west", "centre")
_DEVICES = ("android", "ios", "none")


def read(settings: Settings) -> pd.DataFrame:
    """The table that `[customers]` describes; see `make`."""
    options = msgspec.structs.asdict(settings.customers)
    return make(options["n_samples"], options["random_state"])


def configure(settings: Settings) -> Settings:
    """The settings with this table's target, id and time where the user named none of his own."""
    data = settings.data
    known = {"target": TARGET} if data.target == "target" else {}
    known |= {} if data.positive_label else {"positive_label": "yes"}
    known |= {} if data.time_column else {"time_column": TIME}
    if not data.id_columns:
        return msgspec.structs.replace(settings, data=msgspec.structs.replace(data, id_columns=(ID,), **known))
    return msgspec.structs.replace(settings, data=msgspec.structs.replace(data, **known))


def make(
    n: int, seed: int, *, shift: float = 0.0, concept: float = 0.0, start_time: str = START, days: float = 180.0
) -> pd.DataFrame:
    """Draw customers, each as known at one moment, with whether he left in the month after.

    Parameters
    ----------
    n, seed
        Number of rows; the same pair gives the same rows.
    shift
        0: the usual population; 1: a clearly younger, dearer, more mobile one. P(y | x) is the same.
    concept
        0: the usual reasons to leave; 1: price and support no longer matter as before, and long
        contracts leave too. P(x) is the same.
    start_time, days
        The moments lie evenly, in order, in the `days` from `start_time` (ISO 8601).

    Returns
    -------
    DataFrame with `n` rows: id, moment, 6 number, 1 boolean and 4 category columns, target "yes"/"no".
    """
    rng = np.random.default_rng(seed)
    hidden = _population(n, rng, shift)
    chance = churn_probability(hidden, concept)
    left = rng.random(n) < chance
    frame = pd.DataFrame(hidden)
    frame.insert(0, ID, [f"C{number:08d}" for number in rng.choice(90_000_000, n, replace=False) + 10_000_000])
    step = pd.Timedelta(days=days) / max(1, n)
    frame.insert(
        1,
        TIME,
        (pd.Timestamp(start_time) + pd.TimedeltaIndex(np.arange(n) * step)).floor("s").strftime("%Y-%m-%dT%H:%M:%S"),
    )
    frame = _forget(frame, rng)
    frame[TARGET] = np.where(left, "yes", "no")
    return frame


def _population(n: int, rng: np.random.Generator, shift: float) -> dict[str, NDArray[np.generic]]:
    contract = rng.choice(3, n, p=_tilt((0.55, 0.25, 0.20), shift))
    tenure = np.clip(rng.gamma(1.6, np.array([9.0, 20.0, 28.0])[contract] * (1 - 0.4 * shift), n), 0, 96).round()
    products = 1 + rng.binomial(4, 0.25 + 0.1 * shift, n)
    charges = np.clip(18 + 17 * products + rng.normal(0, 8, n) + 15 * shift, 10, 160).round(2)
    age = np.clip(rng.normal(46 - 10 * shift, 14, n), 18, 92).round()
    return {
        "age": age,
        "region": np.array(_REGIONS)[rng.choice(5, n, p=(0.3, 0.2, 0.2, 0.2, 0.1))],
        "contract": np.array(_CONTRACTS)[contract],
        "payment": np.array(_PAYMENTS)[rng.choice(4, n, p=(0.35, 0.3, 0.25, 0.1))],
        "device": np.array(_DEVICES)[rng.choice(3, n, p=_tilt((0.45, 0.35, 0.20), 0.5 * shift))],
        "paperless": rng.random(n) < 0.6,
        "tenure_months": tenure,
        "products": products,
        "monthly_charges": charges,
        "support_calls": rng.poisson(0.9 + 0.5 * shift, n),
        "usage_trend": rng.normal(-0.1 * shift, 1.0, n).round(3),
    }


def _tilt(shares: tuple[float, ...], shift: float) -> NDArray[np.float64]:
    """Move weight to the first of the shares."""
    tilted = np.array(shares) * np.array([np.exp(shift), *([1.0] * (len(shares) - 1))])
    shares_now: NDArray[np.float64] = tilted / tilted.sum()
    return shares_now


def churn_probability(columns: dict[str, NDArray[np.generic]], concept: float = 0.0) -> NDArray[np.float64]:
    """(n,) the true chance to leave; `max(p, 1 - p)` on average is the Bayes accuracy."""
    contract = np.select([columns["contract"] == name for name in _CONTRACTS], [1.6, -1.2, -2.4])
    young = np.exp(-np.asarray(columns["tenure_months"], float) / 8)
    dear = (np.asarray(columns["monthly_charges"], float) - 55) / 22
    calls = np.minimum(np.asarray(columns["support_calls"], float), 5)
    trend = np.asarray(columns["usage_trend"], float)
    invoice = (columns["payment"] == "invoice") * 0.9
    old = -2.6 + contract + 2.2 * young + 1.1 * dear + 0.9 * calls - 1.7 * trend + invoice - 0.8 * dear * (trend > 0)
    new = -1.7 - 0.6 * contract + 2.2 * young - 0.9 * dear + 0.2 * calls + 1.2 * trend + invoice
    score = (1 - concept) * old + concept * new
    chance: NDArray[np.float64] = 1 / (1 + np.exp(-1.5 * score))
    return chance


def best_accuracy(shift: float = 0.0, concept: float = 0.0, n: int = 50_000) -> float:
    """Accuracy in [0, 1] of somebody who knows the world of `make`, before values go missing: nobody does better.

    Parameters
    ----------
    shift
        How far the customers have moved, as in `make`: 0 is the world as it was.
    concept
        From 0 (the old reasons to leave) to 1 (the new ones).
    n
        Customers that are drawn for it; the seed is fixed.

    >>> round(best_accuracy(), 2)
    0.88
    """
    chance = churn_probability(_population(n, np.random.default_rng(0), shift), concept)
    return float(np.maximum(chance, 1 - chance).mean())


def _forget(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Missing values: by chance, and usage of those without a device."""
    for name, share in (("age", 0.06), ("region", 0.03), ("payment", 0.02), ("usage_trend", 0.04)):
        frame[name] = frame[name].where(rng.random(len(frame)) >= share)
    frame.loc[(frame["device"] == "none") & (rng.random(len(frame)) < 0.5), "usage_trend"] = np.nan
    return frame
