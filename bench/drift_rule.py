"""Error rates of the drift rule: false alarms on unchanged data, detection of known changes.

Beside the rule: Evidently's default preset ("dataset drift": half of the columns, and "any column"), and
Kolmogorov-Smirnov with Benjamini-Hochberg at q < .01 without a minimum effect. All see the same samples.

    python -m bench.drift_rule [--checks 100] [--columns 20 --columns 100] [--data FILE] [--no-evidently] [--json]
    python -m bench.drift_rule --looks 20 [--checks 100] [--json]

With `--data FILE` (a JSON with `target` beside it) false alarms are also counted on rows of that table: reference
and current window are disjoint random samples of it.

With `--looks N` the evidence for newer models is played instead: N checks of 500 labels each, with a champion whose
probabilities are the true ones until, from the sixth check on, they are not. Counted are runs in which any of the looks
asked for a retraining, and after how many checks since the change.

The world: 15 of 20 columns are correlated normal numbers, 5 are categories of 4 levels; the label depends
on four numbers and one category through a logistic model, which is also the model under watch (accuracy
about .84). Changes are made to the current window alone.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from bench import harness
from ml.data import generate
from ml.drift import backtest, features, performance, rule
from ml.drift.reference import Baseline, canonical
from ml.drift.verdict import Finding, Rehearsal, Signals
from ml.evaluation import two_sample
from ml.evaluation.metrics import DRIFT_FLOOR, log_losses_of_label
from ml.models import FAMILIES
from ml.retraining import e_process
from ml.schema.schema import Column, Schema
from ml.settings import Drift, Settings, from_values
from ml.training.candidate import CandidateSpec, fit_candidate

LEVELS = np.array(["a", "b", "c", "d"], dtype=object)
MIX = np.array([0.4, 0.3, 0.2, 0.1])
SIZES = ((200, 200), (200, 2_000), (1_000, 1_000), (1_000, 5_000), (5_000, 5_000))
DETECTION_SIZE = (1_000, 1_000)


class World:
    """Rows, labels and scores of a known population with `width` columns."""

    def __init__(self, width: int) -> None:
        self.numbers = [f"x{i}" for i in range(round(width * 0.75))]
        self.categories = [f"c{i}" for i in range(width - len(self.numbers))]
        columns_ = [Column(name=n, kind="number") for n in self.numbers]
        columns_ += [Column(name=n, kind="category", categories=tuple(LEVELS)) for n in self.categories]
        self.schema = Schema(target="y", classes=("0", "1"), positive_label="1", columns=tuple(columns_))
        self.weights = np.zeros(len(self.numbers))
        self.weights[:4] = (1.8, -1.4, 1.1, 0.9)

    def draw(
        self, n: int, rng: np.random.Generator, change: Callable[[dict[str, Any]], None] | None = None
    ) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
        """Inputs, true labels, and the model's probabilities (n, 2)."""
        state: dict[str, Any] = {"weights": self.weights.copy(), "prior": 0.0, "mix": MIX, "n": n, "rng": rng}
        common = rng.normal(size=(n, 1))
        x = 0.5 * common + np.sqrt(0.75) * rng.normal(size=(n, len(self.numbers)))
        state["x"] = x
        if change:
            change(state)
        c = np.column_stack([rng.choice(LEVELS, n, p=MIX) for _ in self.categories])
        if state["mix"] is not MIX:
            c[:, 0] = rng.choice(LEVELS, n, p=state["mix"])
        score = x @ self.weights + 0.8 * (c[:, 0] == "a")
        true = state["x"] @ state["weights"] + 0.8 * (c[:, 0] == "a")
        y = rng.random(n) < 1 / (1 + np.exp(-1.2 * (true + state["prior"])))
        if state.get("label_shift"):
            x, c, score, y = self._resample(x, c, score, y, state["label_shift"], rng)
        p = 1 / (1 + np.exp(-1.2 * score))
        frame = pd.DataFrame(x, columns=self.numbers)
        for i, name in enumerate(self.categories):
            frame[name] = c[:, i]
        if state.get("missing"):
            frame.loc[rng.random(len(frame)) < state["missing"], self.numbers[0]] = np.nan
        if state.get("new"):
            frame.loc[rng.random(len(frame)) < state["new"], self.categories[1]] = "new"
        return frame, np.where(y, "1", "0").astype(object), np.column_stack([1 - p, p])

    def _resample(self, x: Any, c: Any, score: Any, y: Any, share: float, rng: np.random.Generator) -> Any:
        """Prior shift: P(y) is moved to `share`, P(x | y) stays."""
        n = len(y)
        ones, zeros = np.flatnonzero(y), np.flatnonzero(~y)
        k = rng.binomial(n, share)
        rows = np.concatenate([rng.choice(ones, k), rng.choice(zeros, n - k)])
        return x[rows], c[rows], score[rows], y[rows]

    def labelled(self, n: int, rng: np.random.Generator, change: Callable[[dict[str, Any]], None] | None) -> Any:
        """Rows with their labels in the target's column, and what the model gave the label in "served"."""
        frame, y, p = self.draw(n, rng, change)
        return frame.assign(**{self.schema.target: y, "served": p[np.arange(n), (y == "1").astype(int)]})

    def baseline(self, n: int, rng: np.random.Generator) -> Baseline:
        frame, y, p = self.draw(n, rng)
        return Baseline("1", self.schema, frame, y, decide(p), p)


