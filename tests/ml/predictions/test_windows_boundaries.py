"""Windows over the prediction log: edges of time, ties, and labels that come twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from ml import predictions
from ml.errors import StoreUnavailable
from ml.predictions.windows import LabelCounts
from ml.schema.schema import ANSWERED, LABEL_PROPENSITY, PREDICTION_ID, QUESTION, ROW_ID
from ml.settings import Settings
from ml.storage import database


def log(found: Settings, *times: float, version: str = "1") -> sa.Engine:
    """Predictions "a", "b", … at these moments."""
    engine = database.engine(found)
    rows = [
        {
            "prediction_id": "abcdefgh"[i], "time": time, "model_version": version, "inputs": {"x": i, "c": "a"},
            "label": "1", "probability": 0.75, "probabilities": {"0": 0.25, "1": 0.75},
        }
        for i, time in enumerate(times)
    ]  # fmt: skip
    predictions.insert(engine, rows)
    return engine


def tell(engine: sa.Engine, *labels: tuple[str, str, float, str]) -> None:
    """Labels as (prediction, label, moment, id)."""
    names = ("prediction_id", "label", "received_at", "id")
    predictions.insert_feedback(engine, [dict(zip(names, one, strict=True)) for one in labels])


def keys(frame: pd.DataFrame) -> str:
    return "".join(frame["prediction_id" if "prediction_id" in frame else PREDICTION_ID])


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"since": 20.0}, "bc"),
        ({"since": 20.1}, "c"),
        ({"until": 20.0}, "a"),
        ({"until": 20.1}, "ab"),
        ({"since": 20.0, "until": 30.0}, "b"),
        ({"since": 0.0}, "abc"),
        ({"until": 0.0}, ""),
        ({"rows": 0}, ""),
        ({"rows": 1}, "c"),
        ({"version": ""}, ""),
        ({"version": "1", "rows": 2}, "bc"),
        ({"labelled_only": True, "rows": 1}, "b"),
        ({"labelled_only": False, "rows": 1}, "c"),
    ],
)
def test_since_is_in_and_until_is_out(found: Settings, asked: dict[str, Any], expected: str) -> None:
    """Zero and "" are bounds as well; the newest rows are counted after the other bounds."""
    engine = log(found, 10.0, 20.0, 30.0)
    tell(engine, ("a", "1", 40.0, "1"), ("b", "0", 40.0, "2"))
    assert keys(predictions.window(engine, **asked)) == expected


def test_ties_are_settled_by_the_id(found: Settings) -> None:
    """Answers of one moment come in the order of their ids, and the newest of them is the last."""
    engine = log(found, 10.0, 10.0, 10.0)
    assert keys(predictions.window(engine)) == "abc"
    assert keys(predictions.window(engine, rows=2)) == "bc"
    assert predictions.window(engine).index.tolist() == [0, 1, 2]


def test_the_order_is_that_of_time_not_of_ids(found: Settings) -> None:
    """Also of the newest rows."""
    engine = log(found, 30.0, 20.0, 10.0)
    assert keys(predictions.window(engine)) == "cba"
    assert keys(predictions.window(engine, rows=2)) == "ba"


def test_all_columns_and_no_others(found: Settings) -> None:
    """With the moment of the latest label, NaN where none has come, in seconds."""
    engine = log(found, 10.0, 20.0)
    tell(engine, ("b", "0", 45.5, "1"))
    frame = predictions.window(engine)
    joined = {"actual", "labelled_at", "action", "propensity", "label_propensity"}
    assert joined <= set(frame.columns)
    assert set(frame.columns) - joined == {c.name for c in predictions.predictions.columns}
    assert frame["labelled_at"].dtype == np.float64
    assert np.isnan(frame["labelled_at"][0])
    assert frame["labelled_at"][1] == 45.5
    assert frame["actual"].isna().tolist() == [True, False]
    assert frame["actual"][1] == "0"
    assert predictions.window(engine, rows=0)["labelled_at"].dtype == np.float64


def test_of_labels_of_one_moment_the_larger_id_counts(found: Settings) -> None:
    """One row a prediction, whatever the order they were written in; others' labels do not matter."""
    engine = log(found, 10.0, 20.0)
    tell(engine, ("a", "1", 50.0, "2"), ("a", "0", 50.0, "1"), ("a", "0", 40.0, "3"), ("b", "0", 99.0, "9"))
    frame = predictions.window(engine)
    assert keys(frame) == "ab"
    assert frame["actual"].tolist() == ["1", "0"]
    assert frame["labelled_at"].tolist() == [50.0, 99.0]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [({}, "abc"), ({"since": 20.0}, "bc"), ({"until": 30.0}, "ab"), ({"rows": 1}, "c")],
    ids=["all", "since", "until", "rows"],
)
def test_labelled_rows_take_the_bounds_of_a_window(found: Settings, asked: dict[str, Any], expected: str) -> None:
    """What has no label yet is not in it and does not count."""
    engine = log(found, 10.0, 20.0, 30.0, 40.0)
    tell(engine, *((key, "1", 50.0, key) for key in "abc"))
    frame = predictions.labelled(found, **asked)
    assert keys(frame) == expected
    assert frame.columns.tolist() == [
        *("x", "c", found.data.target, QUESTION, PREDICTION_ID, ROW_ID),
        *(LABEL_PROPENSITY, ANSWERED),
    ]
    assert frame[ANSWERED].iloc[-1].timestamp() == (20.0 if expected == "ab" else 30.0)


