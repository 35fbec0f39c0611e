"""An own table with dates, decimal commas and odd markers goes through the loop again and again, not once alone."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml import predictions, registry
from ml.bundle.reader import Bundle
from ml.drift import champion_reference
from ml.gate import regression_rows
from ml.monitoring import check
from ml.origin import Origin
from ml.pipeline import pipeline
from ml.pipeline.stages.records import EvaluationRecord
from ml.pipeline.workspace import Workspace
from ml.release import replay_scoring
from ml.settings import Settings, from_values
from ml.storage import database
from tests.ml.pipeline.runs import SMALL

ROWS = 500


def table(seed: int) -> pd.DataFrame:
    """As Excel writes it in Vietnam: semicolons, decimal commas, dd/mm/yyyy; and a level that looks like a marker."""
    rng = np.random.default_rng(seed)
    signup = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 700, ROWS), unit="D")
    days = rng.integers(0, 300, ROWS)
    amount = rng.normal(250, 80, ROWS).round(2)
    leaves = days / 150 + rng.normal(0, 0.4, ROWS) > 1
    latest = signup + pd.to_timedelta(days, "D")
    return pd.DataFrame({
        "Đăng ký": signup.strftime("%d/%m/%Y"), "Giao dịch cuối": latest.strftime("%d/%m/%Y"),
        "Số tiền": [f"{value:.2f}".replace(".", ",") for value in amount],
        "Gói": rng.choice(["A", "B", "không"], ROWS), "Rời đi": np.where(leaves, "Có", "Không"),
    })  # fmt: skip


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("again")
    file = home / "khach_hang.csv"
    table(1).to_csv(file, index=False, sep=";")
    values: dict[str, Any] = json.loads(json.dumps(SMALL)) | {"home": str(home)}
    values["data"] = {"source": "file", "path": str(file), "target": "Rời đi"}
    values["drift"] = {"min_rows": 50, "track": False, "report_rows": 0}
    return from_values(values)


@pytest.fixture(scope="module")
def first(settings: Settings) -> str:
    pipeline.run_all(settings, "first", origin=Origin())
    champion = registry.champion(settings)
    assert champion is not None
    return champion.version


def test_the_gate_compares_the_second_with_the_first(settings: Settings, first: str) -> None:
    """On the regression rows too, which are kept as a model takes them: days, and numbers with a point."""
    table(2).to_csv(settings.data.path, index=False, sep=";")
    pipeline.run_all(settings, "second", origin=Origin())
    judged = Workspace(settings, "second").needed(EvaluationRecord)
    gate = Bundle.open(settings.home / judged.bundle).json("gate.json")
    assert gate["champion"] == first
    assert gate["numbers"]["gain"]["rows"] >= 50, judged.sentence
    assert gate["numbers"]["regression_gain"]["rows"] > 50


def test_what_is_kept_reads_back_as_it_was(settings: Settings, first: str) -> None:
    baseline = champion_reference.of_version(settings, first)
    assert baseline.frame["Giao dịch cuối"].between(8_700, 9_800).all()
    assert baseline.frame["Số tiền"].mean() == pytest.approx(250, abs=20)
    loaded = regression_rows.load(settings, baseline.schema)
    assert loaded is not None
    X, codes = loaded
    assert len(X) == len(codes) > 50
    assert X["Giao dịch cuối"].between(8_700, 9_800).all()
    assert X["Số tiền"].mean() == pytest.approx(250, abs=20)


def test_logged_rows_are_compared_and_scored_again(settings: Settings, first: str) -> None:
    baseline = champion_reference.of_version(settings, first)
    rng = np.random.default_rng(5)
    frame = baseline.frame.iloc[rng.choice(len(baseline.frame), 120)].reset_index(drop=True)
    classes = list(baseline.schema.classes)
    rows = [
        {
            "prediction_id": f"p{i}", "time": 1.8e9 + i, "model_version": first, "inputs": record, "label": classes[0],
            "probability": 0.6, "probabilities": {classes[0]: 0.6, classes[1]: 0.4}, "model_sha256": baseline.sha256,
        }
        for i, record in enumerate(frame.astype(object).to_dict("records"))
    ]  # fmt: skip
    predictions.insert(database.engine(settings), rows)
    verdict = check.compare(settings, baseline=baseline, now=1.8e9 + 500)
    told = " ".join(map(str, verdict.reasons))
    assert verdict.verdict != "broken data", told
    window = predictions.window(database.engine(settings), rows=200)
    numbers, _ = replay_scoring.inputs(window, baseline.schema)
    assert np.isfinite(numbers).all()
