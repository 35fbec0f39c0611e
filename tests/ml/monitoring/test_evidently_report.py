"""The report is drawn part by part: one that fails leaves the others, and says what is missing and why."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.drift import features
from ml.monitoring import evidently_report
from ml.settings import Drift
from tests.ml import worlds

N = 1_334


def _write(folder: Path, labelled: int) -> tuple[str, dict[str, Any]]:
    """The page's own line and the JSON of a window of which so many rows have a label."""
    frame, y, p = worlds.draw(N, 5)
    answered = worlds.decide(p)
    actual = np.array([None] * N, dtype=object)
    actual[:labelled] = y[:labelled]
    current = pd.DataFrame({"label": answered, "actual": actual, "confidence": np.maximum(p, 1 - p)})
    both = np.column_stack([1 - p, p])
    findings = features.examine(worlds.baseline(), frame, {}, Drift(), answers=(both, answered), earlier=lambda: None)
    files = evidently_report.write(
        folder, "x", worlds.baseline(), frame, current, findings, sentence="stable.", rows=400, seed=1
    )
    page = Path(files["html"]).read_text(encoding="utf-8")
    line = re.search(r'<div class="refit">(.*?)</div>', page)
    return line[1] if line else page, json.loads(Path(files["json"]).read_text(encoding="utf-8"))


def _kinds(numbers: dict[str, Any]) -> str:
    return " ".join(str(metric["metric_name"]) for metric in numbers["metrics"])


def test_one_label_leaves_the_charts_of_the_columns(tmp_path: Path) -> None:
    line, numbers = _write(tmp_path, 1)
    assert "Not drawn: the quality of the answers (1 labelled rows of the window have 1 of 2 classes" in line
    assert "Drift" in _kinds(numbers)
    assert "Accuracy" not in _kinds(numbers)
    assert len(numbers["not_drawn"]) == 1
    assert len(numbers["tests"]) > 4


def test_some_labels_are_enough_for_the_quality_of_those(tmp_path: Path) -> None:
    """It was left out where any row had none."""
    line, numbers = _write(tmp_path, 200)
    assert "400 and 200 with a label" in line
    assert numbers["not_drawn"] == []
    for kind in ("Drift", "Accuracy"):
        assert kind in _kinds(numbers)


@pytest.mark.parametrize(
    ("broken", "missing", "left"),
    [("_run_drift", "drift of the columns", "Accuracy"), ("_run_quality", "quality of the answers", "Drift")],
)
def test_a_part_that_fails_leaves_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, missing: str, left: str
) -> None:
    """Whatever Evidently raises, told without markup."""

    def fails(*_: Any) -> Any:
        raise KeyError("<script>")

    monkeypatch.setattr(evidently_report, broken, fails)
    line, numbers = _write(tmp_path, N)
    assert f"Not drawn: the {missing} (KeyError" in line
    assert "<script>" not in line
    assert left in _kinds(numbers)


def test_where_nothing_can_be_drawn_the_page_has_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("_run_drift", "_run_quality"):
        monkeypatch.setattr(evidently_report, part, lambda *_: 1 / 0)
    page, numbers = _write(tmp_path, N)
    assert "could not be drawn" in page
    assert page.count("ZeroDivisionError") == 2
    assert numbers["metrics"] == []
