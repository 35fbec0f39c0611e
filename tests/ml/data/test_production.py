"""Labelled production rows: counted once, the newest held out, the regression rows untouched."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.data import generate, production, split
from ml.data.snapshot import Snapshot
from ml.errors import DataError
from ml.messages import code_of
from ml.schema.schema import ANSWERED, LABEL_PROPENSITY, PREDICTION_ID, QUESTION, ROW_ID
from ml.settings import Data, Settings, from_values, to_values
from tests.ml.data.production_rows import labelled


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A small customers table."""
    return from_values({"home": str(tmp_path), "data": {"source": "customers"}, "customers": {"n_samples": 400}})


def part_frame(made: Snapshot, name: str) -> pd.DataFrame:
    """Inputs and codes of a part."""
    part = made.part(name)
    return part.X.assign(y=part.y)


def test_the_newest_rows_are_held_out_and_test_stays_as_it_was(settings: Settings) -> None:
    base, made = generate(settings), generate(settings, labelled=labelled(400), parent="0" * 16)
    assert made.manifest.parts == {"train": 240 + 210, "validation": 80 + 70, "test": 80, "recent": 120}
    pd.testing.assert_frame_equal(part_frame(base, "test"), part_frame(made, "test"))
    recent, train = made.part("recent"), made.part("train")
    assert recent.time is not None
    assert train.time is not None
    assert recent.time.min() > train.time.max()
    assert made.manifest.parent == "0" * 16


def test_a_prediction_counts_once(settings: Settings) -> None:
    rows = labelled(100)
    made = generate(settings, labelled=pd.concat([rows, rows]))
    assert made.manifest.labelled.repeated == 100
    assert made.manifest.rows == 500
    assert generate(settings, labelled=rows.sample(frac=1, random_state=1)).id == made.id


@pytest.mark.parametrize(
    ("rows", "held"), [(60, 0), (199, 0), (200, 100), (300, 100), (500, 150), (4_000, 500)], ids=str
)
def test_enough_to_judge_on_are_held_out_but_never_more_than_half(rows: int, held: int) -> None:
    """A share, from 100 to 500; with fewer than 200 rows all are trained on, and the test part is judged on."""
    assert int((production.deal(rows, Data()) == split.RECENT).sum()) == held
    assert int((production.deal(rows, Data(recent_share=0)) == split.RECENT).sum()) == 0


def test_unknown_labels_are_left_out_and_counted(settings: Settings) -> None:
    rows = labelled(100)
    rows.loc[:9, "churned"] = "perhaps"
    made = generate(settings, labelled=rows)
    assert made.manifest.labelled.unusable == 10
    assert any("'perhaps'" in str(finding.message) for finding in made.manifest.report)


def test_a_customer_of_the_test_part_is_not_trained_on(settings: Settings) -> None:
    test_ids = generate(settings).part("test").ids
    assert test_ids is not None
    rows = labelled(100)
    rows[ROW_ID] = [*test_ids[:50], *(f"new{i}" for i in range(50))]
    made = generate(settings, labelled=rows)
    trained = made.part("train").ids
    assert trained is not None
    assert not set(test_ids) & set(trained)
    assert made.manifest.rows == 450
    assert made.manifest.labelled.same_id_judged == 50


def test_rows_of_one_id_are_on_one_side(settings: Settings) -> None:
    """Customers come back from production: who is judged on is not trained on, in whatever table he stands."""
    base = generate(settings)
    known = {name: base.part(name).ids for name in ("train", "validation")}
    assert known["train"] is not None
    assert known["validation"] is not None
    rows = labelled(300)
    rows[ROW_ID] = [*known["train"][:100], *known["validation"][:50], *known["train"][100:200], *known["train"][:50]]
    made = generate(settings, labelled=rows)
    sides = {name: set(made.part(name).ids) for name in ("train", "validation", "test", "recent")}  # type: ignore[arg-type]
    assert made.manifest.parts["recent"] == 100
    for one in sides:
        for other in sides:
            assert one == other or not sides[one] & sides[other], (one, other)
    told = " ".join(str(finding.message) for finding in made.manifest.report)
    assert f"{made.manifest.labelled.same_id_judged} rows are not trained on" in told


def test_rows_of_another_question_are_left_out_and_counted(settings: Settings) -> None:
    """A label for the example model does not end the retraining of one's own table."""
    rows = labelled(200)
    rows[QUESTION] = [generate(settings).schema.question] * 150 + ["another"] * 50
    made = generate(settings, labelled=rows)
    assert (made.manifest.labelled.given, made.manifest.labelled.other_question) == (200, 50)
    assert made.manifest.rows == 550
    told = [str(f.message) for f in made.manifest.report if f.message.code == "findings.other_question"]  # type: ignore[union-attr]
    assert told == ["labelled production rows that answer another question (target, columns, classes) are left out: 50"]


