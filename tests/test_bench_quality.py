"""The quality benchmark: standard errors that know a row seen twice, verdicts on the same rows, and going on."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench import quality
from bench.peers import tabular


def result(table: str, method: str, split: int, losses: list[float], rows: list[int]) -> dict:
    """A line of the results' file."""
    scores = dict.fromkeys(quality.METRICS, float(np.mean(losses))) | {"cpu_s": 1.0, "seconds": 1.0}
    return {"table": table, "method": method, "split": split, "losses": losses, "rows": rows, "budget_s": 1.0} | scores


def test_a_row_that_two_splits_test_counts_once():
    """The same rows again say nothing new; other rows do."""
    losses = [0.1, 0.9, 0.4, 0.2]
    once = quality.mean_and_error(losses, [1, 2, 3, 4])
    assert once == pytest.approx((0.4, np.std(losses, ddof=1) / 2))
    assert quality.mean_and_error(losses * 2, [1, 2, 3, 4] * 2) == pytest.approx(once)
    assert quality.mean_and_error(losses * 2, range(8))[1] < once[1]


def test_a_verdict_needs_two_standard_errors_on_the_same_rows():
    """Paired: a difference that every row shows is certain, however much the rows differ."""
    rows, ours = [1, 2, 3, 4], [0.1, 2.0, 0.5, 1.0]
    results = [
        result("t", "refit", 0, ours, rows),
        result("t", "worse", 0, [loss + 0.1 + 0.001 * k for k, loss in enumerate(ours)], rows),
        result("t", "level", 0, [1.2, 0.9, 0.4, 1.2], rows),
        result("t", "elsewhere", 1, [0.0] * 4, rows),
    ]
    told = quality.summarise(results)["t"]
    assert told["worse"]["less_refit"]["verdict"] == "refit wins"
    assert told["worse"]["less_refit"]["difference"] == pytest.approx(0.1015)
    assert told["level"]["less_refit"]["verdict"] == "level"
    assert "less_refit" not in told["elsewhere"]
    assert quality.verdicts({"t": told})["worse"] == {"refit wins": 1, "level": 0, "refit loses": 0}
    assert quality.ranks(results[:3])["log_loss"] == {"refit": 1.0, "level": 2.0, "worse": 3.0}


def test_a_line_that_a_kill_cut_short_is_run_again(tmp_path):
    """What is whole before it is kept."""
    path = tmp_path / "results.jsonl"
    whole = json.dumps(result("t", "refit", 0, [0.5], [1]))
    path.write_text(whole + "\n" + whole[:40])
    assert [found["method"] for found in quality.read(path)] == ["refit"]
    assert quality.read(tmp_path / "none.jsonl") == quality.read(None) == []


def test_peers_that_are_not_installed_are_named(monkeypatch):
    """By the packages that are missing."""
    monkeypatch.setattr(tabular, "find_spec", lambda package: None if package == "catboost" else object())
    assert tabular.missing("catboost*") == ["catboost"]
    assert tabular.missing("hgb") == []
