"""Every route against requests that are nearly right: the right form with one or several parts replaced by odd ones.

Bytes at random are refused at the door; what reaches the code behind it is built as its callers build it. What was
found is kept below as `FOUND`, and tried first.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving.mixed import ROW, application, logged_ids

QUICK = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
INFER = "/v2/models/One_Customer_Classifier/infer"
LENGTH = "Inference-Header-Content-Length"

ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 2**63, -(2**64), 10**4000, 1e308, float("nan"), float("inf"), "", " ", "NaN", "0x10",
    "1e400", "\ud800", "a\ud800b", "\0", "\n", "=1+1", "é" * 300, "x" * 5000, "१२", "²", [], [[]], [[[[1]]]], {},
    {"a": 1}, [None], ["\ud800"], [1, "a", None, {}], {"prediction_id": 1}, [{}], [10**4000],
)  # fmt: skip
odd = st.sampled_from(ODD)
scalar = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
strange = odd | scalar | st.lists(odd | scalar, max_size=3)
key = st.sampled_from(["n0", "n1", "c0", "prediction_id", "x", "", "\ud800", "rows", "label", "a" * 300])


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with application(tmp_path_factory.mktemp("fuzz")) as app:
        yield app


def as_json(content: Any) -> bytes:
    """As Python's clients write it: NaN and lone surrogates in it, and integers of any length."""
    return json.dumps(content, default=str).encode()


def check(app: Flask, method: str, path: str, data: Any = None, **headers: str) -> None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = app.test_client().open(path, method=method, data=data, headers=named)
    content = answer.get_data()
    answer.close()
    assert answer.status_code < 500, (answer.status_code, method, path[:200], str(data)[:2000], named, content[:300])


def named(*names: bytes) -> bytes:
    """A Parquet file of one row with columns of these two-byte names, UTF-8 or not."""
    table = pa.table({f"q{i}": [1.0] for i in range(len(names))})
    out = io.BytesIO()
    pq.write_table(table, out, store_schema=False)
    content = out.getvalue()
    for i, name in enumerate(names):
        content = content.replace(f"q{i}".encode(), name)
    return content


TENSORS: list[dict[str, Any]] = [
    {"name": "n0", "shape": [1], "datatype": "FP64", "data": [1.5]},
    {"name": "n1", "shape": [1], "datatype": "FP64", "data": [2]},
    {"name": "c0", "shape": [1], "datatype": "BYTES", "data": ["red"]},
]
HUGE = {"name": "n0", "shape": [10**4000], "datatype": "FP64", "parameters": {"binary_data_size": 8}}
JSON_TYPE, PARQUET_TYPE = {"Content_Type": "application/json"}, {"Content_Type": "application/vnd.apache.parquet"}
FOUND: dict[str, tuple[str, Any, dict[str, str]]] = {
    "digits": (INFER, b"{}", JSON_TYPE | {LENGTH.replace("-", "_"): "9" * 5000}),
    "shape": (INFER, {"inputs": [HUGE]}, JSON_TYPE),
    "output": (INFER, {"inputs": TENSORS, "outputs": [{"name": ["label"]}]}, JSON_TYPE),
    "id": (INFER, {"id": "\ud800", "inputs": TENSORS}, JSON_TYPE),
    "names": ("/predict/file", named(b"n0", b"\xff\xfe"), PARQUET_TYPE),
    "names for MLflow": ("/invocations", named(b"\xff0"), PARQUET_TYPE),
}


