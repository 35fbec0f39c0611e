"""What one request may cost is bounded by what it declares or by a count, before the work is done."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flask.testing import FlaskClient

from serving.api import guard
from serving.app import create_app
from serving.auth import limits
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


@pytest.mark.parametrize("path", ["/predict", "/explain", "/feedback", "/actions", "/invocations", MODEL])
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


def test_tensors_are_limited_by_what_goes_in_and_out(make: Make) -> None:
    """They are held in memory as wholes: four columns in, four outputs and two classes out."""
    client = make(serving={"max_tensor_cells": 1_000})

    def asked(n: int) -> int:
        inputs = [{"name": name, "shape": [n], "datatype": "FP64", "data": [1.0] * n} for name in tiny.row()]
        return client.post(MODEL, json={"inputs": inputs}).status_code

    assert (asked(100), asked(101)) == (200, 413)


def test_labels_in_csv_are_counted_before_they_are_read(client: FlaskClient) -> None:
    lines = b"prediction_id,label\n" + b"\n" * 400_000
    answer = client.post("/feedback", data=lines, content_type="text/csv")
    assert answer.status_code == 413


def test_tables_leave_room_in_the_backlog_for_single_rows(make: Make) -> None:
    """A quarter of it; files beyond that are told to wait."""
    client = make(log={"max_backlog_bytes": 10_000})
    table = b"f0,f1,f2,f3\n" + b"1,2,3,4\n" * 30
    headers = {"Content-Type": "text/csv"}
    assert client.post("/predict/file", data=table, headers=headers).status_code == 200
    client.application.extensions["refit"].log._watch_backlog()
    for path in ("/predict/file", "/invocations"):
        answer = client.post(path, data=table, headers=headers)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert client.post("/predict", json={"rows": [tiny.row()]}).status_code == 200


@pytest.mark.parametrize("path", ["/predict/file", "/invocations"])
def test_work_ends_when_its_client_has_gone(client: FlaskClient, path: str) -> None:
    """What was scored until then is logged, the rest is not."""
    answer = client.post(
        path,
        data=b"f0,f1,f2,f3\n" + b"1,2,3,4\n" * 30,
        content_type="text/csv",
        environ_overrides={guard.CLIENT_GONE: lambda: True},
    )
    assert answer.status_code == 408


def test_only_the_schemas_columns_are_read_where_the_answer_does_not_repeat_the_others(client: FlaskClient) -> None:
    """A column of a kind that cannot be answered as JSON is no hindrance then."""
    table = parquet(rows_of(2, other=pa.array([1, 2], pa.duration("s"))))
    for path in ("/predict/file?format=json", "/invocations"):
        answer = client.post(path, data=table, content_type="application/vnd.apache.parquet")
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("target", "kind", "packed", "size", "heavy"),
    [
        ("/predict", "application/json", False, 900_000, False),
        ("/predict", "application/json", False, 1_100_000, True),
        ("/predict/file", "text/csv", False, 9_000, False),
        ("/predict/file?name=a.csv.gz", "text/csv", False, 9_000, True),
        ("/predict/file", "text/csv", True, 9_000, True),
        ("/predict/file", "application/octet-stream", False, 9_000, True),
        ("/invocations", "application/vnd.apache.parquet", False, 9_000, True),
        ("/file", "multipart/form-data; boundary=B", False, 9_000, True),
        ("/file/token/name", "", False, 0, False),
        ("/models", "", False, 0, False),
    ],
)
def test_what_may_take_much_memory_is_known_before_it_does(
    target: str, kind: str, packed: bool, size: int, heavy: bool
) -> None:
    assert limits.is_heavy(target, kind, packed, size) is heavy
