"""MLflow's scoring protocol: the same answers as MLflow's own scoring server gives with the registered model.

Every payload goes to both: to `mlflow.pyfunc.scoring_server.invocations` with the model loaded as a stock
MLflow user loads it, and to the service. MLflow's own client talks to a running service.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask import Flask
from flask.testing import FlaskClient

from ml.schema.rows import RowReader
from ml.settings import from_values
from serving.app import create_app
from serving.model.store import Pointer, write_pointer
from tests.ml import churn
from tests.serving.mixed import application, logged_ids, publish
from tests.serving.running import serving

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
RECORDS = [{"n0": 1.5, "n1": 2.0, "c0": "red"}, {"n0": None, "n1": -1.0, "c0": "blue"}]
FRAME = pd.DataFrame(RECORDS)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with application(tmp_path_factory.mktemp("mlflow")) as app:
        yield app


def theirs_of(app: Flask, target: Path) -> Any:
    """MLflow's scoring function with the bundle that `app` serves, logged as the registry logs it."""
    warnings.simplefilter("ignore")  # MLflow's notices about type hints; pytest puts its own filters back for each test
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc.scoring_server import invocations

    from ml.bundle import mlflow_flavor

    one = app.extensions["refit"]
    one.start()
    mlflow_flavor.save(one.served().bundle, target)
    model = mlflow.pyfunc.load_model(str(target))
    schema = model.metadata.get_input_schema()

    def ask(body: bytes, content_type: str) -> tuple[int, Any]:
        logging.disable(logging.WARNING)
        try:
            answer = invocations(body, content_type, model, schema)
        except MlflowException as error:
            return error.get_http_status_code(), json.loads(error.serialize_as_json())
        finally:
            logging.disable(logging.NOTSET)
        return answer.status, json.loads(answer.response) if answer.status == 200 else answer.response

    return ask


