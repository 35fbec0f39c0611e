"""One value, one spelling: a table of values by entrances. Each entrance reads the same value, or says what is wrong.

The entrances: training, `/predict`, `/predict/file` with CSV and with Parquet, `/invocations`, `/v2`, and the model as
a stock MLflow user loads it. What was read is seen in the answer, which no two values share.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pandas as pd
import pytest
from flask import Flask
from onnx import TensorProto, helper, numpy_helper
from werkzeug.test import TestResponse

from ml.bundle import mlflow_flavor, reader
from ml.bundle.reader import Bundle
from ml.decision import Decision
from ml.errors import DataError
from ml.schema.frame_coerce import canonical
from ml.schema.schema import Column, Schema
from ml.storage.files import to_json
from serving.app import create_app
from serving.model.store import Pointer, write_pointer
from tests.serving import tiny
from tests.serving.mixed import logged_labels

LEVELS = ("red", "Café", "New York", "True", "False", "3", "12", "3.50", "007", "-5")
ANSWERS = {level: 0.5 + 0.25 * i for i, level in enumerate(LEVELS)}
MISSING, UNSEEN, SCALE, NO_NUMBER = 3.25, 3.5, 500.0, 4.0
# `any` in the signature where values were missing in training: MLflow itself refuses other types than the column's.
COLUMNS = (
    Column(name="n", kind="number", minimum=-1000.0, maximum=1000.0, missing_share=0.1),
    Column(name="c", kind="category", categories=LEVELS, missing_share=0.1),
)
NEAR = 5e-4
GERMAN = {"decimal": ",", "thousands": "."}


def write_bundle(folder: Path, **schema: Any) -> str:
    """A bundle of which the score is `n` / SCALE, or NO_NUMBER, plus the answer of the level in `c`."""
    constants = {"scale": np.float32([SCALE]), "none": np.float32([NO_NUMBER])}
    nodes = [
        helper.make_node("IsNaN", ["numbers"], ["missing"]),
        helper.make_node("Div", ["numbers", "scale"], ["divided"]),
        helper.make_node("Where", ["missing", "none", "divided"], ["filled"]),
        helper.make_node(
            "LabelEncoder", ["categories"], ["coded"], domain="ai.onnx.ml",
            keys_strings=[*ANSWERS, ""], values_floats=[*ANSWERS.values(), MISSING], default_float=UNSEEN,
        ),
        helper.make_node("Add", ["filled", "coded"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["one"]),
        helper.make_node("Neg", ["score"], ["negative"]),
        helper.make_node("Sigmoid", ["negative"], ["zero"]),
        helper.make_node("Concat", ["zero", "one"], ["probabilities"], axis=1),
    ]  # fmt: skip
    inputs = [
        helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["N", 1]),
        helper.make_tensor_value_info("categories", TensorProto.STRING, ["N", 1]),
    ]
    output = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2])]
    initial = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(
        helper.make_graph(nodes, "values", inputs, output, initial), opset_imports=opsets, ir_version=9
    )
    made = Schema(target="y", classes=("0", "1"), positive_label="1", columns=COLUMNS, **schema)
    folder.mkdir(parents=True)
    onnx.save(model, str(folder / "model.onnx"))
    (folder / "schema.json").write_bytes(made.to_json())
    (folder / "decision.json").write_bytes(Decision(threshold=0.5).to_json())
    (folder / "metrics.json").write_bytes(b"{}")
    record = {"n": 1.0, "c": "red"}
    score = 1 / (1 + math.exp(-(1 / SCALE + ANSWERS["red"])))
    example = {"numbers": [[1.0]], "categories": [["red"]], "probabilities": [[1 - score, score]], "records": [record]}
    (folder / "examples.json").write_bytes(to_json(example))
    return reader.seal(folder)


class Read(NamedTuple):
    """What one entrance made of one cell: the score that says what was read, or the sentence that refused it."""

    score: float | None
    sentence: str = ""


class Entrances:
    """Every way in, to one model."""

    def __init__(self, folder: Path, **schema: Any):
        settings = tiny.settings_for(folder)
        serving = settings.var / "serving"
        sha256 = write_bundle(serving / "cache" / "1", **schema)
        write_pointer(serving, Pointer("1", "cache/1", sha256))
        self.app: Flask = create_app(settings)
        self.bundle = Bundle.open(serving / "cache" / "1")
        self.client = self.app.test_client()
        mlflow_flavor.save(self.bundle, folder / "model")
        import mlflow.pyfunc

        self.stock = mlflow.pyfunc.load_model(str(folder / "model"))

    def training(self, rows: list[dict[str, Any]]) -> list[Read]:
        try:
            frame, _ = canonical(pd.DataFrame(rows), self.bundle.schema)
        except DataError as error:
            return [Read(None, str(error))]
        found = self.bundle.run(frame[["n"]].to_numpy(np.float32), frame[["c"]].to_numpy(object))
        return [_read(p) for p in found[:, 1].tolist()]

    def predict(self, rows: list[dict[str, Any]]) -> list[Read]:
        answer = self.client.post("/predict", data=json.dumps({"rows": rows}), content_type="application/json")
        if answer.status_code != 200:
            return [Read(None, answer.json["detail"])]
        return [_read(one["probabilities"]["1"]) for one in answer.json["predictions"]]

    def csv(self, rows: list[dict[str, Any]]) -> list[Read]:
        return self._file(pd.DataFrame(rows, dtype=object).to_csv(index=False).encode(), "t.csv")

    def parquet(self, rows: list[dict[str, Any]]) -> list[Read]:
        out = io.BytesIO()
        pd.DataFrame(rows).to_parquet(out, index=False)
        return self._file(out.getvalue(), "t.parquet")

    def invocations(self, rows: list[dict[str, Any]]) -> list[Read]:
        return self._invoked(json.dumps({"dataframe_records": rows}).encode(), "application/json")

    def invocations_csv(self, rows: list[dict[str, Any]]) -> list[Read]:
        return self._invoked(pd.DataFrame(rows, dtype=object).to_csv(index=False).encode(), "text/csv")

    def v2(self, rows: list[dict[str, Any]]) -> list[Read]:
        inputs = []
        for name in ("n", "c"):
            cells = [row[name] for row in rows]
            kind = next((k for k in (bool, str, int, float) if any(type(cell) is k for cell in cells)), float)
            datatype = {bool: "BOOL", str: "BYTES", int: "INT64", float: "FP64"}[kind]
            inputs.append({"name": name, "shape": [len(rows)], "datatype": datatype, "data": cells})
        path = f"/v2/models/{self.app.extensions['refit'].settings.registry.model_name}/infer"
        answer = self.client.post(path, data=json.dumps({"inputs": inputs}), content_type="application/json")
        if answer.status_code != 200:
            return [Read(None, answer.json["error"])]
        probabilities = np.reshape(answer.json["outputs"][2]["data"], (-1, 2))
        return [_read(p) for p in probabilities[:, 1].tolist()]

    def mlflow(self, rows: list[dict[str, Any]]) -> list[Read]:
        from mlflow.exceptions import MlflowException

        logging.disable(logging.WARNING)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = self.stock.predict(pd.DataFrame(rows))
        except (MlflowException, ValueError) as error:  # the first has the sentence of the second in it
            return [Read(None, str(error))]
        finally:
            logging.disable(logging.NOTSET)
        return [_read(p) for p in answer["probability_1"].tolist()]

    def _file(self, content: bytes, name: str) -> list[Read]:
        answer: TestResponse = self.client.post(
            "/predict/file", data={"file": (io.BytesIO(content), name)}, headers={"Accept": "application/json"}
        )
        if answer.status_code != 200:
            return [Read(None, answer.json["detail"])]
        return [_read(one["probabilities"]["1"]) for one in answer.json["predictions"]]

    def _invoked(self, body: bytes, kind: str) -> list[Read]:
        answer = self.client.post("/invocations", data=body, content_type=kind)
        if answer.status_code != 200:
            return [Read(None, answer.json["message"])]
        return [_read(one["probability_1"]) for one in answer.json["predictions"]]


def _read(probability: float) -> Read:
    return Read(math.log(probability / (1 - probability)))


ENTRANCES = ("training", "predict", "csv", "parquet", "invocations", "invocations_csv", "v2", "mlflow")
AS_TEXT = ("csv", "invocations_csv")
MADE: dict[str, Callable[[Path], Entrances]] = {
    "plain": lambda folder: Entrances(folder, missing_markers=("", " ", "NA", "-999")),
    "comma": lambda folder: Entrances(folder, missing_markers=("", " ", "NA", "-999"), decimal=","),
    "german": lambda folder: Entrances(folder, missing_markers=("", " ", "NA", "-999"), **GERMAN),
}


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Entrances]]:
    made = {name: make(tmp_path_factory.mktemp(name)) for name, make in MADE.items()}
    yield made
    for one in made.values():
        one.app.extensions["refit"].close()


CATEGORIES: list[tuple[Any, str | None]] = [
    ("red", "red"), (" red ", "red"), ("red\u00a0", "red"), ("Red", None), ("blue", None),
    ("Caf\u00e9", "Café"), ("Cafe\u0301", "Café"), ("New\u00a0York", "New York"), ("red\u200b", "red"),
    (True, "True"), ("True", "True"), ("TRUE", "True"), ("true", "True"), ("ｔｒｕｅ", "True"), (False, "False"),
    ("FALSE", "False"),
    (3, "3"), (3.0, "3"), ("3", "3"), ("3.0", "3"), ("3.00", "3"), (" 3", "3"), ("３", "3"), ("٣", "3"),
    ("１２", "12"), (12, "12"), ("3.50", "3.50"), ("3.5", None), ("007", "007"), (7, None), (-5, "-5"), ("−5", "-5"),
    (8, None), ("8", None), (8.0, None), (1.5, None),
    (None, ""), ("", ""), (" ", ""), ("NA", ""), (" NA", ""), (-999, ""), ("-999", ""), (-999.0, ""), ("-999.0", ""),
]  # fmt: skip


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize(("cell", "level"), CATEGORIES, ids=[repr(cell) for cell, _ in CATEGORIES])
def test_a_category_is_the_same_at_every_entrance(
    doors: dict[str, Entrances], entrance: str, cell: Any, level: str | None
) -> None:
    """The level that the cell spells, missing, or a new category, which is scored as such and never an error."""
    (found,) = getattr(doors["plain"], entrance)([{"n": 0.0, "c": cell}])
    expected = UNSEEN if level is None else MISSING if level == "" else ANSWERS[level]
    assert found.score == pytest.approx(expected, abs=NEAR)


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_one_missing_cell_in_a_frame_of_codes(doors: dict[str, Entrances], entrance: str) -> None:
    """It makes pandas write 3 as 3.0."""
    found = getattr(doors["plain"], entrance)([{"n": 0.0, "c": 3}, {"n": 0.0, "c": None}, {"n": 0.0, "c": 12}])
    assert [one.score for one in found] == pytest.approx([ANSWERS["3"], MISSING, ANSWERS["12"]], abs=NEAR)


BY_EVIDENCE = ("csv", "parquet")

NUMBERS: list[tuple[str, Any, float | str | None]] = [
    ("plain", 5, 5.0), ("plain", 5.0, 5.0), ("plain", True, 1.0), ("plain", False, 0.0),
    ("plain", "5", 5.0), ("plain", " 5 ", 5.0), ("plain", "+5", 5.0), ("plain", "5e1", 50.0), ("plain", "５０", 50.0),
    ("plain", "٥", 5.0), ("plain", "−5", -5.0), ("plain", ".5", 0.5), ("plain", "12.500", 12.5),
    ("plain", None, None), ("plain", "", None), ("plain", "NA", None), ("plain", " NA ", None),
    ("plain", "nan", None), ("plain", "inf", None), ("plain", -999, None), ("plain", "-999.0", None),
    ("plain", "?", "'?'"), ("plain", "1,234", "'1,234'"), ("plain", "1_000", "'1_000'"), ("plain", "0x10", "'0x10'"),
    ("plain", "$5", "'$5'"), ("plain", "5 %", "'5 %'"), ("plain", "(5.00)", "'(5.00)'"), ("plain", "true", "'true'"),
    ("german", "12,5", 12.5), ("german", "1.234,5", 1234.5), ("german", "1.234", 1234.0), ("german", "12", 12.0),
    ("german", "12.5", "'12.5'"), ("german", "1.23", "'1.23'"), ("german", "12.5,0", "'12.5,0'"),
    ("german", 12.5, 12.5),
]  # fmt: skip


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize(("door", "cell", "said"), NUMBERS, ids=[f"{door} {cell!r}" for door, cell, _ in NUMBERS])
def test_a_number_is_the_same_at_every_entrance(
    doors: dict[str, Entrances], entrance: str, door: str, cell: Any, said: float | str | None
) -> None:
    """The number, missing, or the sentence that names the column and the cell."""
    if isinstance(cell, bool) and entrance in AS_TEXT:
        said = f"'{cell}'"  # CSV has words, no booleans
    if entrance in AS_TEXT and door == "german" and isinstance(cell, float):
        cell = str(cell).replace(".", ",")  # as a file of that model writes it
    if entrance in BY_EVIDENCE and door == "german" and cell in ("12.5", "1.23"):
        said = float(cell)  # a file's own cells decide how its numbers are written
    if entrance == "v2" and isinstance(cell, str):
        said = "expected a numeric datatype such as FP64, got BYTES"  # the protocol's tensors are typed
    (found,) = getattr(doors[door], entrance)([{"n": cell, "c": "red"}])
    if isinstance(said, str):
        assert found.score is None
        assert said in found.sentence
        assert "column 'n'" in found.sentence or entrance == "v2"
    else:
        score = NO_NUMBER if said is None else said / SCALE
        assert found.score == pytest.approx(score + ANSWERS["red"], abs=NEAR)


@pytest.mark.parametrize("entrance", [name for name in ENTRANCES if name != "v2"])
@pytest.mark.parametrize(("words", "taken"), [(5, True), (6, False)])
def test_a_few_words_are_missing_at_every_entrance(
    doors: dict[str, Entrances], entrance: str, words: int, taken: bool
) -> None:
    """As many as in training, 5% of the cells that say something: what a model was trained on, it also scores."""
    cells = ["5"] * (100 - words) + [None] * 10 + ["?"] * words
    found = getattr(doors["plain"], entrance)([{"n": cell, "c": "red"} for cell in cells])
    if taken:
        assert [one.score for one in found] == pytest.approx([0.51] * (100 - words) + [4.5] * (10 + words), abs=NEAR)
    else:
        assert "expected a" in found[0].sentence
        assert "'?'" in found[0].sentence


@pytest.mark.parametrize("content", ["n;c\n12,5;red\n;red\n", "n;c\n12,5;red\nNA;red\n1.234;red\n"])
def test_a_file_with_a_decimal_comma_comes_back_with_one(doors: dict[str, Entrances], content: str) -> None:
    """It can be sent again as it is."""
    client = doors["comma"].client if "." not in content else doors["german"].client
    answer = client.post("/predict/file", data={"file": (io.BytesIO(content.encode()), "t.csv")})
    rows = list(csv.DictReader(io.StringIO(answer.text), delimiter=";"))
    assert rows[0]["n"] == "12,5"
    again = client.post("/predict/file", data={"file": (io.BytesIO(answer.data), "t.csv")})
    assert [row["probability_1"] for row in csv.DictReader(io.StringIO(again.text), delimiter=";")] == [
        row["probability_1"] for row in rows
    ]


LABELS: list[tuple[Any, str | None]] = [
    (1, "1"), (1.0, "1"), ("1", "1"), (" 1", "1"), ("1.0", "1"), ("１", "1"), (True, "1"), ("true", "1"), ("TRUE", "1"),
    (0, "0"), (False, "0"), ("False", "0"), ("0.0", "0"), (2, None), ("yes", None), (None, None), ("", None),
    ([], None),
]  # fmt: skip


@pytest.mark.parametrize(("label", "meant"), LABELS, ids=[repr(label) for label, _ in LABELS])
def test_a_label_may_come_back_in_any_spelling(doors: dict[str, Entrances], label: Any, meant: str | None) -> None:
    """As JSON, and as CSV where it is text: what is logged is the class; another label is told with the classes."""
    one = doors["plain"]
    before = len(logged_labels(Path(one.app.extensions["refit"].settings.home)))
    answers = [one.client.post("/feedback", json={"feedback": [{"prediction_id": "p", "label": label}]})]
    if isinstance(label, str):
        body = f"prediction_id,label\np,{label}\n".encode()
        answers.append(one.client.post("/feedback", data=body, content_type="text/csv"))
    for answer in answers:
        assert answer.status_code == (422 if meant is None else 200)
        if meant is None:
            assert "expected one of '0', '1'" in answer.json["detail"]
    kept = logged_labels(Path(one.app.extensions["refit"].settings.home))[before:]
    assert kept == ([("p", meant)] * len(answers) if meant is not None else [])
