"""A logged row says what it means: nothing about it is taken from today's settings when its label comes."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from ml import predictions
from ml.data import production
from ml.schema.schema import QUESTION, ROW_ID, Column, Schema
from ml.settings import Settings, from_values
from ml.storage import database

OLD = Schema(target="won", classes=("0", "1"), positive_label="1", columns=(Column(name="x", kind="number"),))
NEW = msgspec.structs.replace(OLD, target="leaves", columns=(Column(name="won", kind="category"),))


@pytest.fixture
def found(tmp_path: Path) -> Settings:
    return from_values({"home": str(tmp_path), "data": {"target": "of today"}})


def log(found: Settings, key: str, inputs: dict[str, Any], sha256: str, label: str) -> None:
    engine = database.engine(found)
    row = {"prediction_id": key, "time": 1.0, "model_version": "3", "inputs": inputs, "label": "0", "probability": 0.5}
    predictions.insert(engine, [row | {"probabilities": {}, "model_sha256": sha256, "row_id": f"who {key}"}])
    predictions.insert_feedback(engine, [{"prediction_id": key, "label": label, "received_at": 2.0}])


def test_label_is_read_by_what_its_prediction_meant(found: Settings) -> None:
    """Here one version's target is an input of the next: its labels are never taken for that."""
    predictions.insert_meanings(database.engine(found), {"old": OLD.to_json(), "new": NEW.to_json()})
    log(found, "a", {"x": 1.0}, "old", "1")
    log(found, "b", {"won": "yes"}, "new", "0")
    log(found, "c", {"x": 2.0}, "", "1")
    rows = predictions.labelled(found)
    assert rows[QUESTION].tolist() == [OLD.question, NEW.question, ""]
    assert rows[ROW_ID].tolist() == ["who a", "who b", "who c"]
    assert rows["won"].tolist()[:2] == ["1", "yes"]
    assert rows["leaves"].tolist()[1] == "0"
    assert rows["of today"].tolist()[2] == "1", "only a row that does not say takes the settings' target"
    kept, other = production.same_question(rows, NEW)
    assert (kept["__refit_prediction_id"].tolist(), other) == (["b", "c"], 1)


def test_rows_of_another_registrys_version_of_the_same_number_are_not_its(found: Settings) -> None:
    """Where the hash is given; else all of that number are meant."""
    engine = database.engine(found)
    for key, sha256 in (("a", "ours"), ("b", "theirs"), ("c", "")):
        log(found, key, {"x": 1.0}, sha256, "1")
    assert predictions.window(engine, version="3", sha256="ours")["prediction_id"].tolist() == ["a", "c"]
    assert predictions.window(engine, version="3")["prediction_id"].tolist() == ["a", "b", "c"]
    assert predictions.counts(engine, version="3").predictions == 3


def test_a_database_of_before_gets_the_columns_that_it_lacks(found: Settings) -> None:
    """An update of Refit must not cost the log."""
    found.var.mkdir(parents=True)
    old = sa.create_engine(database.url(found))
    with old.begin() as connection:
        names = [c.name for c in predictions.predictions.columns if c.name not in ("model_sha256", "row_id")]
        connection.execute(sa.text(f"CREATE TABLE predictions ({', '.join(f'{n} TEXT' for n in names)})"))
        connection.execute(sa.text(f"INSERT INTO predictions VALUES ({', '.join(['1'] * len(names))})"))
    old.dispose()
    with database.engine(found).connect() as connection:
        row = connection.execute(sa.select(predictions.predictions)).mappings().one()
    assert (row["model_sha256"], row["row_id"]) == ("", "")
