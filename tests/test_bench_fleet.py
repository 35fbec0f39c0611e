"""The figures of docs/scale.md are those of the program, and its queue is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import fleet

DOCS = (Path(fleet.__file__).parent.parent / "docs" / "scale.md").read_text(encoding="utf-8")
SHAPE = {"peak": 3.0, "batch_share": 0.0}


def row(name: str) -> list[str]:
    """The cells of the line of a table in docs/scale.md that begins with `name`."""
    found = re.search(rf"^\| {re.escape(name)}[^|]*\|(.*)\|$", DOCS, re.MULTILINE)
    assert found, name
    return [cell.strip() for cell in found[1].split("|")]


@pytest.mark.parametrize(("named", "predictions"), [("1 million", 1e6), ("100 million", 1e8), ("1 billion", 1e9)])
def test_the_docs_have_the_load_of_the_program(named: str, predictions: float) -> None:
    found = fleet.load(predictions, 1, **SHAPE)
    rows, service, shipper, database, log = (float(cell.replace(",", "").split()[0]) for cell in row(named))
    assert rows == pytest.approx(found["rows a second"], abs=0.5)
    assert service == pytest.approx(found["service cores at the peak"], rel=0.15)
    assert shipper == pytest.approx(found["log shipper cores"], rel=0.45)
    assert database == pytest.approx(found["database cores"], rel=0.45)
    assert log == pytest.approx(found["log GB a day"], rel=0.02)


def test_the_docs_have_what_breaks_first() -> None:
    found = fleet.limits(**SHAPE)
    told = [
        row(name)[0] for name in ("a disk of 2 TB", "one worker of the service", "one log shipper", "PostgreSQL with")
    ]
    scale = {"million": 1e6, "billion": 1e9}
    for (_, limit), text in zip(found, told, strict=True):
        number, unit = text.split()
        assert float(number) * scale[unit] == pytest.approx(limit, rel=0.02)


@pytest.mark.parametrize("places", [4, 16, 64])
def test_the_docs_have_the_nights_of_the_program(places: int) -> None:
    units = {"s": 1.0, "min": 60.0}
    for cell, spread_s in zip(row(str(places)), (0.0, 4 * 3600.0), strict=True):
        found = fleet.night(1_000, places, spread_s=spread_s, again=0.2, retrain_s=fleet.COSTS.retrain_s)
        told = [float(number) * units[unit] for number, unit in (part.split() for part in cell.split(", "))]
        assert told == pytest.approx([found["p50 s"], found["p99 s"], found["last s"]], abs=31)


def test_with_a_place_for_each_nobody_waits_and_with_one_they_follow_each_other() -> None:
    alone = fleet.night(50, 50, spread_s=0.0, again=0.0, retrain_s=10.0, spread=0.0)
    assert alone["p50 s"] == alone["last s"] == 10.0
    queue = fleet.night(50, 1, spread_s=0.0, again=0.0, retrain_s=10.0, spread=0.0)
    assert queue["last s"] == 500.0
    assert queue["busy"] == 1.0


def test_the_same_seed_is_the_same_night() -> None:
    one, other = (fleet.night(100, 4, spread_s=60.0, again=0.2, retrain_s=10.0, seed=3) for _ in range(2))
    assert one == other