@pytest.mark.parametrize("found", list(FOUND))
def test_what_was_found_is_refused_and_not_logged(found: str, tmp_path: Path) -> None:
    path, body, headers = FOUND[found]
    with application(tmp_path) as app:
        answer = app.test_client().post(
            path,
            data=body if isinstance(body, bytes) else as_json(body),
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        assert 400 <= answer.status_code < 500, answer.text
    assert logged_ids(tmp_path) == []


@st.composite
def changed(draw: st.DrawFn, content: Any, most: int = 3) -> Any:
    """`content` with up to `most` of its parts, at any depth, replaced, dropped, or given another key."""
    content = json.loads(json.dumps(content))
    for _ in range(draw(st.integers(1, most))):
        place, step = content, None
        while isinstance(place, dict | list) and place and (step is None or draw(st.booleans())):
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            parent, step = place, draw(st.sampled_from(keys))
            place = place[step]
        if step is None:
            return deepcopy(draw(strange))
        what = draw(st.sampled_from(["replace", "replace", "replace", "drop", "add", "repeat"]))
        if what == "replace":
            parent[step] = deepcopy(draw(strange))
        elif what == "drop":
            del parent[step]
        elif isinstance(parent, dict):
            parent[draw(key)] = deepcopy(draw(strange))
        elif what == "repeat":
            parent.append(deepcopy(parent[step]))
        else:
            parent.append(deepcopy(draw(strange)))
    return content


FORMS = ("/", "/label", "/labels", "/file", "/feedback", "/language")
TABLES = ("/predict/file", "/invocations", "/feedback", "/file", "/labels")
ROWS = [ROW, {"n0": 2, "n1": None, "c0": "green"}]
JSON: dict[str, tuple[Any, ...]] = {
    "/predict": (
        {"rows": ROWS}, {"rows": ROWS, "prediction_ids": ["a", None]}, {"rows": [ROW | {"prediction_id": "a"}]},
    ),
    "/explain": ({"rows": ROWS},),
    "/feedback": (
        {"feedback": [{"prediction_id": "a", "label": "yes"}, {"prediction_id": "b", "label": "no"}]},
        [{"prediction_id": "a", "label": "yes"}],
        {"prediction_id": "a", "label": "yes"},
    ),
    "/actions": (
        {"actions": [{"prediction_id": "a", "action": "approve", "propensity": 0.25}]},
        [{"prediction_id": "a", "action": "approve"}, {"prediction_id": 7, "action": "call", "propensity": None}],
        {"prediction_id": "a", "action": "approve", "propensity": 1},
    ),
    "/invocations": (
        {"dataframe_split": {"columns": ["n0", "n1", "c0"], "index": [0], "data": [[1, 2, "red"]]}},
        {"dataframe_records": ROWS},
        {"instances": ROWS},
        {"instances": [[1, 2, "red"]]},
        {"inputs": {"n0": [1.0], "n1": [2], "c0": ["red"]}},
        {"inputs": ROW, "params": {}},
    ),
    INFER: (
        {
            "id": "q",
            "parameters": {"binary_data_output": True},
            "inputs": [
                {"name": "n0", "shape": [1], "datatype": "FP64", "data": [1.5], "parameters": {}},
                {"name": "n1", "shape": [1, 1], "datatype": "INT32", "data": [[2]]},
                {"name": "c0", "shape": [1], "datatype": "BYTES", "data": ["red"]},
            ],
            "outputs": [{"name": "label", "parameters": {"binary_data": True}}, {"name": "probabilities"}],
        },
    ),
}  # fmt: skip


@QUICK
@given(data=st.data(), path=st.sampled_from(list(JSON)))
def test_json(app: Flask, data: st.DataObject, path: str) -> None:
    content = data.draw(changed(data.draw(st.sampled_from(JSON[path]))))
    check(app, "POST", path, as_json(content), Content_Type="application/json")


@QUICK
@given(
    length=st.sampled_from(["", "-1", "1", "²", "1.0", "9" * 5000, "0" * 5000, "１"]) | st.integers(0, 400).map(str),
    head=changed(JSON[INFER][0]) | changed({"inputs": [{"name": "n0", "shape": [10**300], "datatype": "FP64",
                                                        "parameters": {"binary_data_size": 8}}]}),
    rest=st.binary(max_size=30),
    coding=st.sampled_from(["", "identity", "gzip", "deflate", "br", "gzip, gzip"]),
)  # fmt: skip
def test_binary_tensors(app: Flask, length: str, head: Any, rest: bytes, coding: str) -> None:
    encoded = as_json(head)
    for said in (length, str(len(encoded))):
        headers = {"Content_Type": "application/json", LENGTH.replace("-", "_"): said.encode().decode("latin-1")}
        check(app, "POST", INFER, encoded + rest, **headers, **({"Content_Encoding": coding} if coding else {}))


cell = st.sampled_from(["1", "-2.5", "", "red", "NaN", "inf", "1e999", "9" * 400, '"a""b"', '"', "a,b", "\0", "é",
                        "\t1", "=1+1", "'", "\r", "\u2028", "١"]) | st.text(max_size=5)  # fmt: skip
QUERIES = ("", "?format=csv", "?format=json", "?format=parquet")
header = st.sampled_from(["n0", "n1", "c0", "prediction_id", "x", "", "n0 ", '"n1"', "é", "\ufeffn0"])


@QUICK
@given(
    names=st.permutations(["n0", "n1", "c0"]) | st.lists(header, max_size=5),
    rows=st.lists(st.lists(cell, min_size=2, max_size=4), max_size=4),
    ends=st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    encoding=st.sampled_from(["utf-8", "utf-16", "latin-1", "utf-8-sig"]),
    query=st.sampled_from([*QUERIES, "?format=x", "?name=a.parquet", "?name=a.csv.gz"]),
    path=st.sampled_from(TABLES),
)  # fmt: skip
def test_csv(
    app: Flask, names: list[str], rows: list[list[str]], ends: str, encoding: str, query: str, path: str
) -> None:
    text = ends.join([",".join(names), *(",".join(row) for row in rows)])
    body = text.encode(encoding, "replace")
    if path in ("/file", "/labels"):
        check(app, "POST", path, {"file": (io.BytesIO(body), f"a{query}.csv")})
    else:
        check(app, "POST", path + (query if path == "/predict/file" else ""), body, Content_Type="text/csv")


KINDS = (
    pa.float64(), pa.float16(), pa.int8(), pa.uint64(), pa.bool_(), pa.string(), pa.large_string(), pa.binary(),
    pa.null(), pa.string_view(), pa.date32(), pa.timestamp("ns", "UTC"), pa.time64("ns"), pa.duration("s"),
    pa.decimal128(38, 10), pa.decimal256(76, 0), pa.dictionary(pa.int32(), pa.string()),
    pa.list_(pa.float64()), pa.list_(pa.float64(), 2),
    pa.struct([("a", pa.int8())]), pa.map_(pa.string(), pa.int8()), pa.binary(3),
)  # fmt: skip


@st.composite
def parquet(draw: st.DrawFn) -> bytes:
    """A small table of any types, written by Arrow; some bytes of it overwritten or cut, now and then."""
    n = draw(st.integers(0, 3))
    names = draw(st.permutations(["n0", "n1", "c0"]) | st.lists(header, max_size=4))
    columns = []
    for _ in names:
        kind = draw(st.sampled_from([*KINDS, pa.float64(), pa.float64(), pa.string()]))
        one = st.none() | st.sampled_from([1, 0.5, "red", b"\xff\xfe", True, "", [1.0, 2.0], {"a": 1}])
        values = draw(st.lists(one, min_size=n, max_size=n))
        try:
            columns.append(pa.array(values, kind))
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            columns.append(pa.nulls(n, kind))
    out = io.BytesIO()
    try:
        pq.write_table(
            pa.table(columns, names=list(names)), out, compression=draw(st.sampled_from(["none", "zstd", "snappy"]))
        )
    except pa.ArrowException:
        return b"PAR1"
    content = bytearray(out.getvalue())
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.sampled_from([None, None, None, -8, len(content) // 2]))])


@QUICK
@given(
    body=parquet(),
    query=st.sampled_from(QUERIES),
    path=st.sampled_from(["/predict/file", "/invocations", "/file"]),
)
def test_parquet(app: Flask, body: bytes, query: str, path: str) -> None:
    if path in ("/file", "/labels"):
        check(app, "POST", path, {"file": (io.BytesIO(body), "a.parquet")})
    else:
        check(app, "POST", path + (query if path == "/predict/file" else ""), body,
              Content_Type="application/vnd.apache.parquet")  # fmt: skip


field = st.sampled_from(
    ["1", "", "1,5", "1.000,5", "nan", "1e999", "red", "\0", "\ud800", "é" * 300, "9" * 5000]
) | st.text(max_size=6)


@QUICK
@given(
    values=st.dictionaries(st.sampled_from(["c0", "c1", "c9", "prediction_id", "label", "file", "language"]), field),
    path=st.sampled_from(FORMS),
    language=st.sampled_from(["", "vi", "en;q=x", "vi-VN,*;q=0.1", "\xff"]),
)  # fmt: skip
def test_forms(app: Flask, values: dict[str, str], path: str, language: str) -> None:
    body = "&".join(f"{name}={quote(value, errors='replace')}" for name, value in values.items())
    raw = "&".join(f"{name}={value}" for name, value in values.items()).encode("utf-8", "replace")
    for data in (body.encode(), raw):
        check(app, "POST", path, data, Content_Type="application/x-www-form-urlencoded", Accept_Language=language)


ADDRESSES = (
    "/", "/models", "/monitoring", "/model", "/metrics", "/docs", "/openapi.json", "/health", "/health/live",
    "/health/ready", "/ping", "/version", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models", "/v2/models/{}",
    "/v2/models/{}/ready", "/v2/models/{}/infer", "/v2/models/{}/versions/{}", "/v2/models/{}/versions/{}/ready",
    "/v2/models/{}/versions/{}/infer", "/file/{}/{}", "/models/figure/{}", "/monitoring/report/{}", "/static/{}",
    "/models/{}", "/{}",
)  # fmt: skip


def test_every_route_is_among_them(app: Flask) -> None:
    known = {*ADDRESSES, *FORMS, *TABLES, *JSON}
    assert {re.sub("<[^>]+>", "{}", rule.rule) for rule in app.url_map.iter_rules()} <= known


@QUICK
@given(
    path=st.sampled_from(ADDRESSES),
    part=st.text(max_size=6)
    | st.sampled_from(["", "..", "%2e%2e", "\0", "\ud800", "é" * 300, "1", "A" * 22, "a/b", INFER.split("/")[3]]),
    query=st.sampled_from(["", "empty", "thanks", "lang", "language", "version", "a", "page", "changes", "format"]),
    method=st.sampled_from(["GET", "GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"]),
    accept=st.sampled_from(["", "*/*", "text/html", "application/json", "a/b;q=z", ";", "\xff"]),
)  # fmt: skip
def test_addresses(app: Flask, path: str, part: str, query: str, method: str, accept: str) -> None:
    place = quote(part, safe="/%", errors="replace")
    check(app, method, path.replace("{}", place) + (f"?{query}={place}" if query else ""), Accept=accept)
