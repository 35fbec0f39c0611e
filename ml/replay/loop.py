"""Refit's loop over a table in time order, in process: answer, check, retrain, judge, replace.

The project's own code (prediction log, drift check, choice of rows, snapshot, gate, ledger), without Airflow and
MLflow; the candidates are the families' untuned baselines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml import predictions
from ml import settings as settings_module
from ml.data import generate
from ml.data.snapshot import Part, Snapshot
from ml.drift.reference import Baseline
from ml.evaluation.metrics import DRIFT_FLOOR, log_losses, log_losses_of_label
from ml.exploration import weights
from ml.exploration.policy import Policy
from ml.gate.evidence import few_for_floor
from ml.gate.rules import judge
from ml.messages import Text
from ml.models import FAMILIES
from ml.monitoring import retraining_decision
from ml.monitoring.check import compare
from ml.registry import ledger
from ml.retraining import window_policy
from ml.schema.frame_coerce import canonical
from ml.settings import Settings
from ml.storage import database
from ml.training.candidate import CandidateSpec, fit_candidate

FIRST = 3  # windows that the first model is made from
MIN_REFERENCE = 200  # recent rows, to be the next reference; else the test part is
# A window stands for as long as a label takes; MLflow and the report are not what is measured; nobody is alerted of
# what has passed.
OFF: dict[str, Any] = {
    "cooldown_s": 0.0,
    "cooldown_max_s": 0.0,
    "breaker_reset_s": 0.0,
    "track": False,
    "report_rows": 0,
    "webhook_url": "",
}


@dataclass
class Model:
    """A fitted model with the rows it can be judged on."""

    version: str
    snapshot: Snapshot
    estimator: Any
    family: str
    created: float
    judged: Any = None  # the fit that its reference was scored by, where another of its recipe serves

    @property
    def classes(self) -> np.ndarray:
        return np.asarray(self.snapshot.schema.classes, dtype=object)

    def probabilities(self, frame: pd.DataFrame) -> np.ndarray:
        x, _ = canonical(frame, self.snapshot.schema)
        p: np.ndarray = self.estimator.predict_proba(x)
        return p

    def baseline(self) -> Baseline:
        recent = self.snapshot.part("recent")
        part = recent if len(recent.y) >= MIN_REFERENCE else self.snapshot.part("test")
        if part is recent and self.snapshot.manifest.labelled.weighed and recent.weight is not None:
            drawn = weights.resample(recent.weight, seed=0)
            part = part._replace(X=part.X.iloc[drawn].reset_index(drop=True), y=part.y[drawn])
        p = (self.judged or self.estimator).predict_proba(part.X)
        labels = self.classes[part.y], self.classes[p.argmax(axis=1)]
        return Baseline(self.version, self.snapshot.schema, part.X, *labels, p)


@dataclass(frozen=True)
class Step:
    """What the loop decided at the end of a window. `promoted` is None, and `made` "", where it did not retrain."""

    window: int
    verdict: str
    sentence: Text
    promoted: bool | None = None
    made: str = ""

    def __str__(self) -> str:
        return f"{self.window}: {self.verdict}; {self.sentence}{self.made}"


@dataclass
class Outcome:
    """Of one strategy over the scored windows: answers, log-losses (nats a row), costs (a window), and retrainings."""

    predicted: list[np.ndarray] = field(default_factory=list)
    losses: list[np.ndarray] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    retrainings: int = 0
    steps: list[Step] = field(default_factory=list)

    def add(self, stream: Stream, model: Model, window: int, p: np.ndarray) -> None:
        """What a model answered to a window; a label that it does not know costs the most.

        Parameters
        ----------
        window
            Its place in `stream.windows`.
        p
            (n_rows, n_classes) probabilities, in the order of the model's classes.
        """
        actual = stream.labels(window)
        codes = pd.Index(model.classes).get_indexer(pd.Index(actual))
        of_label = np.where(codes >= 0, p[np.arange(len(p)), codes], 0.0)
        self.predicted.append(model.classes[p.argmax(axis=1)])
        self.losses.append(log_losses_of_label(of_label, DRIFT_FLOOR))
        if stream.settings.tune.costs:
            self.costs.append(costs_of(p, codes, np.asarray(stream.settings.tune.costs)))


def costs_of(p: np.ndarray, codes: np.ndarray, costs: np.ndarray) -> float:
    """What rows cost where each is answered with the class of the least expected cost; of unknown labels, nothing.

    Parameters
    ----------
    p
        (n, classes) probabilities.
    codes
        (n,) true classes; -1 for a label that is no class.
    costs
        (classes, classes): of answering the second where the first is true.

    >>> costs_of(np.array([[0.8, 0.2], [0.8, 0.2]]), np.array([0, 1]), np.array([[0.0, 1.0], [10.0, 0.0]]))
    1.0
    """
    answered = (p @ costs).argmin(axis=1)
    known = codes >= 0
    return float(costs[codes[known], answered[known]].sum())


class Stream:
    """A table in windows, and a home for the loop's state.

    Parameters
    ----------
    frame
        Raw rows, oldest first.
    data
        What `settings.data` says of the table, without its place; with the target.
    home
        An empty folder.
    families
        Candidates: the untuned baseline of each.
    arrives
        Window → the window at whose end its labels have come; None: its own.
    values
        Other settings, as a nested mapping. With `explore.policy`, labels come only after the actions that it lets
        have one.
    logged
        Whether the prediction log learns which actions followed, and how likely they were.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        n_windows: int,
        home: Path,
        *,
        data: Mapping[str, Any],
        families: Sequence[str],
        arrives: Sequence[int] | None = None,
        values: Mapping[str, Any] | None = None,
        logged: bool = True,
    ):
        self.logged = logged
        self.target = str(data["target"])
        self.windows = [frame.iloc[rows] for rows in np.array_split(np.arange(len(frame)), n_windows)]
        self.arrives = list(range(n_windows)) if arrives is None else list(arrives)
        base = home / "base.csv"
        pd.concat(self.windows[:FIRST]).to_csv(base, index=False)
        self.values: dict[str, Any] = {
            **(values or {}),
            "home": str(home),
            "data": {**data, "source": "file", "path": str(base)},
            "train": {"families": list(families)},
            "drift": {**(values or {}).get("drift", {}), **OFF},
        }
        self.settings = settings_module.from_values(self.values)

    def labels(self, window: int) -> np.ndarray:
        return self.windows[window][self.target].to_numpy(dtype=object)


