"""The model card says of the table what `generate` said of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from ml.data import ingestion
from ml.data.manifest import Labelled
from ml.messages.document import markdown
from ml.pipeline import model_card
from ml.pipeline.stages import generate
from ml.pipeline.workspace import Workspace
from ml.schema.schema import Column
from ml.settings import Settings, from_values
from tests.ml.pipeline.runs import SMALL, up_to


def churn(home: Path) -> Settings:
    """Of a table with a constant, and with numbers that may name the rows."""
    rng, n = np.random.default_rng(0), 400
    columns: dict[str, Any] = {
        "customer_no": rng.choice(90_000, n, replace=False) + 10_000,
        "tenure": rng.integers(1, 70, n),
        "country": "VN",
        "Churn": np.where(np.arange(n) % 4 == 0, "yes", "no"),
    }
    pd.DataFrame(columns).to_csv(home / "churn.csv", index=False, sep=";")
    data = {"source": "file", "path": str(home / "churn.csv"), "target": "Churn"}
    return from_values({"home": str(home), "data": data})


def told(settings: Settings, labelled: Labelled = Labelled()) -> str:  # noqa: B008
    made = ingestion.generate(settings)
    manifest = msgspec.structs.replace(made.manifest, labelled=labelled)
    of_snapshot: Any = SimpleNamespace(id=made.id, schema=made.schema, manifest=manifest)
    return markdown(model_card._data(of_snapshot, settings.data, 0, None))


def test_what_was_left_out_doubts_notes_and_commands_stand_in_it(tmp_path: Path) -> None:
    lines = told(churn(tmp_path)).splitlines()
    assert any(line.startswith("- 'country' is not used: constant") for line in lines)
    assert any(line.startswith(r"- look at 'customer\_no': whole numbers, all different") for line in lines)
    assert "- note: the delimiter is semicolon" in lines
    assert any(r"otherwise: ./run\_pipeline.sh --data" in line and r"--id customer\_no" in line for line in lines)


def test_labelled_rows_that_are_not_in_it_are_not_counted_as_such(tmp_path: Path) -> None:
    """Of another table, say: given and left out."""
    assert "labelled production rows: 0 of 31 are in it" in told(churn(tmp_path), Labelled(given=31, other_question=31))
    assert "labelled production rows" not in told(churn(tmp_path))


def test_a_range_has_the_digits_that_the_table_had() -> None:
    """A bound is kept as a float32: 41881.5390625."""
    column = Column(
        name="charges", kind="number", minimum=float(np.float32(80.48)), maximum=float(np.float32(41881.54))
    )
    assert str(model_card._range(column)) == "80.48 to 41881.54"


def test_notes_are_of_this_runs_reading(tmp_path: Path) -> None:
    """Of two files with the same rows, which are one snapshot, the card of the second has those of the second."""
    first = churn(tmp_path)
    frame = pd.read_csv(first.data.path, sep=";")
    frame.to_csv(tmp_path / "commas.csv", index=False)
    told = []
    for key, path in (("r1", first.data.path), ("r2", str(tmp_path / "commas.csv"))):
        data = {"source": "file", "path": path, "target": "Churn"}
        settings = from_values(SMALL | {"home": str(tmp_path), "data": data})
        up_to(settings, key, "generate")
        snapshot = generate.snapshot_of(settings, Workspace(settings, key))
        told.append((snapshot.id, markdown(model_card._data(snapshot, settings.data, 0, None))))
    (one, semicolons), (other, commas) = told
    assert one == other
    assert "the delimiter is semicolon" in semicolons
    assert "the delimiter is semicolon" not in commas