def decide(p: np.ndarray, classes: Sequence[str] = ("0", "1")) -> np.ndarray:
    return np.array(classes, dtype=object)[p.argmax(axis=1)]


def shift(size: float, how_many: int | None = 1) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        state["x"][:, :how_many] += size

    return change


def widen(factor: float) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        state["x"][:, 0] *= factor

    return change


def put(**values: Any) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        state.update(values)

    return change


def turn(share: float) -> Callable[[dict[str, Any]], None]:
    """Concept shift: the true weights of the two strongest columns move against the model's."""

    def change(state: dict[str, Any]) -> None:
        state["weights"][:2] *= 1 - share

    return change


CHANGES = {
    "mean +.25 sd, 1 column": shift(0.25),
    "mean +.25 sd, 3 columns": shift(0.25, 3),
    "mean +.5 sd, 1 column": shift(0.5),
    "mean +.25 sd, all": shift(0.25, None),
    "variance x 2.25, 1 column": widen(1.5),
    "category mix, total variation .15": put(mix=np.array([0.25, 0.3, 0.2, 0.25])),
    "20% missing, 1 column": put(missing=0.2),
    "new category 5%": put(new=0.05),
    "prior shift, +.12": put(label_shift=0.70),
    "concept, accuracy -.08": turn(0.6),
    "concept, accuracy -.15": turn(0.9),
}


def ours(baseline: Baseline, frame: pd.DataFrame, y: np.ndarray, p: np.ndarray) -> tuple[bool, Signals, list[Finding]]:
    """The rule of one window: any alarm, the signals that may retrain, and the findings by column."""
    drift = Drift()
    clean, problems = canonical(frame, baseline.schema)
    answers = decide(p, baseline.schema.classes)
    findings = features.examine(baseline, clean, problems, drift, answers=(p, answers))
    measured = performance.measure(baseline, y, answers, p, drift, looks=2)
    verdict, _, signals = rule.verdict(findings, measured, performance.estimate(baseline, p, drift), drift)
    return verdict != "stable", signals, findings


def corrected(baseline: Baseline, frame: pd.DataFrame, findings: list[Finding]) -> bool:
    """K-S and chi-square with Benjamini-Hochberg at q < .01, any effect: the K-S p from the distance found."""
    p_values = []
    for finding in findings:
        if finding.kind == "number":
            n, m = int(baseline.frame[finding.column].notna().sum()), int(frame[finding.column].notna().sum())
            p_values.append(float(special.kolmogorov(np.sqrt(n * m / (n + m)) * finding.effect)))
        elif finding.kind == "category":
            p_values.append(finding.p)
    return bool(two_sample.significant(p_values, 0.01).any())


