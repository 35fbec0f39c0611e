"""Which labelled production rows a retraining learns from: the window policy.

| policy | trained on |
|---|---|
| `all` | the configured source and every labelled row |
| `sliding` | the newest `retrain.sliding_rows` labelled rows alone |
| `since drift` | the labelled rows since the newest drift began, the champion's or one before it, alone |
| `auto` | the window that the evidence for newer models is for, or that the checks together are sure of; else all |

`auto` never takes a window that did worse than all rows under the champions so far (`ml.retraining.window_record`).

Whatever the policy, the newest labelled rows that the champion cannot have been trained on are held out for
the gate (`ml.data.production`), and predictions without a label are not trained on.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml import predictions
from ml.data import production, split
from ml.drift import backtest, verdict_history
from ml.drift.verdict import DriftVerdict, FreshModelProbe
from ml.messages import Message, message
from ml.registry import ledger
from ml.retraining import change_point, e_process, label_delay, window_record
from ml.schema.schema import ANSWERED, QUESTION
from ml.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from ml.schema.schema import Schema


STANDARD_ERRORS = 2.5  # that a window must be better by, where the evidence does not name one; our choice
PREDECESSORS = 5  # whose drift is asked for where the champion has none; our choice


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
    began = drift_began(settings, version)
    candidates = windows(settings, rows, began)
    gate_since = _gate_since(settings, rows if began is None else rows[rows[ANSWERED] >= began], created)
    policy: str = settings.retrain.policy
    source = backtest.base(settings, made_from)
    if (schema := contract or (source.schema if source else None)) is not None:
        teaches = {name: _teaches(part, gate_since, schema, settings) for name, part in candidates.items()}
        candidates = {name: part for name, part in candidates.items() if name == "all" or teaches[name]}
    if policy == "auto":
        policy, reason = _auto(settings, source, rows, candidates, _shown(settings, version))
        record = window_record.newest(settings).get(policy)
        if record is not None and record.over_all < 0:
            policy, reason = "all", message("retraining.window_lost", policy=policy, n=round(record.rows))
    else:
        reason = message("retraining.configured", policy=policy)
    if policy not in candidates:
        policy, reason = "all", message("retraining.too_few_for_policy", reason=reason)
    chosen = candidates[policy]
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
    weight = production.weights_of(new, settings.explore.max_weight)
    held = production.held_out(len(new), settings.data, weight=weight)
    held = min(max(held, settings.data.recent_min_rows), len(new))
    newest: pd.Timestamp = new[ANSWERED].iloc[-held] if held else created_at
    return newest if newest > created_at else created_at


def _teaches(rows: pd.DataFrame, gate_since: pd.Timestamp | None, schema: Schema, settings: Settings) -> bool:
    """Whether every class is among those of the rows that would be trained on: the newest are for the gate."""
    untouched = len(rows) if gate_since is None else int((rows[ANSWERED] >= gate_since).sum())
    weight = production.weights_of(rows, settings.explore.max_weight)
    parts = production.deal(len(rows), settings.data, untouched, weight=weight)
    codes = backtest.codes(rows[parts == split.TRAIN], schema)
    return set(range(len(schema.classes))) <= set(codes.tolist())


def windows(settings: Settings, rows: pd.DataFrame, began: pd.Timestamp | None) -> dict[str, pd.DataFrame]:
    """Policy → labelled rows; a policy that would leave too few rows to learn from is not among them.

    Parameters
    ----------
    rows
        As `ml.predictions.labelled`.
    began
        As `drift_began`.
    """
    found = {"all": rows, "sliding": rows.iloc[-settings.retrain.sliding_rows :]}
    if began is not None:
        found["since drift"] = rows[rows[ANSWERED] >= began]
    enough = settings.retrain.min_rows
    return {name: part for name, part in found.items() if name == "all" or len(part) >= enough}


def drift_began(settings: Settings, version: str | None, sha256: str = "") -> pd.Timestamp | None:
    """When the world that rows come from now began: with the champion's own drift, or that of the nearest before it.

    A champion that was made for a drift is of the world since then, and has no drift of its own.
    """
    import pandas as pd

    if version is None:
        return None
    before = ledger.served_before(settings, version, sha256)[:PREDECESSORS]
    found = (_began(settings, *one) for one in [(version, sha256), *before])
    began = next((moment for moment in found if moment is not None), None)
    return None if began is None else pd.Timestamp(began, unit="s", tz="UTC")


def _began(settings: Settings, version: str, sha256: str) -> float | None:
    """When what the newest labels show as degraded began; else the first of an unbroken run of windows that drifted.

    The inputs may have moved long before what they mean did: rows from between would teach the old meaning.
    """
    checks = _checks(settings, version, sha256)
    judged = [check for check in checks if check.signals.judged]  # one without new labels says nothing of performance
    if judged and judged[0].signals.degraded:
        run = list(itertools.takewhile(lambda check: check.signals.degraded, judged))
        until = judged[len(run)].performance.labels_until if len(run) < len(judged) else 0.0
        return change_point.began(settings, version, run, until)
    run = list(itertools.takewhile(lambda check: check.signals.drifted, checks))
    return run[-1].window.start if run else None


def _checks(settings: Settings, version: str, sha256: str = "") -> list[DriftVerdict]:
    """Those of one version that had a window to judge, newest first."""
    checks = verdict_history.history(settings, settings.drift.history, version=version, sha256=sha256)
    return [check for check in checks if check.verdict != "insufficient data"]


def shown(settings: Settings, version: str, sha256: str = "") -> tuple[FreshModelProbe | None, float | None]:
    """What the checks since a champion's newest promotion have shown together, and that moment (None: not known).

    It is in the one that counted the latest label. Of two checks that ran at a time, or of one that was run again, both
    went on from the same sums: counting both would count rows twice.
    """
    moved = ledger.newest_move(settings)
    since = moved.time if moved is not None and moved.is_to(version, sha256) else None
    probes = [c.fresh_model_probe for c in _checks(settings, version, sha256) if since is None or c.time >= since]
    return max(probes, key=lambda probe: probe.labels_until, default=None), since


def _shown(settings: Settings, version: str | None) -> FreshModelProbe:
    return (shown(settings, version)[0] if version is not None else None) or FreshModelProbe()


def _auto(
    settings: Settings, source: backtest.Base | None, rows: pd.DataFrame, candidates: dict[str, pd.DataFrame],
    probe: FreshModelProbe,
) -> tuple[str, Message]:  # fmt: skip
    """The window that the evidence is for, or that all checks together are sure of, else all rows.

    A drift that has just begun is in no check's sums yet: the rows since it are held against that choice in a backtest.
    """
    policy, reason = "all", message("retraining.no_window_better", errors=STANDARD_ERRORS)
    if probe.evidence > settings.drift.evidence_nats:
        policy = backtest.window_of(probe.model)
        reason = message("retraining.window_of_evidence", model=probe.model, evidence=probe.evidence, n=probe.labels)
    elif (surer := e_process.window_by_sums(probe.rehearsals, STANDARD_ERRORS)) != "all":
        policy, reason = (
            surer,
            message("retraining.window_by_sums", policy=surer, errors=STANDARD_ERRORS, n=probe.labels),
        )
    if policy not in candidates:
        policy = "all"
    if "since drift" not in candidates or policy == "since drift":
        return policy, reason
    return _backtest(settings, source, rows, candidates, policy, reason)


def _backtest(
    settings: Settings, source: backtest.Base | None, rows: pd.DataFrame, candidates: dict[str, pd.DataFrame],
    policy: str, reason: Message,
) -> tuple[str, Message]:  # fmt: skip
    """Fit quick models on the policy's window and on the rows since the drift, without their newest; score on those."""
    # Of the changed world, and not all of it: what is held out cannot be learnt from.
    held = min(max(len(candidates["since drift"]) // 4, 50), 2_000)
    if source is None or len(rows) - held < settings.retrain.min_rows:
        return policy, reason
    since_drift, late = len(candidates["since drift"]), label_delay.rows(settings)
    if since_drift <= late:  # what is answered meanwhile may be of another world again
        return policy, message("retraining.drift_too_young", reason=reason, n=since_drift, late=late)
    judged = rows.iloc[-held:]
    older = {name: production.without_ids_of(candidates[name].iloc[:-held], judged) for name in (policy, "since drift")}
    losses = backtest.losses(settings, source, older, judged)
    lowest = {name: _lowest(losses, name) for name in older}
    now, since = lowest[policy], lowest["since drift"]
    if now is None or since is None:
        return policy, reason
    gain = now - since
    scores = [message("retraining.backtest_score", policy=k, loss=v.mean()) for k, v in lowest.items() if v is not None]
    if gain.mean() <= STANDARD_ERRORS * gain.std(ddof=1) / np.sqrt(len(gain)):
        return policy, reason
    return "since drift", message("retraining.backtest", n=held, scores=scores)


def _lowest(losses: Mapping[str, NDArray[np.float64]], window: str) -> NDArray[np.float64] | None:
    """Of the families of a window the one with the lowest mean; None where none could be fitted."""
    own = [loss for name, loss in losses.items() if backtest.window_of(name) == window]
    return min(own, key=lambda loss: float(loss.mean()), default=None)
