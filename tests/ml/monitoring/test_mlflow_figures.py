"""What a check sends to MLflow."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from mlflow.utils.validation import _validate_metric_name

from ml import tracking
from ml.drift.verdict import DriftVerdict, Finding, FreshModelProbe
from ml.monitoring import mlflow_figures
from tests.ml.registry import memory

NAMES = ["a_b", "a/b", "a:b", ".", "..", "x" * 300, "x" * 299 + "y", "Doanh thu", "a\n"]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    batches: list[dict[str, Any]] = []
    client = SimpleNamespace(log_batch=lambda run_id, **batch: batches.append(batch))
    monkeypatch.setattr(tracking, "client", lambda settings: client)
    monkeypatch.setattr(tracking, "run", lambda settings, run_key, **more: "run")
    return batches


def test_no_two_columns_share_a_curve(sent: list[dict[str, Any]], tmp_path: Path) -> None:
    """Whatever letters MLflow does not take; a tag of the run tells whose curve it is."""
    findings = [Finding(column=name, kind="number", method="ks", effect=i / 100) for i, name in enumerate(NAMES)]
    verdict = DriftVerdict(
        id="1", time=1.0, verdict="stable", retrain=False, reasons=[], model_version="1", findings=findings
    )
    assert mlflow_figures.log(memory.settings(tmp_path), verdict)
    (batch,) = sent
    curves = {m.key.removeprefix("drift/effect/"): m.value for m in batch["metrics"] if "/effect/" in m.key}
    for name in curves:
        _validate_metric_name(f"drift/effect/{name}")
    assert sorted(curves.values()) == [i / 100 for i in range(len(NAMES))]
    assert (curves["a_b"], curves["Doanh thu"]) == (0.0, 0.07)
    (told,) = [json.loads(tag.value) for tag in batch["tags"] if tag.key == "refit.renamed_columns"]
    assert {told.get(curve, curve): value for curve, value in curves.items()} == {
        name: i / 100 for i, name in enumerate(NAMES)
    }


def test_names_that_mlflow_takes_stay_as_they_are(sent: list[dict[str, Any]], tmp_path: Path) -> None:
    verdict = DriftVerdict(id="1", time=1.0, verdict="stable", retrain=False, reasons=[], model_version="1")
    assert mlflow_figures.log(memory.settings(tmp_path), verdict)
    assert not [tag for tag in sent[0]["tags"] if tag.key == "refit.renamed_columns"]


def test_the_evidence_is_a_curve_where_it_was_asked_for() -> None:
    probe = FreshModelProbe(rows=100, evidence=3.5)
    verdict = DriftVerdict(
        id="1", time=1.0, verdict="stable", retrain=False, reasons=[], model_version="1", fresh_model_probe=probe
    )
    assert mlflow_figures.numbers(verdict)["evidence_nats"] == 3.5
    quiet = msgspec.structs.replace(verdict, fresh_model_probe=msgspec.structs.replace(probe, rows=0))
    assert "evidence_nats" not in mlflow_figures.numbers(quiet)