def test_since_may_be_said_by_place(found: Settings) -> None:
    """The second argument of `labelled`."""
    engine = log(found, 10.0, 20.0)
    tell(engine, ("a", "1", 50.0, "1"), ("b", "1", 50.0, "2"))
    assert keys(predictions.labelled(found, 15.0)) == "b"


def test_inputs_and_probabilities_of_no_rows(found: Settings) -> None:
    """Empty, with their shape."""
    empty = predictions.window(log(found, 10.0), until=0.0)
    assert predictions.inputs_frame(empty).empty
    assert predictions.probabilities_array(empty, ("0", "1")).shape == (0, 2)


def test_inputs_keep_the_index_of_their_rows(found: Settings) -> None:
    """A part of a window stays aligned with it."""
    part = predictions.window(log(found, 10.0, 20.0, 30.0)).iloc[1:]
    inputs = predictions.inputs_frame(part)
    assert inputs.index.tolist() == [1, 2]
    assert inputs["x"].tolist() == [1, 2]


def test_probabilities_of_several_rows(found: Settings) -> None:
    """(n_rows, n_classes) float64, from any iterable of names."""
    table = predictions.probabilities_array(predictions.window(log(found, 10.0, 20.0)), iter(("1", "0")))
    assert table.dtype == np.float64
    assert table.tolist() == [[0.75, 0.25], [0.75, 0.25]]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {"predictions": 4, "labelled": 3, "waiting": 1, "coverage": 0.75, "delay_s": 10.0}),
        ({"until": 20.0}, {"predictions": 1, "labelled": 1, "waiting": 0, "coverage": 1.0, "delay_s": 5.0}),
        ({"rows": 2}, {"predictions": 2, "labelled": 1, "waiting": 1, "coverage": 0.5, "delay_s": 40.0}),
        ({"rows": 1}, {"predictions": 1, "labelled": 0, "waiting": 1, "coverage": 0.0, "delay_s": None}),
        ({"until": 0.0}, {"predictions": 0, "labelled": 0, "waiting": 0, "coverage": None, "delay_s": None}),
        ({"version": "2"}, {"predictions": 0, "labelled": 0, "waiting": 0, "coverage": None, "delay_s": None}),
    ],
    ids=["all", "until", "newest", "unlabelled", "none", "version"],
)
def test_counts_of_the_newest(found: Settings, asked: dict[str, Any], expected: dict[str, Any]) -> None:
    """The delay is the median over the labelled ones, of the first label of each."""
    engine = log(found, 10.0, 20.0, 30.0, 40.0)
    tell(engine, ("a", "1", 15.0, "1"), ("a", "0", 500.0, "2"), ("b", "1", 30.0, "3"), ("c", "1", 70.0, "4"))
    assert predictions.counts(engine, **asked) == LabelCounts(**expected)


