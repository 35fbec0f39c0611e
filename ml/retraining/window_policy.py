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

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ml import predictions
from ml.data import production
from ml.drift import backtest, verdict_history
from ml.messages import Message, message
from ml.retraining import change_point
from ml.schema.schema import ANSWERED, QUESTION
from ml.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from ml.schema.schema import Schema


class Selection(NamedTuple):
    """Keyword arguments of `ml.data.generate`, and what was chosen, and why."""

    labelled: pd.DataFrame | None
    gate_since: pd.Timestamp | None
    train_on_base: bool
    policy: str
    reason: Message


def select(
    settings: Settings,
    *,
    version: str | None = None,
    created: float | None = None,
    made_from: str = "",
    contract: Schema | None = None,
    anew: bool = False,
) -> Selection:
    """Choose the labelled rows for a retraining.

    Parameters
    ----------
    version, created, made_from
        The champion, the moment (seconds) it was made and its snapshot; read from the registry where not given.
    contract
        What is being trained: rows that answer another question are not chosen from (they are handed on, to be
        counted). None: all are chosen from.
    anew
        Columns and classes are found anew, so it is not known yet what fits them: all rows are handed on.
    """
    import pandas as pd

    if created is None:
        version, created, made_from = _champion(settings)
    rows = predictions.labelled(settings, rows=settings.retrain.max_rows)
    if rows.empty:
        return Selection(None, None, True, "all", message("retraining.no_labelled_rows"))
    if anew:
        return Selection(rows, None, True, "all", message("retraining.found_anew"))
    everything = rows
    rows, other = production.same_question(rows, contract) if contract else (rows, 0)
    if rows.empty:
        return Selection(everything, None, True, "all", message("retraining.other_question", n=other))
    began = _drift_began(settings, version)
    windows = _windows(settings, rows, began)
    gate_since = _gate_since(settings, rows if began is None else rows[rows[ANSWERED] >= began], created)
    policy: str = settings.retrain.policy
    if policy == "auto":
        policy, reason = _backtest(settings, backtest.base(settings, made_from), rows, windows)
    else:
        reason = message("retraining.configured", policy=policy)
    if policy not in windows:
        policy, reason = "all", message("retraining.too_few_for_policy", reason=reason)
    chosen = windows[policy]
    if other and contract:
        chosen = pd.concat([everything[~everything[QUESTION].isin(["", contract.question])], chosen], ignore_index=True)
    return Selection(chosen, gate_since, policy == "all", policy, reason)


def _champion(settings: Settings) -> tuple[str | None, float | None, str]:
    from ml import registry

    champion = registry.champion(settings)
    if champion is None:
        return None, None, ""
    return champion.version, champion.created, champion.tags.get(registry.SNAPSHOT, "")


def _gate_since(settings: Settings, new: pd.DataFrame, created: float | None) -> pd.Timestamp | None:
    """Hold out no more than a share of the rows that show the drift: the challenger must learn from the others.

    But enough to be judged on, as a challenger of the changed world would lose on rows of the old one.
    """
    import pandas as pd

    if created is None:
        return None
    created_at = pd.Timestamp(created, unit="s", tz="UTC")
    held = min(max(production.held_out(len(new), settings.data), settings.data.recent_min_rows), len(new))
    newest: pd.Timestamp = new[ANSWERED].iloc[-held] if held else created_at
    return newest if newest > created_at else created_at


def _windows(settings: Settings, rows: pd.DataFrame, began: pd.Timestamp | None) -> dict[str, pd.DataFrame]:
    """Policy → labelled rows; a policy that would leave too few rows to learn from is not among them."""
    windows = {"all": rows, "sliding": rows.iloc[-settings.retrain.sliding_rows :]}
    if began is not None:
        windows["since drift"] = rows[rows[ANSWERED] >= began]
    enough = settings.retrain.min_rows
    return {name: part for name, part in windows.items() if name == "all" or len(part) >= enough}


def _drift_began(settings: Settings, version: str | None) -> pd.Timestamp | None:
    """When what the newest labels show as degraded began; else the first of an unbroken run of windows that drifted.

    The inputs may have moved long before what they mean did: rows from between would teach the old meaning.
    """
    import pandas as pd

    if version is None:
        return None
    checks = [
        check
        for check in verdict_history.history(settings, settings.drift.history, version=version)
        if check.verdict != "insufficient data"
    ]
    judged = [check for check in checks if check.signals.judged]  # one without new labels says nothing of performance
    if judged and judged[0].signals.degraded:
        run = list(itertools.takewhile(lambda check: check.signals.degraded, judged))
        until = judged[len(run)].performance.labels_until if len(run) < len(judged) else 0.0
        began = change_point.began(settings, version, run, until)
    else:
        run = list(itertools.takewhile(lambda check: check.signals.drifted, checks))
        began = run[-1].window.start if run else None
    return None if began is None else pd.Timestamp(began, unit="s", tz="UTC")


def _backtest(
    settings: Settings, source: backtest.Base | None, rows: pd.DataFrame, windows: dict[str, pd.DataFrame]
) -> tuple[str, Message]:
    """Fit a quick model on each window without its newest rows and score it on those.

    `all` stays unless another is better by more than one standard error of the paired difference.
    """
    # Of the changed world where there is one, and not all of it: what is held out cannot be learnt from.
    held = min(max(len(windows.get("since drift", rows)) // 4, 50), 2_000)
    if source is None or len(windows) == 1 or len(rows) - held < settings.retrain.min_rows:
        return "all", message("retraining.too_few_for_backtest")
    judged = rows.iloc[-held:]
    older = {name: production.without_ids_of(part.iloc[:-held], judged) for name, part in windows.items()}
    losses = backtest.losses(settings, source, older, judged)
    best = min(losses, key=lambda name: losses[name].mean(), default="all")
    if best != "all" and "all" in losses:
        gain = losses["all"] - losses[best]
        if gain.mean() <= gain.std(ddof=1) / np.sqrt(len(gain)):
            best = "all"
    scores = [message("retraining.backtest_score", policy=name, loss=loss.mean()) for name, loss in losses.items()]
    return best, message("retraining.backtest", n=held, scores=scores)
