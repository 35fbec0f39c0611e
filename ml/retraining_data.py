"""Which labelled production rows a retraining learns from: the window policy.

| policy | trained on |
|---|---|
| `all` | the configured source and every labelled row |
| `sliding` | the newest `retrain.sliding_rows` labelled rows alone |
| `since drift` | the labelled rows since the champion's first degraded window, alone |
| `auto` | whichever of these would have done best on the newest labelled rows (a backtest) |

Whatever the policy, the newest labelled rows that the champion cannot have been trained on are held out for
the gate (`ml.data.production`), and predictions without a label are not trained on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ml import predictions
from ml.drift import records
from ml.errors import DataError
from ml.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from ml.schema import Schema


class Selection(NamedTuple):
    """Keyword arguments of `ml.data.generate`, and what was chosen, in words."""

    labelled: pd.DataFrame | None
    gate_since: pd.Timestamp | None
    train_on_base: bool
    policy: str
    reason: str


def select(settings: Settings, *, version: str | None = None, created: float | None = None) -> Selection:
    """Choose the labelled rows for a retraining.

    Parameters
    ----------
    version, created
        The champion and the moment (seconds) it was made; read from the registry where not given.
    """

    if created is None:
        version, created = _champion(settings)
    rows = predictions.labelled(settings, rows=settings.retrain.max_rows)
    if rows.empty:
        return Selection(None, None, True, "all", "no labelled production rows yet")
    windows = _windows(settings, rows, version)
    gate_since = _gate_since(settings, windows, created)
    policy: str = settings.retrain.policy
    if policy == "auto":
        policy, reason = _backtest(settings, rows, windows)
    else:
        reason = f"configured: {policy}"
    if policy not in windows:
        policy, reason = "all", f"{reason}; too few labelled rows for it, so all are used"
    return Selection(windows[policy], gate_since, policy == "all", policy, reason)


def _champion(settings: Settings) -> tuple[str | None, float | None]:
    from ml import registry

    found = registry.champion(settings)
    return (None, None) if found is None else (found.version, found.created)


def _gate_since(settings: Settings, windows: dict[str, pd.DataFrame], created: float | None) -> pd.Timestamp | None:
    """Hold out no more than a share of the rows that show the drift: the challenger must learn from the others."""
    import pandas as pd

    if created is None:
        return None
    rows = windows.get("since drift", windows["all"])
    newest: pd.Timestamp = rows["time"].iloc[-max(1, round(len(rows) * settings.data.recent_share))]
    made = pd.Timestamp(created, unit="s", tz="UTC")
    return newest if newest > made else made


def _windows(settings: Settings, rows: pd.DataFrame, version: str | None) -> dict[str, pd.DataFrame]:
    """Policy → labelled rows; a policy that would leave too few rows to learn from is not among them."""
    import pandas as pd

    windows = {"all": rows, "sliding": rows.iloc[-settings.retrain.sliding_rows :]}
    began = _drift_began(settings, version)
    if began is not None:
        windows["since drift"] = rows[rows["time"] >= pd.Timestamp(began, unit="s", tz="UTC")]
    enough = settings.retrain.min_rows
    return {name: part for name, part in windows.items() if name == "all" or len(part) >= enough}


def _drift_began(settings: Settings, version: str | None) -> float | None:
    """Start of the newest unbroken run of windows that were degraded, as the newest is; else of those that drifted.

    The inputs may have moved long before what they mean did: rows from between would teach the old meaning.
    """
    if version is None:
        return None
    checks = [
        check
        for check in records.history(settings, settings.drift.history, version=version)
        if check.verdict != "insufficient data"
    ]
    degraded = bool(checks) and checks[0].signals.degraded
    began = None
    for check in checks:
        if not (check.signals.degraded if degraded else check.signals.drifted):
            break
        began = check.window.start
    return began


def _backtest(settings: Settings, rows: pd.DataFrame, windows: dict[str, pd.DataFrame]) -> tuple[str, str]:
    """Fit the quickest family on each window without its newest rows and score it on those.

    `all` stays unless another is better by more than one standard error of the paired difference.
    """
    # Of the changed world where there is one, and not all of it: what is held out cannot be learnt from.
    held = min(max(len(windows.get("since drift", rows)) // 4, 50), 2_000)
    schema, base = _base(settings)
    if schema is None or len(windows) == 1 or len(rows) - held < settings.retrain.min_rows:
        return "all", "too few labelled rows for a backtest of the policies"
    x_held, y_held = _canonical(rows.iloc[-held:], schema)
    losses = {}
    for name, part in windows.items():
        x, y = _canonical(part.iloc[:-held], schema)
        if name == "all" and base is not None:
            x, y = _concat(base[0], x), np.concatenate([base[1], y])
        if len(y) >= settings.retrain.min_rows // 2 and len(np.unique(y)) == len(schema.classes):
            losses[name] = _losses(x, y, x_held, y_held, schema, settings)
    best = min(losses, key=lambda name: losses[name].mean(), default="all")
    if best != "all" and "all" in losses:
        gain = losses["all"] - losses[best]
        if gain.mean() <= gain.std(ddof=1) / np.sqrt(len(gain)):
            best = "all"
    scores = ", ".join(f"{name} {loss.mean():.3f}" for name, loss in losses.items())
    return best, f"backtest on the newest {len(y_held)} labelled rows, log-loss: {scores}"


def _base(settings: Settings) -> tuple[Schema | None, tuple[Any, Any] | None]:
    """Schema and training rows of the newest snapshot's own source; (None, None) before the first one."""
    from ml.data import customers, generation

    if settings.data.source == "customers":  # what `generate` did before it kept the snapshot
        settings = customers.configure(settings)
    snapshot = generation.latest(settings)
    if snapshot is None:
        return None, None
    part = snapshot.part("train")
    added = (snapshot.manifest.get("labelled") or {}).get("train", 0)
    n = len(part.y) - added  # labelled rows were put at the end
    return snapshot.schema, ((part.X.iloc[:n], part.y[:n]) if n else None)


def _canonical(rows: pd.DataFrame, schema: Schema) -> tuple[Any, Any]:
    from ml.data import labels
    from ml.data.coerce import canonical
    from ml.report import Report

    y = labels.codes(rows, schema, Report(), tolerate=None)
    x, _ = canonical(rows[y >= 0].reset_index(drop=True), schema)
    return x, y[y >= 0]


def _concat(first: Any, second: Any) -> Any:
    import pandas as pd

    return pd.concat([first, second], ignore_index=True)


def _losses(x: Any, y: Any, x_held: Any, y_held: Any, schema: Schema, settings: Settings) -> Any:
    from ml.models import FAMILIES

    family = FAMILIES["hist_gradient_boosting" if "hist_gradient_boosting" in settings.train.families else "logistic"]
    keep = np.sort(np.random.default_rng(settings.train.seed).permutation(len(y))[: settings.retrain.backtest_rows])
    model = family.build(family.baseline(len(keep)), schema, seed=settings.train.seed)
    try:
        model.fit(x.iloc[keep], y[keep])
    except DataError:  # a window in which nothing varies cannot win
        return np.full(len(y_held), np.inf)
    p = model.predict_proba(x_held)[np.arange(len(y_held)), y_held]
    return -np.log(np.clip(p, 1e-6, 1.0))