def evidently(baseline: Baseline, frame: pd.DataFrame) -> tuple[bool, bool]:
    """The default preset: half of the columns drifted; any column drifted."""
    os.environ["DO_NOT_TRACK"] = "1"
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = baseline.schema
    definition = DataDefinition(numerical_columns=list(names.numbers), categorical_columns=list(names.categories))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = Report([DataDriftPreset()]).run(
            current_data=Dataset.from_pandas(frame, data_definition=definition),
            reference_data=Dataset.from_pandas(baseline.frame, data_definition=definition),
        )
    value = next(m["value"] for m in run.dict()["metrics"] if "DriftedColumnsCount" in m["config"]["type"])
    return value["share"] >= 0.5, value["count"] > 0


def count(checks: int, draw: Callable[[int], tuple[Baseline, Any, Any, Any]], peer_checks: int) -> dict[str, float]:
    """Alarms in 100 checks, of each rule."""
    hits = dict.fromkeys(("refit: verdict", "refit: retrain signal", "refit: from labels", "BH, any effect"), 0)
    peers = {"evidently: half of the columns": 0, "evidently: any column": 0}
    for seed in range(checks):
        baseline, frame, y, p = draw(seed)
        alarm, signals, findings = ours(baseline, frame, y, p)
        hits["refit: verdict"] += alarm
        hits["refit: retrain signal"] += signals.degraded or (signals.drifted and not signals.judged)
        hits["refit: from labels"] += signals.degraded
        hits["BH, any effect"] += corrected(baseline, frame, findings)
        if seed < peer_checks:
            half, any_column = evidently(baseline, frame)
            peers["evidently: half of the columns"] += half
            peers["evidently: any column"] += any_column
    found = {name: 100 * value / checks for name, value in hits.items()}
    return found | ({name: 100 * value / peer_checks for name, value in peers.items()} if peer_checks else {})


def generated(world: World, size: tuple[int, int], change: Any = None) -> Callable[[int], Any]:
    def draw(seed: int) -> Any:
        rng = np.random.default_rng((seed, *size, len(world.schema.columns)))
        baseline = world.baseline(size[1], rng)
        return (baseline, *world.draw(size[0], rng, change))

    return draw


