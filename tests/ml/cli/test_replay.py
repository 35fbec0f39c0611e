"""`python -m ml replay` from a file to a page."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner

from ml.cli import main
from ml.engine import cluster as clusters
from ml.errors import EngineUnavailable
from tests.ml.replay.tables import turning


def test_a_past_becomes_a_page(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "past.csv"
    turning().to_csv(file, index=False)
    told = ["replay", "--data", str(file), "--target", "y", "--time", "t", "--families", "logistic", "--windows", "8",
            "--label-delay", "12h", "--set", "data.split=stratified", "--language", "vi", "--json"]  # fmt: skip
    done = CliRunner().invoke(main, told)
    assert done.exit_code == 0, done.output
    assert [one["name"] for one in json.loads(done.stdout)["strategies"]] == ["never", "schedule", "every", "refit"]
    assert '<html lang="vi">' in (home / "var" / "replay" / "replay.html").read_text()
    assert [path.name for path in home.iterdir()] == ["var"], "no data, no models"
    assert logging.getLogger("ml.alerts").level == logging.NOTSET, "alerts of today are logged again"


def test_without_a_column_of_time_it_says_what_is_needed(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "past.csv"
    turning(300).to_csv(file, index=False)
    done = CliRunner().invoke(main, ["replay", "--data", str(file), "--target", "y"])
    assert "--data FILE --target COLUMN --time COLUMN" in str(done.exception)


def test_an_address_asks_for_a_cluster(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not there is told; nothing is played here instead."""
    monkeypatch.setattr(clusters, "CONNECT_S", 0.5)
    file = tmp_path / "past.csv"
    turning().to_csv(file, index=False)
    told = ["replay", "--data", str(file), "--target", "y", "--time", "t", "--windows", "8",
            "--engine-address", "tcp://127.0.0.1:9"]  # fmt: skip
    done = CliRunner().invoke(main, told)
    assert isinstance(done.exception, EngineUnavailable)
    assert "tcp://127.0.0.1:9 cannot be reached or was lost" in str(done.exception)
    assert not (home / "var" / "replay").exists()