def fit(settings: Settings, snapshot: Snapshot, version: str) -> Model:
    """The family with the lowest validation log-loss, fitted anew on training and validation rows."""
    train, validation = snapshot.part("train"), snapshot.part("validation")
    best, lowest = settings.train.families[0], np.inf
    for family in settings.train.families:
        spec = CandidateSpec(family, FAMILIES[family].baseline(len(train.y)))
        if len(settings.train.families) == 1:
            break
        found = fit_candidate(
            spec, train.X, train.y, schema=snapshot.schema, validation=(validation.X, validation.y),
            sample_weight=train.weight,
        )  # fmt: skip
        losses = log_losses(found.model.predict_proba(validation.X), validation.y)
        loss = float(np.average(losses, weights=validation.weight))
        if loss < lowest:
            best, lowest = family, loss
    x = pd.concat([train.X, validation.X], ignore_index=True)
    y = np.concatenate([train.y, validation.y])
    spec = CandidateSpec(best, FAMILIES[best].baseline(len(y)))
    model = fit_candidate(spec, x, y, schema=snapshot.schema, sample_weight=_weight([train, validation]))
    return Model(version, snapshot, model.model, best, time.time())


def final(judged: Model) -> Model:
    """The recipe that was judged, with the newest rows that judged it; test rows stay the old ones of later gates."""
    parts = [judged.snapshot.part(name) for name in ("train", "validation", "recent")]
    x, y = pd.concat([part.X for part in parts], ignore_index=True), np.concatenate([part.y for part in parts])
    spec = CandidateSpec(judged.family, FAMILIES[judged.family].baseline(len(y)))
    model = fit_candidate(spec, x, y, schema=judged.snapshot.schema, sample_weight=_weight(parts)).model
    return replace(judged, estimator=model, judged=judged.estimator)


def _weight(parts: Sequence[Part]) -> np.ndarray | None:
    known = [part.weight for part in parts if part.weight is not None]
    return np.concatenate(known) if known else None


def refit(stream: Stream, first: Model, done: Callable[[int], None] = lambda _: None) -> Outcome:
    """The loop: answer, check, retrain where the verdict says so, replace only by the gate.

    `done` is called with the number of windows behind it.
    """
    outcome, champion, s = Outcome(), first, stream.settings
    ledger.append(s, ledger.PROMOTED, who="replay", to_version=first.version)
    waiting: list[tuple[int, list[str]]] = []  # windows whose labels have not come, with their rows' ids
    for window in range(FIRST, len(stream.windows)):
        p, ids = answer(stream, champion, window)
        outcome.add(stream, champion, window, p)
        waiting.append((window, ids))
        while waiting and stream.arrives[waiting[0][0]] <= window:
            come, ids = waiting.pop(0)
            label(stream, ids, stream.labels(come))
        done(window - FIRST + 1)
        verdict = retraining_decision.decide(s, compare(s, baseline=champion.baseline()))
        if window == len(stream.windows) - 1 or not verdict.retrain:
            outcome.steps.append(Step(window, verdict.verdict, verdict.decision))
            continue
        outcome.retrainings += 1
        chosen = window_policy.select(s, version=champion.version, created=champion.created)
        snapshot = generate(
            s, labelled=chosen.labelled, gate_since=chosen.gate_since, train_on_base=chosen.train_on_base
        )
        challenger = fit(s, snapshot, str(int(champion.version) + outcome.retrainings))
        promote, sentence = gate(
            s,
            challenger,
            champion,
            degraded=verdict.verdict == "degraded",
            challenger_beats_champion=verdict.signals.challenger_beats_champion,
        )
        made = f" | {verdict.sentence} | {chosen.policy}: {chosen.reason} | {challenger.family} | {sentence}"
        outcome.steps.append(Step(window, verdict.verdict, verdict.decision, promote, made))
        what = ledger.PROMOTED if promote else ledger.REFUSED
        ledger.append(s, what, who="replay", from_version=champion.version, to_version=challenger.version, why=sentence)
        champion = final(challenger) if promote and s.gate.refit else challenger if promote else champion
    return outcome


