"""Awkward tables through training and every entrance: the right value, or the right sentence.

What a table means is written beside how it is written; each entrance has to give the answers of what it means.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from werkzeug.serving import make_server

import predict_client
from ml.bundle import mlflow_flavor, writer
from ml.data import ingestion
from ml.decision import Decision
from ml.errors import DataError
from ml.settings import Settings, from_values
from ml.training.candidate import CandidateSpec, fit_candidate
from serving.app import create_app
from serving.model.store import Pointer, write_pointer
from tests.serving.case_tables import Case, cases

CASES = {case.name: case for case in cases()}


class Trained:
    """A model of one table, with its service and the model that MLflow loads."""

    def __init__(self, case: Case, home: Path):
        self.case = case
        self.file = home / case.name
        self.file.write_bytes(case.content)
        settings = configured(case, home, case.data)
        self.snapshot = ingestion.generate(settings)
        rows = self.snapshot.part("train")
        spec = CandidateSpec("logistic", {"C": 1.0, "solver": "lbfgs"})
        made = fit_candidate(spec, rows.X, rows.y, schema=self.snapshot.schema)
        folder = settings.var / "serving"
        writer.begin(folder / "cache" / "1", made, Decision(), rows.X)
        self.bundle = writer.finish(folder / "cache" / "1", {"metrics.json": {}})
        write_pointer(folder, Pointer("1", "cache/1", self.bundle.sha256))
        self.app = create_app(settings)
        self.client = self.app.test_client()

    def answers(self, truth: pd.DataFrame) -> np.ndarray[Any, Any]:
        """(n, C) what the model says of rows as they are meant."""
        schema = self.bundle.schema
        numbers = truth[list(schema.numbers)].to_numpy(np.float32)
        found: np.ndarray[Any, Any] = self.bundle.run(numbers, truth[list(schema.categories)].to_numpy(object))
        return found


def configured(case: Case, home: Path, values: dict[str, Any]) -> Settings:
    return from_values({"home": str(home), "data": {"source": "file", "path": str(home / case.name), **values}})


@pytest.fixture(scope="module", params=CASES)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    one = Trained(CASES[request.param], tmp_path_factory.mktemp("case"))
    yield one
    one.app.extensions["refit"].close()


def test_training_understands_it_and_says_so(trained: Trained) -> None:
    """The columns, the classes, and sentences about what is left out or may be otherwise."""
    case, schema = trained.case, trained.bundle.schema
    assert sorted(c.name for c in schema.columns) == sorted(case.truth.columns)
    assert {c.name for c in schema.columns if c.kind == "number"} == {
        name for name, cells in case.truth.items() if cells.dtype.kind in "iuf"
    }
    assert sorted(schema.classes) == sorted(case.classes)
    said = "\n".join(str(finding.message) for finding in trained.snapshot.manifest.report)
    for sentence in case.told:
        assert sentence in said


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.asked])
def test_without_its_settings_it_is_told_what_to_set(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    (tmp_path / case.name).write_bytes(case.content)
    with pytest.raises(DataError) as caught:
        ingestion.generate(configured(case, tmp_path, {"target": case.data["target"]}))
    assert case.asked in str(caught.value)


def test_every_entrance_gives_what_it_means(trained: Trained, tmp_path: Path) -> None:
    """Each gives, for every row, the probabilities of the row as it is meant."""
    expected = trained.answers(trained.case.truth)
    found = {
        "predict, typed": predicted(trained, typed(trained.case)),
        "predict, texts": predicted(trained, texts(trained.case)),
        "predict/file": uploaded(trained),
        "invocations, typed": invoked(trained, split(trained.case), "application/json"),
        "invocations, file": invoked(trained, trained.case.content, kind(trained.case)),
        "stock model": stock(trained, tmp_path),
        "batch client": batch(trained, tmp_path),
    }
    for name, probabilities in found.items():
        np.testing.assert_allclose(probabilities, expected, atol=2e-6, err_msg=name)


def typed(case: Case) -> list[dict[str, Any]]:
    """Rows as pandas gives them to JSON; an id of one's own would have to be text."""
    frame = case.frame().drop(columns="prediction_id", errors="ignore")
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return rows


def texts(case: Case) -> list[dict[str, Any]]:
    """Rows as Python's `csv` gives them; of a Parquet file, as pandas does."""
    if case.name.endswith(".parquet"):
        return typed(case)
    return list(csv.DictReader(io.StringIO(case.content.decode()), delimiter=case.delimiter))


def split(case: Case) -> bytes:
    return f'{{"dataframe_split": {case.frame().to_json(orient="split", double_precision=15)}}}'.encode()


def kind(case: Case) -> str:
    return "application/vnd.apache.parquet" if case.name.endswith(".parquet") else "text/csv"


def predicted(one: Trained, rows: list[dict[str, Any]]) -> list[list[float]]:
    answer = one.client.post("/predict", json={"rows": rows})
    assert answer.status_code == 200, answer.text
    return [list(row["probabilities"].values()) for row in answer.json["predictions"]]


def uploaded(one: Trained) -> list[list[float]]:
    content = {"file": (io.BytesIO(one.case.content), one.case.name)}
    answer = one.client.post("/predict/file", data=content, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    return [list(row["probabilities"].values()) for row in answer.json["predictions"]]


def invoked(one: Trained, body: bytes, content_type: str) -> list[list[float]]:
    answer = one.client.post("/invocations", data=body, content_type=content_type)
    assert answer.status_code == 200, answer.text
    return [[row[f"probability_{name}"] for name in one.bundle.classes] for row in answer.json["predictions"]]


def stock(one: Trained, folder: Path) -> Any:
    """The model as a stock MLflow user loads it."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's notices about type hints
            import mlflow.pyfunc

            mlflow_flavor.save(one.bundle, folder / "model")
            answer = mlflow.pyfunc.load_model(str(folder / "model")).predict(one.case.frame())
    finally:
        logging.disable(logging.NOTSET)
    return answer[[f"probability_{name}" for name in one.bundle.classes]].to_numpy()


def batch(one: Trained, folder: Path) -> list[list[float]]:
    """By `predict_client.py`, over a socket."""
    server = make_server("127.0.0.1", 0, one.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    output = folder / "out.csv"
    try:
        command = [str(one.file), "--url", f"http://127.0.0.1:{server.port}", "--output", str(output), "--quiet"]
        assert predict_client.main([*command, "--delimiter", one.case.delimiter]) == 0
    finally:
        server.shutdown()
        thread.join()
    with output.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream, delimiter=one.case.delimiter))
    return [[float(row[f"probability_{name}"].replace(",", ".")) for name in one.bundle.classes] for row in rows]
