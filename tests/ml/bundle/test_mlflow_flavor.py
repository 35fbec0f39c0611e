"""The logged model takes the frames that people have, and gives the bundle's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from ml import tracking
from ml.bundle import mlflow_flavor, reader
from ml.bundle.reader import Bundle
from ml.settings import from_values
from tests.ml.tiny import tiny_bundle


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Any]:
    """A bundle whose columns were missing here and there in training, and the model that MLflow loads of it."""
    folder = tmp_path_factory.mktemp("model")
    tiny_bundle(folder / "b")
    schema = Bundle.open(folder / "b").schema
    columns = tuple(msgspec.structs.replace(c, missing_share=0.1) for c in schema.columns)
    schema = msgspec.structs.replace(schema, columns=columns, missing_markers=("", " ", "NA"))
    (folder / "b" / "schema.json").write_bytes(schema.to_json())
    reader.seal(folder / "b")
    opened = Bundle.open(folder / "b")
    mlflow_flavor.save(opened, folder / "saved")
    import mlflow.pyfunc

    return opened, mlflow.pyfunc.load_model(str(folder / "saved"))


NAN = float("nan")


@pytest.mark.parametrize(
    ("frame", "numbers", "texts"),
    [
        ({"n0": [1, 2], "n1": [3, 4], "c0": ["red", "green"]}, [[1, 3], [2, 4]], ["red", "green"]),
        ({"n0": ["1.5", " "], "n1": ["NA", "2"], "c0": ["red", None]}, [[1.5, NAN], [NAN, 2]], ["red", ""]),
        (
            {"n0": [np.inf, 1e300], "n1": [0.5, NAN], "c0": [" red ", "new"]},
            [[NAN, 0.5], [3.4e38, NAN]],
            ["red", "new"],
        ),
        ({"c0": [NAN, NAN], "n1": [1.0, 2.0], "n0": [0.0, 1.0], "more": [1, 2]}, [[0, 1], [1, 2]], ["", ""]),
        ({"n0": [True, False], "n1": [1.0, 2.0], "c0": [1.0, True]}, [[1, 1], [0, 2]], ["1", "True"]),
    ],
    ids=["whole numbers", "text cells", "infinite and huge", "empty column, other order", "booleans"],
)
def test_frames_as_they_come(saved: tuple[Bundle, Any], frame: Any, numbers: Any, texts: Any) -> None:
    """Whatever pandas made of a table, the answer is that of the canonical row."""
    opened, model = saved
    answer = model.predict(pd.DataFrame(frame, index=[7, 9]))
    rows = np.asarray(numbers, np.float32), np.asarray([[t] for t in texts], dtype=object)
    expected = opened.run(*rows)
    assert answer.index.tolist() == [7, 9]
    np.testing.assert_array_equal(answer[["probability_no", "probability_yes"]].to_numpy(), expected)
    assert answer["label"].tolist() == opened.label(expected).tolist()
    codes = opened.decision.codes(expected, opened.schema)
    np.testing.assert_array_equal(answer["probability"], expected[np.arange(2), codes])


def test_word_in_a_number_column_names_the_column(saved: tuple[Bundle, Any]) -> None:
    """What cannot be read is told by its column."""
    with pytest.raises(Exception, match="n1"):
        saved[1].predict(pd.DataFrame({"n0": [1.0], "n1": ["many"], "c0": ["red"]}))


def test_signature_and_requirements_are_there(saved: tuple[Bundle, Any]) -> None:
    """The columns with their types, an example, and the four packages it runs on."""
    _, model = saved
    assert model.metadata.get_input_schema().input_names() == ["n0", "n1", "c0"]
    assert model.metadata.get_output_schema().input_names() == [
        "label",
        "probability",
        "probability_no",
        "probability_yes",
    ]


def test_environment_check_is_left_out_and_put_back() -> None:
    """MLflow still has the check that costs seconds, and gets it back."""
    from mlflow.utils import environment

    before = environment.warn_dependency_requirement_mismatches
    with mlflow_flavor._without_environment_check():
        assert environment.warn_dependency_requirement_mismatches is not before
    assert environment.warn_dependency_requirement_mismatches is before


@pytest.mark.filterwarnings("ignore")
def test_a_logged_model_names_its_run_and_itself(tmp_path: Path) -> None:
    """In its MLmodel file, as MLflow's own log_model has it, so that `load_model` traces to where it came from."""
    import mlflow.models

    settings = from_values({"home": str(tmp_path), "mlflow_port": 1})
    tiny_bundle(tmp_path / "b")
    run_id = tracking.run(settings, "one")
    uri = mlflow_flavor.log_bundle(settings, tmp_path / "b", run_id)
    folder = tracking.client(settings).get_logged_model(uri.removeprefix("models:/")).artifact_location
    found = mlflow.models.Model.load(folder)
    assert (found.run_id, found.model_id) == (run_id, uri.removeprefix("models:/"))
    assert str(tmp_path) not in (Path(folder.removeprefix("file://")) / "MLmodel").read_text()
