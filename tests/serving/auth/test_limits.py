"""What one request may cost is bounded by what it declares or by a count, before the work is done."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flask.testing import FlaskClient

from serving.app import create_app
from tests.serving import tiny
from tests.serving.conftest import Make

MODEL = "/v2/models/One_Customer_Classifier/infer"
MANY = json.dumps({"rows": [], "x": [[]] * 3_000}).encode()


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def rows_of(n: int, **more: pa.Array) -> pa.Table:
    return pa.table({name: pa.repeat(pa.scalar(value), n) for name, value in tiny.row().items()} | more)


@pytest.fixture
def client(make: Make) -> FlaskClient:
    return make(
        serving={"max_json_values": 2_000, "max_file_rows": 1_000, "max_file_cells": 20_000, "max_json_bytes": 50_000}
    )


@pytest.mark.parametrize("path", ["/predict", "/explain", "/feedback", "/invocations", MODEL])
def test_values_of_a_json_body_are_counted_before_it_is_read(client: FlaskClient, path: str) -> None:
    answer = client.post(path, data=MANY, content_type="application/json")
    assert answer.status_code == 413
    assert b"at most 2000 values" in answer.data


@pytest.mark.parametrize("path", ["/predict", "/explain", "/feedback", "/invocations", MODEL, "/label", "/"])
def test_json_and_forms_have_a_smaller_limit_than_files(client: FlaskClient, path: str) -> None:
    assert client.post(path, data=b" " * 60_000, content_type="application/json").status_code == 413


@pytest.mark.parametrize("path", ["/predict/file", "/invocations"])
def test_rows_of_a_table_are_limited(client: FlaskClient, path: str) -> None:
    kind = "application/vnd.apache.parquet"
    assert client.post(path, data=parquet(rows_of(1_000)), content_type=kind).status_code == 200
    assert client.post(path, data=parquet(rows_of(1_001)), content_type=kind).status_code == 413
    line = ",".join(map(str, tiny.row().values()))
    csv = "\n".join([",".join(tiny.row()), *[line] * 1_001]).encode()
    assert client.post(path, data=csv, content_type="text/csv").status_code == 413


def test_cells_of_a_table_are_limited(client: FlaskClient) -> None:
    wide = rows_of(900, **{f"x{i}": pa.repeat(pa.scalar(1.0), 900) for i in range(30)})
    assert client.post("/predict/file", data=parquet(wide), content_type="application/x-parquet").status_code == 413


def test_rows_of_tensors_are_limited(client: FlaskClient) -> None:
    tensor = {"shape": [1_001], "datatype": "UINT8", "parameters": {"binary_data_size": 1_001}}
    inputs = [{"name": name, **tensor} for name in tiny.row()]
    head = json.dumps({"inputs": inputs}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    body = head + b"\1" * 1_001 * len(inputs)
    assert client.post(MODEL, data=body, headers=headers).status_code == 413


def test_long_text_that_a_page_says_once_is_not_written_out(tmp_path: Path) -> None:
    """A few kilobytes that would be gigabytes."""
    client = create_app(tiny.settings_for(tmp_path, serving={"max_body_bytes": 1_000_000}))
    settings = tiny.settings_for(tmp_path)
    tiny.publish(settings, "1")
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 5_000, pa.int32()), pa.array(["a" * 90_000])).cast(pa.string())
    bomb = parquet(rows_of(5_000, note=text))
    assert len(bomb) < 10_000
    answer = client.test_client().post("/predict/file", data=bomb, content_type="application/x-parquet")
    assert answer.status_code == 422
    assert b"unpacked" in answer.data
    client.extensions["refit"].close()


def test_lists_of_texts_are_refused(client: FlaskClient) -> None:
    lists = rows_of(2, note=pa.array([["a"], ["b"]]))
    answer = client.post("/predict/file", data=parquet(lists), content_type="application/x-parquet")
    assert answer.status_code == 422