def test_columns_of_another_question_are_not_told_as_the_tables(settings: Settings) -> None:
    """They came with rows that are left out; one that the rows that stay have, too, is told as before."""
    rows = labelled(200)
    others = pd.Series([True] * 50 + [False] * 150)
    rows[QUESTION] = np.where(others, "another", generate(settings).schema.question)
    rows["tenure_of_theirs"] = np.where(others, 1.0, np.nan)
    rows["note"] = "x"
    told = [str(f.message) for f in generate(settings, labelled=rows).manifest.report]
    assert "columns that the model does not know are ignored: 'note'" in told
    assert "tenure_of_theirs" not in " ".join(told)


def test_a_feature_may_be_called_time(tmp_path: Path) -> None:
    """Or prediction_id, label, actual: Refit's own names are reserved, and refused in a table."""
    rng = np.random.default_rng(0)
    names = ("time", "prediction_id", "actual", "label")
    frame = pd.DataFrame({name: rng.normal(size=400) for name in names})
    frame["target"] = np.where(frame["time"] + rng.normal(size=400) > 0, "1", "0")
    frame.to_csv(tmp_path / "t.csv", index=False)
    own = from_values({"home": str(tmp_path), "data": {"source": "file", "path": str(tmp_path / "t.csv")}})
    moments = pd.date_range("2026-01-01", periods=400, freq="min", tz="UTC")
    logged = frame.assign(**{PREDICTION_ID: [f"p{i}" for i in range(400)], ANSWERED: moments})
    made = generate(own, labelled=logged, contract=generate(own).schema)
    assert made.manifest.labelled.added == 400
    assert set(made.schema.numbers) == set(names)
    frame.rename(columns={"label": "__refit_time"}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match="Refit's own"):
        generate(own)


def test_broken_rows_block(settings: Settings) -> None:
    with pytest.raises(DataError, match="lacks 'age'"):
        generate(settings, labelled=labelled(100).drop(columns="age"))
    with pytest.raises(DataError, match=PREDICTION_ID):
        generate(settings, labelled=labelled(100).drop(columns=PREDICTION_ID))
    with pytest.raises(DataError, match="column 'age'"):
        generate(settings, labelled=labelled(100, age="old"))


def test_only_the_labelled_rows_can_be_trained_on(settings: Settings) -> None:
    base = generate(settings)
    made = generate(settings, labelled=labelled(300), train_on_base=False)
    assert made.manifest.parts["train"] == 150
    pd.testing.assert_frame_equal(part_frame(base, "test"), part_frame(made, "test"))


def test_rows_the_champion_may_have_seen_are_not_judged_on(settings: Settings) -> None:
    since = pd.Timestamp("2026-01-01 02:00", tz="UTC")
    made = generate(settings, labelled=labelled(240), gate_since=since)
    recent = made.part("recent").time
    assert recent is not None
    assert recent.min() >= np.datetime64("2026-01-01T02:00")


def test_rows_are_weighed_by_inverse_propensity_and_those_without_a_chance_left_out(settings: Settings) -> None:
    chance = np.where(np.arange(400) % 20 == 0, 0.1, 1.0)
    chance[1] = 0.0
    made = generate(settings, labelled=labelled(400).assign(**{LABEL_PROPENSITY: chance}))
    counts = made.manifest.labelled
    assert (counts.without_chance, counts.added, counts.weighed) == (1, 399, True)
    weight = np.concatenate([made.part(name).weight for name in split.PARTS])
    assert sorted(set(weight.tolist())) == [1.0, pytest.approx(10.0)]
    assert int((weight > 5).sum()) == 20
    assert any(code_of(finding.message) == "exploration.without_chance" for finding in made.manifest.report)
    clipped = from_values({**to_values(settings), "explore": {"max_weight": 4}})
    again = generate(clipped, labelled=labelled(400).assign(**{LABEL_PROPENSITY: chance}))
    assert max(again.part("train").weight) == 4.0


@pytest.mark.parametrize("chance", [1.0, np.nan, 0.5], ids=str)
def test_rows_that_count_alike_make_the_snapshot_that_they_made(settings: Settings, chance: float) -> None:
    made = generate(settings, labelled=labelled(400).assign(**{LABEL_PROPENSITY: chance}))
    assert made.id == generate(settings, labelled=labelled(400)).id
    assert made.part("train").weight is None


def test_more_rows_are_held_out_where_they_tell_less() -> None:
    """`recent_max_rows` are effective rows; a share of all stays the most."""
    weight = np.where(np.arange(10_000) % 100 == 0, 30.0, 1.0)
    assert production.held_out(10_000, Data()) == 500
    assert production.held_out(10_000, Data(), weight=weight) == 3_000
    assert 500 < production.held_out(10_000, Data(recent_max_rows=200), weight=weight) < 3_000
