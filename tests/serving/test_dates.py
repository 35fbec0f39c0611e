"""A model of dates and of numbers with a unit: all entrances read them alike, all answers write them as dates."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask import Flask
from flask.testing import FlaskClient

import predict_client
from ml.bundle.reader import Bundle
from ml.settings import from_values
from serving.app import create_app
from serving.model.store import Pointer, write_pointer
from tests.ml import dated

INFER = "/v2/models/One_Customer_Classifier/infer"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    home = tmp_path_factory.mktemp("dates")
    folder = home / "var" / "serving"
    write_pointer(folder, Pointer("3", "cache/3", dated.bundle(folder / "cache" / "3").sha256))
    app = create_app(from_values({"home": str(home)}))
    yield app
    app.extensions["refit"].close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(scope="module")
def opened(app: Flask) -> Bundle:
    assert app.test_client().get("/health/ready").status_code == 200
    found: Bundle = app.extensions["refit"].served().bundle
    return found


RAW = dated.table(20, seed=7)
RECORDS: list[dict[str, Any]] = [
    {name: cell if cell != "" else None for name, cell in row.items()} for row in RAW[dated.NAMES].to_dict("records")
]


def test_every_entrance_gives_the_same_numbers(client: FlaskClient, opened: Bundle) -> None:
    wanted = dated.expected(opened, RAW)
    rows = [record | {"age": float(record["age"])} for record in RECORDS]
    one_by_one = [client.post("/predict", json={"rows": [row | {"term": 12.0}]}) for row in rows]
    assert [answer.status_code for answer in one_by_one] == [200] * len(rows)
    later = client.post("/predict", json={"rows": [rows[1] | {"term": 12.0, "signup": "2035-01-01"}]})
    assert not any("warnings" in one for a in (*one_by_one, later) for one in a.json["predictions"])
    predicted = client.post("/predict", json={"rows": rows}).json["predictions"]
    found = {"/predict": [one["probabilities"]["yes"] for one in predicted]}
    content = RAW[dated.NAMES].to_csv(index=False).encode()
    answer = client.post("/predict/file", data={"file": (io.BytesIO(content), "t.csv")})
    table = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["signup"] for row in table] == RAW["signup"].tolist()
    found["/predict/file"] = [float(row["probability_yes"]) for row in table]
    out = io.BytesIO()
    RAW[dated.NAMES].assign(last_order=pd.to_datetime(RAW["last_order"])).to_parquet(out, index=False)
    answer = client.post("/predict/file?format=csv", data={"file": (io.BytesIO(out.getvalue()), "t.parquet")})
    found["Parquet"] = [float(row["probability_yes"]) for row in csv.DictReader(io.StringIO(answer.text))]
    for key in ("dataframe_records", "instances"):
        answer = client.post("/invocations", json={key: RECORDS})
        found[key] = [one["probability_yes"] for one in answer.json["predictions"]]
    tensors = [
        {"name": name, "datatype": "BYTES", "shape": [len(RAW)], "data": RAW[name].tolist()}
        if name != "age"
        else {"name": name, "datatype": "FP64", "shape": [len(RAW)], "data": RAW[name].astype(float).tolist()}
        for name in dated.NAMES
    ]
    outputs = client.post(INFER, json={"inputs": tensors}).json["outputs"]
    (probabilities,) = (o["data"] for o in outputs if o["name"] == "probabilities")
    found["/v2"] = np.reshape(probabilities, (len(RAW), 2))[:, opened.schema.classes.index("yes")].tolist()
    for entrance, values in found.items():
        np.testing.assert_allclose(values, wanted, atol=1e-6, err_msg=entrance)


def test_a_file_is_read_in_the_order_of_dates_that_it_shows(client: FlaskClient, opened: Bundle) -> None:
    """A month first in a file for a model of days first: its own cells decide."""
    days = pd.to_datetime(RAW["signup"], format="%d/%m/%Y", errors="coerce")
    other = RAW.assign(signup=days.dt.strftime("%m/%d/%Y").fillna(""))
    content = other[dated.NAMES].to_csv(index=False, sep=";").encode()
    answer = client.post("/predict/file", data={"file": (io.BytesIO(content), "t.csv")})
    assert answer.status_code == 200, answer.text
    found = [float(row["probability_yes"]) for row in csv.DictReader(io.StringIO(answer.text), delimiter=";")]
    np.testing.assert_allclose(found, dated.expected(opened, RAW), atol=1e-6)


def test_the_order_of_dates_may_be_said(client: FlaskClient, opened: Bundle) -> None:
    """Of a part of a file whose own cells do not decide; the batch client says what all of its file shows."""
    row = RAW[dated.NAMES].head(1)
    for order, day in (("day-first", "03/04/2024"), ("month-first", "04/03/2024")):
        content = row.assign(signup=day).to_csv(index=False).encode()
        answer = client.post(f"/predict/file?dates={order}", data={"file": (io.BytesIO(content), "t.csv")})
        (found,) = csv.DictReader(io.StringIO(answer.text))
        wanted = dated.expected(opened, row.assign(signup="03/04/2024"))[0]
        assert float(found["probability_yes"]) == pytest.approx(wanted, abs=1e-6)
    assert client.post("/predict/file?dates=x", data={"file": (io.BytesIO(content), "t.csv")}).status_code == 422
    marks = predict_client.Marks(["d"])
    for cell in ("04/03/2024", "12/25/2024"):
        marks.add([cell])
    assert marks.dates() == "month-first"
    marks.add(["25.12.2024"])
    assert marks.dates() == ""


@pytest.mark.parametrize("cell", ["31/02/2024", "soon", 9000, True])
def test_what_is_no_date_is_refused_by_place(client: FlaskClient, cell: Any) -> None:
    rows = [RECORDS[1] | {"age": 30, "signup": cell}]
    answer = client.post("/predict", json={"rows": rows})
    assert answer.status_code == 422, answer.text
    assert answer.json["errors"][0] | {"column": "signup", "row": 0} == answer.json["errors"][0]
    assert "a date such as" in answer.json["errors"][0]["expected"]
    if isinstance(cell, str):
        content = RAW[dated.NAMES].head(1).assign(signup=cell).to_csv(index=False).encode()
        answer = client.post("/predict/file", data={"file": (io.BytesIO(content), "t.csv")})
        assert answer.json["errors"][0] | {"column": "signup", "line": 2} == answer.json["errors"][0]
    else:
        tensor = {"name": "signup", "datatype": "FP64", "shape": [1], "data": [9000.0]}
        rest = [
            {"name": n, "datatype": "BYTES", "shape": [1], "data": [RAW[n][1]]} for n in dated.NAMES if n != "signup"
        ]
        assert client.post(INFER, json={"inputs": [tensor, *rest]}).status_code == 400


def test_the_model_is_described_with_dates(client: FlaskClient) -> None:
    """The example is a row that /predict takes; the description of the API says what a date is."""
    example = client.get("/model").json["example"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", example["signup"])
    assert client.post("/predict", json={"rows": [example]}).status_code == 200
    properties = client.get("/openapi.json").json["components"]["schemas"]["Row"]["properties"]
    assert properties["signup"]["type"] == ["string", "null"]
    assert "A date" in properties["signup"]["description"]


def test_explanations_have_dates(client: FlaskClient) -> None:
    """Values that the model saw and values that would change the answer, as dates; they can be sent back."""
    rows = [record | {"age": 30} for record in RECORDS[1:6]]
    explained = client.post("/explain", json={"rows": rows}).json["explanations"]
    changed = 0
    for row, one in zip(rows, explained, strict=True):
        values = {each["column"]: each["value"] for each in one["attributions"]}
        assert values["last_order"][:10] == row["last_order"][:10]
        for change in (each for each in one["changes"] if each["column"] in ("signup", "last_order")):
            again = client.post("/predict", json={"rows": [row | {change["column"]: change["new"]}]})
            assert again.json["predictions"][0]["label"] == change["label"]
            changed += 1
    assert changed


@pytest.mark.parametrize(("language", "shown"), [("en", "5 Mar 2024"), ("vi", "05/03/2024")])
def test_the_form_asks_for_dates(client: FlaskClient, language: str, shown: str) -> None:
    headers = {"Accept-Language": language}
    page = client.get("/", headers=headers).text
    fields = dict(re.findall(r'name="(c\d)" value="([^"]*)" type="(?:date|datetime-local)"', page))
    assert set(fields) == {"c1", "c2"}
    form = {"c0": "30", "c1": "05/03/2024" if language == "vi" else "2024-03-05", "c2": "2024-05-01T10:30", "c3": "12",
            "c4": "a"}  # fmt: skip
    answer = client.post("/", data=form, headers=headers)
    assert answer.status_code == 200
    assert f"signup = {shown}" in answer.text
    assert 'value="2024-03-05"' in answer.text


def test_logged_dates_are_days(opened: Bundle) -> None:
    """As the canonical row has them, and read back as such for retraining."""
    from ml.schema.frame_coerce import canonical

    schema = opened.schema
    logged = pd.DataFrame([{"age": 30.0, "signup": 8800.0, "last_order": 8900.5, "term": 12.0, "plan": "a"}])
    x, _ = canonical(logged, schema.of_canonical_rows)
    assert x["signup"].tolist() == [8800.0]
    assert schema.of_canonical_rows.question == schema.question
    assert json.loads(schema.to_json())["columns"][1]["date_order"] == "day-first"