@pytest.mark.parametrize("ask", [predictions.window, predictions.counts])
def test_a_database_without_the_tables_is_unavailable(tmp_path: Path, ask: Any) -> None:
    """A caller may try again: no error of the driver's own comes through."""
    with pytest.raises(StoreUnavailable):
        ask(sa.create_engine(f"sqlite:///{tmp_path}/none/such/file.db"))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"labels_after": 9.0}, "abd"),
        ({"labels_after": 10.0}, "bd"),
        ({"labels_after": 20.0}, "d"),
        ({"labels_after": 30.0}, ""),
        ({"labels_before": 30.0}, "ab"),
        ({"labels_before": 30.5}, "abd"),
        ({"labels_before": 20.0}, "a"),
        ({"labels_after": 10.0, "labels_before": 30.0}, "b"),
        ({}, "abcd"),
    ],
    ids=str,
)
def test_labels_are_bounded_by_when_the_first_and_the_latest_came(
    found: Settings, asked: dict[str, float], expected: str
) -> None:
    """Out at either moment; "c" has no label yet, "d" had its first at 25 and was put right at 30."""
    engine = log(found, 1.0, 2.0, 3.0, 4.0)
    came = [("a", 10.0), ("b", 20.0), ("d", 25.0), ("d", 30.0)]
    predictions.insert_feedback(
        engine, [{"prediction_id": key, "label": str(at), "received_at": at} for key, at in came]
    )
    assert "".join(predictions.window(engine, **asked)["prediction_id"]) == expected  # type: ignore[arg-type]
    if "labels_before" in asked and "labels_after" not in asked:
        rows = predictions.labelled(found, labels_before=asked["labels_before"])
        assert "".join(rows[PREDICTION_ID]) == expected


def test_a_label_put_right_was_known_before(found: Settings) -> None:
    """Its first counts for what is new, its latest for what was known."""
    engine = log(found, 1.0)
    for at in (10.0, 30.0):
        predictions.insert_feedback(engine, [{"prediction_id": "a", "label": str(at), "received_at": at}])
    assert predictions.window(engine, labels_after=20.0).empty
    assert predictions.window(engine, labels_before=20.0).empty
    (label,) = predictions.window(engine, labels_after=9.0)["actual"]
    assert label == "30.0"


def test_a_label_that_is_put_right_counts_when_it_first_came(found: Settings) -> None:
    """Known at the very moment: known before."""
    engine = log(found, 1.0, 2.0, 3.0)
    tell(engine, ("a", "1", 10.0, "x"), ("a", "0", 20.0, "y"), ("b", "1", 10.0, "z"), ("c", "1", 20.0, "w"))
    assert keys(predictions.window(engine, labels_after=10.0, labelled_only=True)) == "c"
    assert keys(predictions.window(engine, labels_after=9.9, labelled_only=True)) == "abc"
    assert keys(predictions.window(engine, labels_after=20.0, labelled_only=True)) == ""


def test_counts_are_of_one_artifact_where_it_is_named(found: Settings) -> None:
    """A version number may come twice, from another registry."""
    engine = database.engine(found)
    row = {"time": 1.0, "model_version": "1", "inputs": {"x": 1, "c": "a"}, "label": "1", "probability": 0.75,
           "probabilities": {"0": 0.25, "1": 0.75}}  # fmt: skip
    rows = [
        row | {"prediction_id": key, "model_sha256": sha} for key, sha in (("a", "one"), ("b", "two"), ("c", "two"))
    ]
    predictions.insert(engine, rows)
    assert predictions.counts(engine, sha256="two").predictions == 2
    assert predictions.counts(engine, sha256="one").predictions == 1
    assert predictions.counts(engine).predictions == 3