def sampled(file: Path) -> tuple[str, Callable[[int], Any]]:
    """Reference and window from the held-out rows of one table: whatever they differ in is chance."""
    facts = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    data = {
        "source": "file", "path": str(file), "target": facts["target"],
        "positive_label": facts.get("positive_label") or "", "id_columns": facts.get("id_columns") or [],
        "exclude": [facts["time_column"]] if facts.get("time_column") else [],
        "missing_markers": facts.get("missing_markers"),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as home:
        given = {name: value for name, value in data.items() if value is not None}
        snapshot = generate(from_values({"home": home, "data": given}))
        train, *held = (snapshot.part(name) for name in ("train", "validation", "test"))
    spec = CandidateSpec("logistic", FAMILIES["logistic"].baseline(len(train.y)))
    model = fit_candidate(spec, train.X, train.y, schema=snapshot.schema).model
    frame = pd.concat([part.X for part in held], ignore_index=True)
    classes = snapshot.schema.classes
    actual = np.array(classes, dtype=object)[np.concatenate([part.y for part in held])]
    p = model.predict_proba(frame)
    answers = decide(p, classes)

    def draw(seed: int) -> Any:
        n = min(1_000, len(frame) // 2)
        old, new = np.split(np.random.default_rng(seed).permutation(len(frame))[: 2 * n], 2)
        reference = frame.iloc[old].reset_index(drop=True)
        baseline = Baseline("1", snapshot.schema, reference, actual[old], answers[old], p[old])
        return baseline, frame.iloc[new].reset_index(drop=True), actual[new], p[new]

    return file.stem, draw


CHANGED = {
    "nothing": put(),
    "concept, accuracy -.02": turn(0.25),
    "concept, accuracy -.045": turn(0.4),
    "concept, accuracy -.08": turn(0.6),
}
BEFORE, LABELS = 5, 500  # checks before the change, and labels of each


def first_alarm(world: World, looks: int, change: Any, settings: Settings, seed: int) -> int | None:
    """The check at which the evidence for newer models first sufficed, counted from the change; None: at none."""
    rng = np.random.default_rng((seed, looks))
    older, sums, asked = world.labelled(1_000, rng, None), dict[str, Rehearsal](), settings.drift.evidence_nats
    for k in range(1, looks + 1):
        rows = world.labelled(LABELS, rng, change if k > BEFORE else None)
        windows = {"all": older, "sliding": older.iloc[-settings.retrain.sliding_rows :]}
        losses = backtest.losses(settings, backtest.Base(world.schema, None), windows, rows)
        served = log_losses_of_label(rows["served"].to_numpy(), DRIFT_FLOOR)
        sums = e_process.add(sums, k, served, losses)
        if e_process.evidence(sums, k, len(backtest.quick(settings))) > asked:
            return k - BEFORE
        older = pd.concat([older, rows], ignore_index=True)
    return None


def evidence(checks: int, looks: int) -> list[dict[str, Any]]:
    """Runs of so many looks in which the evidence sufficed, of 100, and how soon after the change."""
    settings = from_values({"retrain": {"sliding_rows": 2_000}})
    lines = []
    for name, change in CHANGED.items():
        started = time.process_time()
        found = [first_alarm(World(8), looks, change, settings, seed) for seed in range(checks)]
        early = sum(k is not None and k <= 0 for k in found)
        after = sorted(k for k in found if k is not None and k > 0)
        line = {
            "kind": "evidence", "what": name, "looks": looks, "before the change": 100 * early / checks,
            "after it": 100 * len(after) / checks, "median check": after[len(after) // 2] if after else None,
        }  # fmt: skip
        lines.append(line | {"cpu_s": time.process_time() - started})
    return lines


def main() -> None:
    parser = harness.options(__doc__, no_evidently="without the peer")
    parser.add_argument("--checks", type=int, default=100, help="checks a line")
    parser.add_argument("--peer-checks", type=int, default=2, help="of them also by Evidently (3 to 15 s each)")
    parser.add_argument("--columns", type=int, action="append", help="columns; repeatable (20 and 100)")
    parser.add_argument("--looks", type=int, default=0, help="play the evidence over so many checks instead")
    parser.add_argument("--data", type=Path, action="append", default=[], help="table for false alarms; repeatable")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    if options.looks:
        runs = evidence(options.checks, options.looks)
        harness.show(runs, lambda: "\n".join(map(str, runs)), as_json=options.json, indent=2)
        return
    peers = 0 if options.no_evidently else options.peer_checks
    lines: list[dict[str, Any]] = []

    def line(kind: str, what: str, draw: Callable[[int], Any]) -> None:
        started = time.process_time()
        found = count(options.checks, draw, min(peers, options.checks))
        lines.append({"kind": kind, "what": what, **found, "cpu_s": time.process_time() - started})
        if not options.json:
            print(f"{kind:<12}{what:<36}" + "".join(f"{v:>14.1f}" for k, v in found.items()), flush=True)

    if not options.json:
        names = ["verdict", "retrain", "labels", "BH", *(["evid. half", "evid. any"] if peers else [])]
        print(f"Alarms in 100 checks\n{'':<48}" + "".join(f"{name:>14}" for name in names))
    for width in options.columns or [20, 100]:
        world = World(width)
        for size in SIZES:
            line("false alarm", f"{width} columns, {size[0]}/{size[1]}", generated(world, size))
    for file in options.data:
        line("false alarm", *sampled(file))
    world = World((options.columns or [20])[0])
    for name, change in CHANGES.items():
        line("detected", name, generated(world, DETECTION_SIZE, change))
    harness.show(lines, as_json=options.json, indent=2)


if __name__ == "__main__":
    main()
