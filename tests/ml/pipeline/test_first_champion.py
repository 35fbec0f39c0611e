"""A run that ends without a champion says what was decided and what would be needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ml.pipeline.first_champion import without_champion
from ml.settings import from_values


def said(home: Path, gain: dict[str, Any]) -> str:
    bundle = home / "b"
    bundle.mkdir()
    (bundle / "gate.json").write_text(json.dumps({"numbers": {"floor_gain": gain}}))
    (bundle / "metrics.json").write_text(json.dumps({"confusion": [[1598, 0], [2, 0]]}))
    settings = from_values({"home": str(home), "gate": {"floor_gain": 0.0}})
    return without_champion(settings, {"sentence": "Not promoted: too little.", "bundle": "b"}, "1")


def test_the_rows_that_would_show_the_gain_are_estimated(tmp_path: Path) -> None:
    """One to a thousand: half the mean is missing, so four times the rows."""
    text = said(tmp_path, {"mean": 0.001, "lower": -0.001, "upper": 0.003, "rows": 1600})
    assert text.splitlines()[0] == "Not promoted: too little."
    assert "about 6,400 labelled rows to judge on, 8 of the rarest class" in text
    assert "judged on 1,600 rows, 2 of the rarest class; an estimate" in text
    assert "python -m ml promote --version 1" in text


def test_a_gain_that_is_none_asks_for_columns(tmp_path: Path) -> None:
    assert "columns that tell more" in said(tmp_path, {"mean": -0.001, "lower": -0.002, "upper": 0.0, "rows": 1600})


@pytest.mark.parametrize("gain", [{}, {"mean": None, "lower": None, "rows": 1}, {"mean": 1.0, "lower": 0.5, "rows": 9}])
def test_what_is_not_known_is_not_made_up(tmp_path: Path, gain: dict[str, Any]) -> None:
    assert "Needed" not in said(tmp_path, gain)