def answer(stream: Stream, model: Model, window: int) -> tuple[np.ndarray, list[str]]:
    """Predict the rows of `stream.windows[window]`, and log them, as the service does.

    Returns
    -------
    (n_rows, n_classes) probabilities, and the ids of the rows whose labels may come.
    """
    frame = stream.windows[window].drop(columns=[stream.target])
    p = model.probabilities(frame)
    classes = model.classes
    labels = classes[p.argmax(axis=1)]
    inputs = _inputs(frame, model)
    ids = [f"{window}-{i}" for i in range(len(frame))]
    policy = Policy(stream.settings.explore)
    begin = round(time.time() * 1e6)  # whole microseconds, as moments are compared by them: no two rows share one
    rows = [
        {
            "prediction_id": ids[i],
            "time": (begin + 2 * i) / 1e6,
            "model_version": model.version,
            "inputs": inputs[i],
            "label": labels[i],
            "probability": float(p[i].max()),
            "probabilities": dict(zip(classes.tolist(), p[i].tolist(), strict=True)),
        }
        for i in range(len(frame))
    ]
    may = [True] * len(rows)
    for i, row in enumerate(rows):
        if action := policy.act(str(row["label"]), ids[i]):
            may[i] = action.label_propensity != 0
            if stream.logged:
                row |= {
                    "action": action.name,
                    "propensity": action.propensity,
                    "label_propensity": action.label_propensity,
                }
    predictions.insert(database.engine(stream.settings), rows)
    return p, [key for key, comes in zip(ids, may, strict=True) if comes]


def label(stream: Stream, ids: list[str], actual: np.ndarray) -> None:
    """The labels of a window's rows by their `ids` come; `actual`, (n_rows,) texts, has those of all its rows."""
    places = [int(key.rpartition("-")[2]) for key in ids]
    known = [
        {"prediction_id": key, "label": actual[i], "received_at": time.time()}
        for key, i in zip(ids, places, strict=True)
    ]
    predictions.insert_feedback(database.engine(stream.settings), known)


def _inputs(frame: pd.DataFrame, model: Model) -> list[dict[str, Any]]:
    x, _ = canonical(frame, model.snapshot.schema)
    records: list[dict[str, Any]] = x.astype(object).where(x.notna(), None).to_dict("records")  # type: ignore[assignment]
    return records


def gate(
    settings: Settings, challenger: Model, champion: Model, *, degraded: bool, challenger_beats_champion: bool
) -> tuple[bool, str]:
    """Both on the newest labelled rows and on the fixed old ones; neither was trained on any of them.

    Parameters
    ----------
    degraded, challenger_beats_champion
        What the check found of the champion, as `ml.gate.rules.judge` takes it.
    """
    recent, test = challenger.snapshot.part("recent"), challenger.snapshot.part("test")
    x = pd.concat([recent.X, test.X], ignore_index=True)
    y = np.concatenate([recent.y, test.y])
    is_recent = np.arange(len(y)) < len(recent.y)
    parts = {"recent": is_recent, "regression": ~is_recent} if len(recent.y) else {}
    if len(recent.y) and few_for_floor(recent.y, challenger.snapshot.schema):
        parts["floor"] = np.ones(len(y), bool)
    train = challenger.snapshot.part("train")
    weighed = challenger.snapshot.manifest.labelled.weighed and recent.weight is not None
    prior = np.bincount(
        train.y, train.weight if weighed else None, minlength=len(challenger.snapshot.schema.classes)
    ).astype(np.float64)
    verdict = judge(
        challenger.estimator.predict_proba(x),
        champion.estimator.predict_proba(x),
        y,
        settings=settings.gate,
        parts=parts,
        prior=prior / prior.sum(),
        weight=np.concatenate([recent.weight, np.ones(len(test.y))]) if weighed else None,
        degraded=degraded,
        challenger_beats_champion=challenger_beats_champion,
        floor_known=challenger.family == champion.family,
    )
    return verdict.promote, verdict.sentence
