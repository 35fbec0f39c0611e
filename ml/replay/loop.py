"""Refit's loop over a table in time order, in process, for `bench/streams.py`: answer, check, retrain, judge, replace.

The project's own code (prediction log, drift check, choice of rows, snapshot, gate, ledger), without Airflow and
MLflow; the candidates are the families' untuned baselines.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml import predictions
from ml import settings as settings_module
from ml.data import generate
from ml.data.snapshot import Snapshot
from ml.drift.reference import Baseline
from ml.evaluation.metrics import DRIFT_FLOOR, log_losses_of_label
from ml.gate.evidence import few_for_floor
from ml.gate.rules import judge
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
        return self.estimator.predict_proba(x)

    def baseline(self) -> Baseline:
        recent = self.snapshot.part("recent")
        part = recent if len(recent.y) >= MIN_REFERENCE else self.snapshot.part("test")
        p = (self.judged or self.estimator).predict_proba(part.X)
        labels = self.classes[part.y], self.classes[p.argmax(axis=1)]
        return Baseline(self.version, self.snapshot.schema, part.X, *labels, p)


@dataclass
class Outcome:
    """Predictions and log-losses (nats) of one strategy over the scored windows, and what it cost."""

    predicted: list[np.ndarray] = field(default_factory=list)
    losses: list[np.ndarray] = field(default_factory=list)
    retrainings: int = 0
    events: list[str] = field(default_factory=list)

    def add(self, stream: Stream, model: Model, window: int, p: np.ndarray) -> None:
        """What a model answered to a window; a label that it does not know costs the most."""
        actual = stream.labels(window)
        codes = pd.Index(model.classes).get_indexer(pd.Index(actual))
        of_label = np.where(codes >= 0, p[np.arange(len(p)), codes], 0.0)
        self.predicted.append(model.classes[p.argmax(axis=1)])
        self.losses.append(log_losses_of_label(of_label, DRIFT_FLOOR))


class Stream:
    """A table in windows, and a home for the loop's state."""

    def __init__(self, file: Path, n_windows: int, home: Path, families: tuple[str, ...], delay: int = 0):
        facts = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        markers = facts.get("missing_markers") or [""]
        self.target, self.delay = facts["target"], delay
        frame = pd.read_csv(file, dtype=object, keep_default_na=False, na_values=markers)
        self.windows = [frame.iloc[rows] for rows in np.array_split(np.arange(len(frame)), n_windows)]
        base = home / "base.csv"
        pd.concat(self.windows[:FIRST]).to_csv(base, index=False)
        data = {
            "source": "file",
            "path": str(base),
            "target": self.target,
            "positive_label": facts.get("positive_label", ""),
        }
        if facts.get("time_column"):
            data["time_column"] = facts["time_column"]
        data["exclude"] = list(facts.get("id_columns", []))
        self.values = {
            "home": str(home),
            "data": data,
            "train": {"families": list(families)},
            # A window stands for as long as a label takes; MLflow and the report are not what is measured.
            "drift": {"cooldown_s": 0.0, "track": False, "report_rows": 0, "breaker_reset_s": 0.0},
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
        found = fit_candidate(spec, train.X, train.y, schema=snapshot.schema, validation=(validation.X, validation.y))
        if found.scores["log_loss"] < lowest:
            best, lowest = family, found.scores["log_loss"]
    x = pd.concat([train.X, validation.X], ignore_index=True)
    y = np.concatenate([train.y, validation.y])
    spec = CandidateSpec(best, FAMILIES[best].baseline(len(y)))
    model = fit_candidate(spec, x, y, schema=snapshot.schema)
    return Model(version, snapshot, model.model, best, time.time())


def final(judged: Model) -> Model:
    """The recipe that was judged, with the newest rows that judged it; test rows stay the old ones of later gates."""
    parts = [judged.snapshot.part(name) for name in ("train", "validation", "recent")]
    x, y = pd.concat([part.X for part in parts], ignore_index=True), np.concatenate([part.y for part in parts])
    spec = CandidateSpec(judged.family, FAMILIES[judged.family].baseline(len(y)))
    model = fit_candidate(spec, x, y, schema=judged.snapshot.schema).model
    return replace(judged, estimator=model, judged=judged.estimator)


def refit(stream: Stream, first: Model) -> Outcome:
    """The loop: answer, check, retrain where the verdict says so, replace only by the gate."""
    outcome, champion, s = Outcome(), first, stream.settings
    ledger.append(s, ledger.PROMOTED, who="bench", to_version=first.version)
    waiting: list[tuple[list[str], np.ndarray]] = []  # ids of a window with their labels
    for window in range(FIRST, len(stream.windows)):
        p, ids = answer(stream, champion, window)
        outcome.add(stream, champion, window, p)
        waiting.append((ids, stream.labels(window)))
        if len(waiting) > stream.delay:
            label(stream, *waiting.pop(0))
        verdict = retraining_decision.decide(s, compare(s, baseline=champion.baseline()))
        if window == len(stream.windows) - 1 or not verdict.retrain:
            outcome.events.append(f"{window}: {verdict.verdict}; {verdict.decision}")
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
        outcome.events.append(
            f"{window}: {verdict.sentence} | {chosen.policy}: {chosen.reason} | {challenger.family} | {sentence}"
        )
        what = ledger.PROMOTED if promote else ledger.REFUSED
        ledger.append(s, what, who="bench", from_version=champion.version, to_version=challenger.version, why=sentence)
        champion = final(challenger) if promote and s.gate.refit else challenger if promote else champion
    return outcome


def answer(stream: Stream, model: Model, window: int) -> tuple[np.ndarray, list[str]]:
    """Predict a window and log it, as the service does; returns probabilities (n, classes) and ids."""
    frame = stream.windows[window].drop(columns=[stream.target])
    p = model.probabilities(frame)
    classes = model.classes
    labels = classes[p.argmax(axis=1)]
    inputs = _inputs(frame, model)
    begin = time.time()
    rows = [
        {
            "prediction_id": str(uuid.uuid4()),
            "time": begin + i * 1e-6,
            "model_version": model.version,
            "inputs": inputs[i],
            "label": labels[i],
            "probability": float(p[i].max()),
            "probabilities": dict(zip(classes.tolist(), p[i].tolist(), strict=True)),
        }
        for i in range(len(frame))
    ]
    predictions.insert(database.engine(stream.settings), rows)
    return p, [str(row["prediction_id"]) for row in rows]


def label(stream: Stream, ids: list[str], actual: np.ndarray) -> None:
    """The labels of a window come."""
    known = [
        {"prediction_id": key, "label": one, "received_at": time.time()} for key, one in zip(ids, actual, strict=True)
    ]
    predictions.insert_feedback(database.engine(stream.settings), known)


def _inputs(frame: pd.DataFrame, model: Model) -> list[dict[str, Any]]:
    x, _ = canonical(frame, model.snapshot.schema)
    return x.astype(object).where(x.notna(), None).to_dict("records")


def gate(
    settings: Settings, challenger: Model, champion: Model, *, degraded: bool, challenger_beats_champion: bool
) -> tuple[bool, str]:
    """Both on the newest labelled rows and on the fixed old ones; neither was trained on any of them."""
    recent, test = challenger.snapshot.part("recent"), challenger.snapshot.part("test")
    x = pd.concat([recent.X, test.X], ignore_index=True)
    y = np.concatenate([recent.y, test.y])
    is_recent = np.arange(len(y)) < len(recent.y)
    parts = {"recent": is_recent, "regression": ~is_recent} if len(recent.y) else {}
    if len(recent.y) and few_for_floor(recent.y, challenger.snapshot.schema):
        parts["floor"] = np.ones(len(y), bool)
    train = challenger.snapshot.part("train").y
    verdict = judge(
        challenger.estimator.predict_proba(x),
        champion.estimator.predict_proba(x),
        y,
        settings=settings.gate,
        parts=parts,
        prior=np.bincount(train, minlength=len(challenger.snapshot.schema.classes)) / len(train),
        degraded=degraded,
        challenger_beats_champion=challenger_beats_champion,
        floor_known=challenger.family == champion.family,
    )
    return verdict.promote, verdict.sentence