@pytest.fixture(scope="module")
def theirs(app: Flask, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return theirs_of(app, tmp_path_factory.mktemp("model") / "model")


@pytest.fixture(scope="module")
def churn_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The customers' model: whole numbers, booleans, missing cells, and columns that are passed over."""
    home = tmp_path_factory.mktemp("churn")
    folder = home / "var" / "serving"
    write_pointer(folder, Pointer("3", "cache/3", churn.bundle(folder / "cache" / "3").sha256))
    app = create_app(from_values({"home": str(home)}))
    yield app
    app.extensions["refit"].close()


@pytest.fixture(scope="module")
def churn_theirs(churn_app: Flask, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return theirs_of(churn_app, tmp_path_factory.mktemp("churn") / "model")


def parquet() -> bytes:
    out = io.BytesIO()
    FRAME.to_parquet(out, index=False)
    return out.getvalue()


SAME = {
    "split": {"dataframe_split": json.loads(FRAME.to_json(orient="split"))},
    "split without rows": {"dataframe_split": {"columns": ["n0", "n1", "c0"], "data": []}},
    "records": {"dataframe_records": RECORDS},
    "records of whole numbers": {"dataframe_records": [{"n0": 1, "n1": 2, "c0": "red"}]},
    "records of numbers as text": {"dataframe_records": [{"n0": "1", "n1": " 2.5e0", "c0": "red"}]},
    "records of booleans": {"dataframe_records": [{"n0": True, "n1": 2.0, "c0": "red"}]},
    "records with a number as category": {"dataframe_records": [{"n0": 1.0, "n1": 2.0, "c0": 5}]},
    "records without a category": {"dataframe_records": [{"n0": 1.0, "n1": 2.0, "c0": None}]},
    "records of which one lacks a key": {"dataframe_records": [RECORDS[0], {"n1": 2.0, "c0": "red"}]},
    "records with another column": {"dataframe_records": [RECORDS[0] | {"z": 9}]},
    "instances as records": {"instances": [RECORDS[0]]},
    "instances as columns": {"instances": {"n0": [1.0, 2.0], "n1": [1.0, 2.0], "c0": ["red", "x"]}},
    "inputs as columns": {"inputs": {"n0": [1.0, 2.0], "n1": [1.0, 2.0], "c0": ["red", "x"]}},
    "inputs as one row": {"inputs": {"n0": 1.0, "n1": 1.0, "c0": "red"}},
    "inputs as records": {"inputs": [RECORDS[0]]},
    "params": {"dataframe_records": RECORDS, "params": {"a": 1}},
}
BODIES: dict[str, tuple[bytes, str]] = {
    **{name: (json.dumps(content).encode(), JSON) for name, content in SAME.items()},
    "json with NaN": (b'{"dataframe_records": [{"n0": NaN, "n1": Infinity, "c0": "red"}]}', JSON),
    "json with a charset": (json.dumps(SAME["records"]).encode(), f"{JSON}; charset=utf-8"),
    "csv": (FRAME.to_csv(index=False).encode(), CSV),
    "csv with an index": (FRAME.to_csv().encode(), CSV),
    "parquet": (parquet(), PARQUET),
}


@pytest.mark.parametrize("name", BODIES)
def test_every_payload_form_gets_mlflows_answer(client: FlaskClient, theirs: Any, name: str) -> None:
    """To the last bit; beside MLflow's key the answer names its version and its ids."""
    body, content_type = BODIES[name]
    status, expected = theirs(body, content_type)
    answer = client.post("/invocations", data=body, content_type=content_type)
    assert (answer.status_code, status) == (200, 200)
    assert answer.json["predictions"] == expected["predictions"]
    assert answer.json["model_version"] == answer.headers["X-Model-Version"] == "3"
    assert len(set(answer.json["prediction_ids"])) == len(expected["predictions"])


def churn_bodies() -> dict[str, tuple[bytes, str]]:
    raw = churn.table(30, seed=5)
    out = io.BytesIO()
    raw.to_parquet(out, index=False)
    records = json.loads(raw.to_json(orient="records"))
    texts = [{k: v if v is None else str(v) for k, v in record.items()} for record in records]
    return {
        "split": (json.dumps({"dataframe_split": json.loads(raw.to_json(orient="split"))}).encode(), JSON),
        "records": (json.dumps({"dataframe_records": records}).encode(), JSON),
        "texts": (json.dumps({"dataframe_records": texts}).encode(), JSON),
        "inputs": (json.dumps({"inputs": records}).encode(), JSON),
        "csv": (raw.to_csv(index=False).encode(), CSV),
        "csv of whole numbers": (raw.dropna().to_csv(index=False).encode(), CSV),
        "parquet": (out.getvalue(), PARQUET),
    }


@pytest.mark.parametrize("name", churn_bodies())
def test_whole_numbers_booleans_and_missing_cells_get_mlflows_answer(
    churn_app: Flask, churn_theirs: Any, name: str
) -> None:
    """The schema of a table as people have them; with a signature of type `any` MLflow took no CSV at all."""
    body, content_type = churn_bodies()[name]
    status, expected = churn_theirs(body, content_type)
    answer = churn_app.test_client().post("/invocations", data=body, content_type=content_type)
    assert (answer.status_code, status) == (200, 200), (answer.text[:300], expected)
    assert answer.json["predictions"] == expected["predictions"]


REFUSED: dict[str, tuple[bytes, str]] = {
    "broken json": (b"{", JSON),
    "empty": (b"", JSON),
    "list": (b"[1]", JSON),
    "no form": (b"{}", JSON),
    "two forms": (b'{"inputs": [], "instances": []}', JSON),
    "a word for a number": (b'{"dataframe_records": [{"n0": "x", "n1": 2, "c0": "red"}]}', JSON),
    "records lack a column": (b'{"dataframe_records": [{"n0": 1, "n1": 2}]}', JSON),
    "records as object": (b'{"dataframe_records": {}}', JSON),
    "split without columns": (b'{"dataframe_split": {"data": [[1.0, 2.0, "red"]]}}', JSON),
    "split without data": (b'{"dataframe_split": {"columns": ["n0"]}}', JSON),
    "split of another width": (b'{"dataframe_split": {"columns": ["n0"], "data": [[1.0, 2.0]]}}', JSON),
    "columns of other lengths": (b'{"instances": {"n0": [1.0, 2.0], "n1": [1.0], "c0": ["red", "x"]}}', JSON),
    "inputs as text": (b'{"inputs": "x"}', JSON),
    "csv with a word": (b"n0,n1,c0\nx,1,red\n", CSV),
    "csv lacks a column": (b"n0,n1\n1,1\n", CSV),
    "no parquet": (b"xx", PARQUET),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_have_mlflows_status_code_and_error_code(client: FlaskClient, theirs: Any, name: str) -> None:
    body, content_type = REFUSED[name]
    status, expected = theirs(body, content_type)
    answer = client.post("/invocations", data=body, content_type=content_type)
    assert answer.status_code == status == 400
    assert answer.json["error_code"] == expected["error_code"]
    assert answer.json["message"]


@pytest.mark.parametrize("content_type", ["text/xml", "text/csv; charset=latin-1", "application/json; foo=1"])
def test_other_content_types_get_mlflows_words(client: FlaskClient, theirs: Any, content_type: str) -> None:
    status, said = theirs(b"x", content_type)
    answer = client.post("/invocations", data=b"x", content_type=content_type)
    assert (answer.status_code, answer.mimetype) == (status, "text/plain") == (415, "text/plain")
    assert said.startswith(answer.text)


def test_positional_rows_are_taken_in_the_order_of_the_schema(client: FlaskClient) -> None:
    """What MLflow takes for a tensor signature."""
    named = client.post("/invocations", json={"inputs": [RECORDS[0]]}).json["predictions"]
    assert client.post("/invocations", json={"inputs": [[1.5, 2.0, "red"]]}).json["predictions"] == named
    assert client.post("/invocations", json={"inputs": [[1.5, 2.0]]}).status_code == 400


def test_what_was_refused_is_not_logged_and_what_was_answered_is(tmp_path: Path) -> None:
    with application(tmp_path) as app:
        client = app.test_client()
        client.post("/invocations", json={"dataframe_records": [RECORDS[0], {"n0": "x", "n1": 1, "c0": "red"}]})
        ids = client.post("/invocations", json={"dataframe_records": RECORDS}).json["prediction_ids"]
    assert logged_ids(tmp_path) == ids


def test_a_fault_of_ours_is_told_in_mlflows_form(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(RowReader, "arrays", broken)
    answer = client.post("/invocations", json={"dataframe_records": RECORDS})
    assert (answer.status_code, answer.json["error_code"]) == (500, "INTERNAL_ERROR")
    assert "inside" not in answer.text


def test_ping_tells_whether_a_model_is_loaded(client: FlaskClient, tmp_path: Path) -> None:
    assert [client.get(path).status_code for path in ("/ping", "/health")] == [200, 200]
    empty = create_app(from_values({"home": str(tmp_path)}))
    assert empty.test_client().get("/ping").status_code == 404
    assert empty.test_client().post("/invocations", json={"inputs": []}).json["error_code"] == "TEMPORARILY_UNAVAILABLE"
    empty.extensions["refit"].close()


@pytest.mark.stack
def test_mlflows_own_client_works_unchanged(tmp_path: Path) -> None:
    """Ping, version, a frame with a missing number, and an array by column."""
    warnings.simplefilter("ignore")  # as above
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient
    from mlflow.version import VERSION

    publish(tmp_path)
    with serving(tmp_path, SERVING__WORKERS="1") as server:
        client = ScoringServerClient("127.0.0.1", server.port)
        client.wait_server_ready(timeout=20)
        assert client.get_version() == VERSION
        found = client.invoke(FRAME).get_predictions()
        assert list(found.columns) == ["label", "probability", "probability_no", "probability_yes"]
        assert found["label"].tolist() == ["yes", "no"]
        with pytest.raises(Exception, match="missing inputs"):
            client.invoke(FRAME.drop(columns="c0"))
        assert np.isfinite(found["probability"]).all()
