"""The prediction log: nothing doubled, the latest label counts, windows are what was asked for."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml import predictions
from ml.errors import StoreUnavailable
from ml.predictions.windows import LabelCounts
from ml.schema.schema import ANSWERED, PREDICTION_ID
from ml.settings import Settings, from_values
from ml.storage import database
from tests.ml.predictions.logged import history, label, record


def test_repeated_prediction_is_kept_once_as_first_written(found: Settings) -> None:
    """Sending a segment to the database a second time changes nothing."""
    engine = database.engine(found)
    predictions.insert(engine, [record("a"), record("b")])
    predictions.insert(engine, [record("a", label="0"), record("c")])
    window = predictions.window(engine)
    assert window["prediction_id"].tolist() == ["a", "b", "c"]
    assert window["label"].tolist() == ["1", "1", "1"]


def test_many_rows_cross_the_batches(found: Settings) -> None:
    """More rows than one INSERT takes arrive, each once."""
    engine, n = database.engine(found), predictions.BATCH_ROWS * 2 + 7
    predictions.insert(engine, (record(f"{i:06}", time=float(i)) for i in range(n)))
    assert predictions.window(engine)["time"].tolist() == [float(i) for i in range(n)]


@pytest.mark.parametrize("order", ["in order", "backwards", "shuffled"])
def test_labels_that_repeat_the_one_before_are_put_aside(found: Settings, order: str) -> None:
    """Of each run of equal labels the first stays, with its moment, in whatever order and batches they come."""
    engine = database.engine(found)
    runs = [label("a", value, float(at), id=f"{at}") for at, value in enumerate("1110011")]
    if order == "backwards":
        runs.reverse()
    elif order == "shuffled":
        random.Random(3).shuffle(runs)
    for one in runs:
        predictions.insert_feedback(engine, [one, label("b", "1", 1.0)])
    assert history(engine, "a") == [("1", 0.0), ("0", 3.0), ("1", 5.0)]
    assert history(engine, "b") == [("1", 1.0)]


def test_a_label_that_was_given_between_two_equal_ones_and_comes_late_makes_the_second_a_change(
    found: Settings,
) -> None:
    """As from a machine whose log shipper is behind: the newest label is still the one that counts."""
    engine = database.engine(found)
    predictions.insert(engine, [record("a")])
    predictions.insert_feedback(engine, [label("a", "1", 200.0), label("a", "1", 400.0)])
    assert history(engine, "a") == [("1", 200.0)]
    predictions.insert_feedback(engine, [label("a", "0", 300.0)])
    assert history(engine, "a") == [("1", 200.0), ("0", 300.0), ("1", 400.0)]
    assert predictions.window(engine)["actual"].tolist() == ["1"]


def test_latest_label_wins_and_history_is_kept(found: Settings) -> None:
    """A corrected label replaces the first one for readers, whatever the order of arrival."""
    engine = database.engine(found)
    predictions.insert(engine, [record("a")])
    predictions.insert_feedback(engine, [label("a", "1", 300.0), label("a", "0", 200.0)])
    window = predictions.window(engine)
    assert (window["actual"].item(), window["labelled_at"].item()) == ("1", 300.0)
    with engine.connect() as connection:
        assert len(connection.execute(predictions.feedback.select()).all()) == 2


def test_repeated_label_is_kept_once(found: Settings) -> None:
    """The same label at the same moment, or with the same id, is one label."""
    engine = database.engine(found)
    predictions.insert(engine, [record("a")])
    for _ in range(2):
        predictions.insert_feedback(engine, [label("a", "1", 200.0), label("a", "0", 250.0, id="x")])
    assert len(predictions.window(engine)) == 1
    assert history(engine, "a") == [("1", 200.0), ("0", 250.0)]


def test_label_may_come_before_its_prediction(found: Settings) -> None:
    """Labels and predictions take different ways to the database."""
    engine = database.engine(found)
    predictions.insert_feedback(engine, [label("a", "0", 200.0)])
    assert predictions.window(engine).empty
    predictions.insert(engine, [record("a")])
    assert predictions.window(engine)["actual"].tolist() == ["0"]


@pytest.mark.parametrize(
    ("asked", "keys"),
    [
        ({}, ["a", "b", "c", "d"]),
        ({"since": 20.0}, ["b", "c", "d"]),
        ({"until": 30.0}, ["a", "b"]),
        ({"rows": 2}, ["c", "d"]),
        ({"version": "2"}, ["c", "d"]),
        ({"version": "1", "rows": 1}, ["b"]),
        ({"labelled_only": True}, ["a", "d"]),
    ],
    ids=["all", "since", "until", "newest", "version", "newest of version", "labelled"],
)
def test_window_holds_what_was_asked_for(found: Settings, asked: dict[str, Any], keys: list[str]) -> None:
    """Windows by time, number, version and label, always in time order."""
    engine = database.engine(found)
    rows = [
        record(k, time=t, model_version=v) for k, t, v in zip("dbca", (40.0, 20.0, 30.0, 10.0), "2121", strict=True)
    ]
    predictions.insert(engine, rows)
    predictions.insert_feedback(engine, [label("a", "1", 50.0), label("d", "0", 50.0)])
    assert predictions.window(engine, **asked)["prediction_id"].tolist() == keys


def test_labelled_rows_are_training_rows(found: Settings) -> None:
    """Inputs as columns, the target, id and time; what has no label is not there."""
    engine = database.engine(found)
    predictions.insert(engine, [record("a", inputs={"x": None, "c": "b"}), record("b"), record("c", inputs={"x": 2})])
    predictions.insert_feedback(engine, [label("a", "0", 200.0), label("c", "1", 200.0)])
    rows = predictions.labelled(found)
    assert rows[PREDICTION_ID].tolist() == ["a", "c"]
    assert rows[found.data.target].tolist() == ["0", "1"]
    assert np.isnan(rows["x"][0])
    assert rows["x"][1] == 2
    assert rows["c"].isna().tolist() == [False, True]
    assert str(rows[ANSWERED].dtype.tz) == "UTC"


def test_labelled_rows_of_a_generated_table_carry_its_target(tmp_path: Path) -> None:
    """The customers source brings its own target column."""
    found = from_values({"home": str(tmp_path), "data": {"source": "customers"}})
    engine = database.engine(found)
    predictions.insert(engine, [record("a")])
    predictions.insert_feedback(engine, [label("a", "yes", 200.0)])
    assert predictions.labelled(found)["churned"].tolist() == ["yes"]


def test_non_finite_number_is_missing(found: Settings) -> None:
    """NaN has no place in JSON; it comes back as a missing number."""
    engine = database.engine(found)
    predictions.insert(engine, [record("a", inputs={"x": float("nan")})])
    assert predictions.inputs_frame(predictions.window(engine))["x"].isna().all()


def test_probabilities_come_in_the_order_of_the_classes(found: Settings) -> None:
    """Whatever the order they were answered in; a class that was not answered is NaN."""
    engine = database.engine(found)
    predictions.insert(engine, [record("a", probabilities={"1": 0.9, "0": 0.1})])
    table = predictions.probabilities_array(predictions.window(engine), ("0", "1", "2"))
    np.testing.assert_array_equal(table, [[0.1, 0.9, np.nan]])


def test_counts_say_coverage_and_delay(found: Settings) -> None:
    """Delay is from the answer to the first label."""
    engine = database.engine(found)
    predictions.insert(engine, [record("a"), record("b"), record("c"), record("d")])
    predictions.insert_feedback(engine, [label("a", "1", 110.0), label("a", "0", 500.0), label("b", "0", 130.0)])
    assert predictions.counts(engine) == LabelCounts(predictions=4, labelled=2, waiting=0, coverage=0.5, delay_s=30.0)
    assert predictions.counts(engine, version="7").coverage is None


def test_purge_deletes_the_old_with_their_labels(found: Settings) -> None:
    """And leaves what is younger, and labels that still wait for their prediction."""
    engine, day = database.engine(found), 86_400.0
    old = [record(f"old{i}", time=10.0) for i in range(1_200)]
    predictions.insert(engine, [*old, record("new", time=1.5 * day)])
    late = [label(key, "1", 1.6 * day) for key in ("old1", "new", "early")]
    predictions.insert_feedback(engine, [*late, label("lost", "1", 20.0)])
    assert predictions.purge(found, older_than=day) == 1_200
    assert predictions.window(engine)["prediction_id"].tolist() == ["new"]
    with engine.connect() as connection:
        left = connection.execute(predictions.feedback.select()).mappings().all()
    assert sorted(row["prediction_id"] for row in left) == ["early", "new"]


def test_unreachable_database_is_a_transient_error(tmp_path: Path) -> None:
    """Airflow retries it, the log shipper keeps its segments."""
    found = from_values({"home": str(tmp_path), "database_url": f"sqlite:///{tmp_path}/none/such/file.db"})
    with pytest.raises(StoreUnavailable):
        database.engine(found)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_upsert_is_safe_in_both_dialects(dialect: str) -> None:
    """A repeated key is left alone by the database itself."""
    from sqlalchemy.dialects import postgresql, sqlite

    kinds = {"sqlite": sqlite.dialect(), "postgresql": postgresql.dialect()}
    text = str(database.insert_ignore(predictions.predictions, dialect).compile(dialect=kinds[dialect]))
    assert "ON CONFLICT DO NOTHING" in text


def action(key: str, name: str, at: float, propensity: float | None = 0.5) -> dict[str, Any]:
    return {
        "prediction_id": key, "action": name, "propensity": propensity, "label_propensity": propensity, "told_at": at,
    }  # fmt: skip


def followed(found: Settings) -> list[tuple[Any, ...]]:
    window = predictions.window(database.engine(found))
    return list(window[["action", "propensity", "label_propensity"]].itertuples(index=False, name=None))


def test_what_followed_stands_beside_its_answer_and_is_unknown_without(found: Settings) -> None:
    """A row that was logged before there were actions has none; its weight is not known."""
    acted = {"action": "decline", "propensity": 0.9, "label_propensity": 0.0}
    predictions.insert(database.engine(found), [record("a", **acted), record("b", time=101.0)])
    [first, second] = followed(found)
    assert first == ("decline", 0.9, 0.0)
    assert second[0] is None
    assert all(np.isnan(chance) for chance in second[1:])


def test_a_repeated_prediction_keeps_its_first_action(found: Settings) -> None:
    engine = database.engine(found)
    predictions.insert(engine, [record("a", action="decline", propensity=0.9, label_propensity=0.0)])
    predictions.insert(engine, [record("a", action="approve", propensity=0.1, label_propensity=0.1)])
    assert followed(found) == [("decline", 0.9, 0.0)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)], ids=str)
def test_the_callers_newest_word_stands_whatever_comes_first(found: Settings, order: tuple[int, ...]) -> None:
    """Before the policy's own, and in whichever order they reach the database."""
    engine = database.engine(found)
    steps = [
        lambda: predictions.insert(engine, [record("a", action="decline", propensity=0.9, label_propensity=0.0)]),
        lambda: predictions.insert_actions(engine, [action("a", "call", 200.0)]),
        lambda: predictions.insert_actions(engine, [action("a", "approve", 300.0, None)]),
    ]
    for i in order:
        steps[i]()
    [(name, propensity, chance)] = followed(found)
    assert name == "approve"
    assert np.isnan([propensity, chance]).all()


def test_actions_go_with_their_predictions(found: Settings) -> None:
    engine = database.engine(found)
    predictions.insert(engine, [record("a", action="decline", propensity=0.9, label_propensity=0.0)])
    predictions.insert_actions(engine, [action("never answered", "approve", 100.0)])
    assert predictions.purge(found, 86_400.0) == 1
    with engine.connect() as connection:
        assert connection.execute(predictions.tables.actions.select()).all() == []
