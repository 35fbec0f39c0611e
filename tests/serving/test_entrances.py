"""One table: what can come wrong or unusual × every entrance of the service. Each answers in its own protocol's form.

`/predict`, `/predict/file` (CSV and Parquet), `/explain`, `/feedback` (JSON and CSV), the page's `/label`,
`/invocations` (its JSON forms, CSV, Parquet), `/v2/…/infer` (JSON and binary).
"""

from __future__ import annotations

import gzip
import io
import json
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from ml.settings import from_values, to_values
from serving.app import create_app
from tests.serving.mixed import ROW, publish

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
NAMES = ["n0", "n1", "c0"]
INFER = "/v2/models/One_Customer_Classifier/infer"
MAX_ROWS = 60


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    home = tmp_path_factory.mktemp("entrances")
    values = to_values(publish(home)) | {"serving": {"max_rows": MAX_ROWS, "max_file_rows": MAX_ROWS}}
    app = create_app(from_values(values))
    yield app
    app.extensions["refit"].close()


class Sent(NamedTuple):
    body: bytes
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()


class Entrance(NamedTuple):
    """How rows get in. `rows` writes columns and cells as this entrance takes them; `count` reads an answer's rows;
    `form` is how it writes an error."""

    path: str
    rows: Callable[[list[str], list[list[Any]]], Sent]
    count: Callable[[TestResponse], int]
    form: str


# ---- writing rows


def _objects(names: list[str], cells: list[list[Any]]) -> str:
    """A list of JSON objects, by hand: a name that comes twice is written twice."""
    return "[" + ",".join(
        "{" + ",".join(f"{json.dumps(n)}:{json.dumps(c)}" for n, c in zip(names, row, strict=True)) + "}"
        for row in cells
    ) + "]"  # fmt: skip


def _csv(names: list[str], cells: list[list[Any]]) -> Sent:
    lines = [names, *(["" if c is None else str(c) for c in row] for row in cells)]
    return Sent("".join(",".join(line) + "\n" for line in lines).encode(), CSV)


def _parquet(names: list[str], cells: list[list[Any]]) -> Sent:
    kinds = {"n0": pa.float64(), "n1": pa.float64()}
    columns = []
    for j, name in enumerate(names):
        values = [row[j] for row in cells]
        number = name in kinds and not any(isinstance(v, str) for v in values)
        columns.append(pa.array(values if number else [v if v is None else str(v) for v in values],
                                kinds[name] if number else pa.string()))  # fmt: skip
    out = io.BytesIO()
    pq.write_table(pa.table(columns, names=names), out)
    return Sent(out.getvalue(), PARQUET)


def _split(names: list[str], cells: list[list[Any]]) -> Sent:
    return Sent(json.dumps({"dataframe_split": {"columns": names, "data": cells}}).encode(), JSON)


def _tensors(names: list[str], cells: list[list[Any]]) -> Sent:
    inputs = [
        {"name": name, "datatype": "BYTES" if any(isinstance(row[j], str) for row in cells) or name == "c0" else "FP64",
         "shape": [len(cells)], "data": [row[j] for row in cells]}
        for j, name in enumerate(names)
    ]  # fmt: skip
    return Sent(json.dumps({"inputs": inputs}).encode(), JSON)


def _binary(names: list[str], cells: list[list[Any]]) -> Sent:
    inputs, data = [], b""
    for j, name in enumerate(names):
        values = [row[j] for row in cells]
        if name == "c0" or any(isinstance(v, str) for v in values):
            texts = [str(v).encode() for v in values]
            made, datatype = b"".join(struct.pack("<I", len(t)) + t for t in texts), "BYTES"
        else:
            made, datatype = (
                struct.pack(f"<{len(values)}d", *(float("nan") if v is None else v for v in values)),
                "FP64",
            )
        data += made
        inputs.append({"name": name, "datatype": datatype, "shape": [len(cells)],
                       "parameters": {"binary_data_size": len(made)}})  # fmt: skip
    head = json.dumps({"inputs": inputs}).encode()
    return Sent(head + data, "application/octet-stream", (("Inference-Header-Content-Length", str(len(head))),))


def _labels(names: list[str], cells: list[list[Any]]) -> list[dict[str, Any]]:
    return [{"prediction_id": f"p{i}", "label": "yes"} for i in range(len(cells))]


# ---- the entrances


def _json(key: str) -> Callable[[list[str], list[list[Any]]], Sent]:
    return lambda names, cells: Sent(f'{{"{key}": {_objects(names, cells)}}}'.encode(), JSON)


def _lines(answer: TestResponse) -> int:
    return len(answer.text.splitlines()) - 1


def _of(key: str) -> Callable[[TestResponse], int]:
    return lambda answer: len(answer.json[key])


def _inferred(answer: TestResponse) -> int:
    return int(answer.json["outputs"][0]["shape"][0])


ENTRANCES = {
    "predict": Entrance("/predict", _json("rows"), _of("predictions"), "problem"),
    "file csv": Entrance("/predict/file", _csv, _lines, "problem"),
    "file parquet": Entrance(
        "/predict/file", _parquet, lambda a: int(pq.read_table(io.BytesIO(a.data)).num_rows), "problem"
    ),
    "explain": Entrance("/explain?changes=false", _json("rows"), _of("explanations"), "problem"),
    "records": Entrance("/invocations", _json("dataframe_records"), _of("predictions"), "mlflow"),
    "split": Entrance("/invocations", _split, _of("predictions"), "mlflow"),
    "invocations csv": Entrance("/invocations", _csv, _of("predictions"), "mlflow"),
    "invocations parquet": Entrance("/invocations", _parquet, _of("predictions"), "mlflow"),
    "infer": Entrance(INFER, _tensors, _inferred, "oip"),
    "infer binary": Entrance(INFER, _binary, _inferred, "oip"),
}
LABELS = {
    "feedback": Entrance(
        "/feedback",
        lambda n, c: Sent(json.dumps(_labels(n, c)).encode(), JSON),
        lambda a: a.json["accepted"],
        "problem",
    ),
    "feedback csv": Entrance(
        "/feedback",
        lambda n, c: Sent(("prediction_id,label\n" + "".join(f"p{i},yes\n" for i in range(len(c)))).encode(), CSV),
        lambda a: a.json["accepted"],
        "problem",
    ),
}
ALL = ENTRANCES | LABELS
entrances = pytest.mark.parametrize("name", ENTRANCES)
every = pytest.mark.parametrize("name", ALL)


def ask(app: Flask, name: str, sent: Sent, **headers: str) -> TestResponse:
    given = {k.replace("_", "-"): v for k, v in headers.items()} | dict(sent.headers)
    return app.test_client().post(ALL[name].path, data=sent.body, content_type=sent.content_type, headers=given)


def cells(n: int, **changed: Any) -> list[list[Any]]:
    return [list((ROW | changed).values()) for _ in range(n)]


def refused(answer: TestResponse, form: str, *statuses: int) -> str:
    """The message of an error in the entrance's own form."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    if form == "problem":
        assert answer.mimetype == "application/problem+json"
        assert answer.json["status"] == answer.status_code
        return str(answer.json["detail"])
    assert answer.mimetype == JSON
    if form == "oip":
        assert list(answer.json) == ["error"]
        return str(answer.json["error"])
    assert list(answer.json) == ["error_code", "message"]
    return str(answer.json["message"])


def wrong(name: str) -> int:
    """The status of rows that do not fit: neither MLflow nor the Open Inference Protocol has a 422."""
    return 422 if ALL[name].form == "problem" else 400


# ---- what fits


@every
def test_rows_that_fit(app: Flask, name: str) -> None:
    assert ALL[name].count(ask(app, name, ALL[name].rows(NAMES, cells(3)))) == 3


@every
def test_no_rows_are_an_empty_answer(app: Flask, name: str) -> None:
    answer = ask(app, name, ALL[name].rows(NAMES, []))
    assert answer.status_code == 200, answer.text
    assert ALL[name].count(answer) == 0


@pytest.mark.parametrize("body", ['{"dataframe_split": {"data": []}}', '{"instances": []}', '{"inputs": []}'])
def test_no_rows_in_mlflows_other_forms(app: Flask, body: str) -> None:
    answer = app.test_client().post("/invocations", data=body, content_type=JSON)
    assert (answer.status_code, answer.json["predictions"]) == (200, [])


@every
@pytest.mark.parametrize("members", [1, 2])
def test_a_gzip_body_is_unpacked_with_all_its_members(app: Flask, name: str, members: int) -> None:
    sent = ALL[name].rows(NAMES, cells(3))
    half = len(sent.body) // members
    packed = b"".join(gzip.compress(part) for part in (sent.body[:half], sent.body[half:]) if part)
    answer = ask(app, name, sent._replace(body=packed), Content_Encoding="gzip")
    assert answer.status_code == 200, answer.text
    assert ALL[name].count(answer) == 3


@entrances
def test_a_new_category_and_a_number_out_of_range_are_told(app: Flask, name: str) -> None:
    """Scored, counted in /metrics, and told with the answer."""
    answer = ask(app, name, ENTRANCES[name].rows(NAMES, cells(2, n0=1e6, c0="mauve")))
    assert answer.status_code == 200
    if name in ("predict", "explain"):
        (one, *_) = answer.json.get("predictions") or answer.json["explanations"]
        assert {flag["code"] for flag in one["warnings"]} == {"unseen_category", "out_of_range"}
        return
    told = {(one["column"], one["message"]) for one in json.loads(answer.headers["X-Warnings"])}
    assert told == {("c0", "2 rows: unseen category"), ("n0", "2 rows: out of range")}
    flagged = app.test_client().get("/metrics").text
    assert 'refit_flagged_inputs_total{code="unseen_category",column="c0"}' in flagged


@entrances
def test_warnings_in_a_header_are_few_and_short(app: Flask, name: str) -> None:
    """No answer has a header that a client's parser refuses; nothing unusual, no header."""
    answer = ask(app, name, ENTRANCES[name].rows(NAMES, cells(2)))
    assert "X-Warnings" not in answer.headers


@entrances
def test_a_missing_cell_is_taken(app: Flask, name: str) -> None:
    assert ENTRANCES[name].count(ask(app, name, ENTRANCES[name].rows(NAMES, cells(2, n0=None)))) == 2


# ---- what does not fit


@entrances
def test_an_unknown_column(app: Flask, name: str) -> None:
    """A table or MLflow's frame may have more columns, as those servers have it; a row or a tensor may not."""
    answer = ask(app, name, ENTRANCES[name].rows([*NAMES, "z"], [[*row, 1.0] for row in cells(2)]))
    if name in ("predict", "explain", "infer", "infer binary"):
        assert "'z'" in refused(answer, ENTRANCES[name].form, wrong(name))
    else:
        assert ENTRANCES[name].count(answer) == 2


@entrances
def test_a_missing_column(app: Flask, name: str) -> None:
    answer = ask(app, name, ENTRANCES[name].rows(NAMES[:2], [row[:2] for row in cells(2)]))
    assert "c0" in refused(answer, ENTRANCES[name].form, wrong(name))


@entrances
def test_a_doubled_column(app: Flask, name: str) -> None:
    """Never silently the last, or the first."""
    answer = ask(app, name, ENTRANCES[name].rows([*NAMES, "n0"], [[*row, 9.0] for row in cells(2)]))
    said = refused(answer, ENTRANCES[name].form, 400, wrong(name))
    assert "twice" in said or "two columns of one name" in said or "more than once" in said


@entrances
def test_a_word_in_a_number_column(app: Flask, name: str) -> None:
    answer = ask(app, name, ENTRANCES[name].rows(NAMES, cells(2, n0="many")))
    assert "n0" in refused(answer, ENTRANCES[name].form, wrong(name))


@every
def test_too_many_rows(app: Flask, name: str) -> None:
    answer = ask(app, name, ALL[name].rows(NAMES, cells(MAX_ROWS + 1)))
    if name in LABELS:  # their limit is another, by far
        assert answer.status_code == 200
    elif name in ("records", "split", "infer", "infer binary", "predict") or "csv" in name or "parquet" in name:
        assert "at most 60 rows" in refused(answer, ALL[name].form, 413)
    else:
        refused(answer, ALL[name].form, 413)


@every
def test_a_broken_body(app: Flask, name: str) -> None:
    sent = ALL[name].rows(NAMES, cells(2))
    body = b'\xff"' if sent.content_type == CSV else sent.body[: len(sent.body) // 2]
    refused(ask(app, name, sent._replace(body=body)), ALL[name].form, 400, wrong(name))


@every
def test_an_empty_body(app: Flask, name: str) -> None:
    refused(ask(app, name, ALL[name].rows(NAMES, [])._replace(body=b"")), ALL[name].form, 400, wrong(name))


@every
@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "zstd"])
def test_another_content_coding(app: Flask, name: str, coding: str) -> None:
    sent = ALL[name].rows(NAMES, cells(2))
    refused(ask(app, name, sent, Content_Encoding=coding), ALL[name].form, 415)


@every
@pytest.mark.parametrize("damage", ["plain", "cut", "trailing"])
def test_a_gzip_body_that_is_none(app: Flask, name: str, damage: str) -> None:
    sent = ALL[name].rows(NAMES, cells(3))
    packed = gzip.compress(sent.body)
    body = {"plain": sent.body, "cut": packed[:-9], "trailing": packed + b"more"}[damage]
    refused(ask(app, name, sent._replace(body=body), Content_Encoding="gzip"), ALL[name].form, 400, 422)


@every
def test_another_content_type(app: Flask, name: str) -> None:
    sent = ALL[name].rows(NAMES, cells(2))
    answer = ask(app, name, sent._replace(content_type="text/xml"))
    if ALL[name].form == "oip":  # KServe's and Triton's clients send several, or none
        assert answer.status_code == 200
    elif ALL[name].form == "mlflow":
        assert (answer.status_code, answer.mimetype) == (415, "text/plain")  # MLflow's words
    else:
        refused(answer, ALL[name].form, 415)


@every
@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_another_method(app: Flask, name: str, method: str) -> None:
    answer = app.test_client().open(ALL[name].path, method=method)
    refused(answer, ALL[name].form, 405)
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize(
    ("path", "form"),
    [("/predict/nothing", "problem"), ("/v2/nothing", "oip"), ("/v2/models/other/infer", "oip"), ("/v3", "problem")],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_there(app: Flask, path: str, form: str, method: str) -> None:
    if (path, method) == ("/v2/models/other/infer", "GET"):
        return
    refused(app.test_client().open(path, method=method), form, 404)


@every
def test_a_page_of_another_site(app: Flask, name: str) -> None:
    """What stands in front of the routes speaks the protocols' forms too: Triton's client dies on another one."""
    answer = ask(app, name, ALL[name].rows(NAMES, cells(1)), Origin="http://evil.example")
    assert "another origin" in refused(answer, ALL[name].form, 403)


@every
@pytest.mark.parametrize("given", ["", " ", "x" * 201, "a\x00b", "a\nb"])
def test_an_id_that_cannot_be_kept(app: Flask, name: str, given: str) -> None:
    """Where an entrance takes the caller's ids."""
    one = ALL[name]
    with_id = [[*row, given] for row in cells(1)]
    if name == "feedback":
        sent = Sent(json.dumps([{"prediction_id": given, "label": "yes"}]).encode(), JSON)
    elif name == "feedback csv":
        sent = Sent(f'prediction_id,label\n"{given}",yes\n'.encode(), CSV)
    elif name == "file csv":
        sent = Sent(f'n0,n1,c0,prediction_id\n1,1,red,"{given}"\n'.encode(), CSV)
    elif name in ("predict", "file parquet"):
        sent = one.rows([*NAMES, "prediction_id"], with_id)
    else:
        return  # ids are made
    if given == " " and name in ("predict", "feedback", "feedback csv"):
        assert ask(app, name, sent).status_code == 200  # a blank is printable
    else:
        assert refused(ask(app, name, sent), one.form, 422)


@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        ("INT8", [128, 0]), ("UINT8", [-1, 0]), ("INT32", [2**31, 0]), ("INT32", [1.5, 0]), ("BOOL", [2, 0]),
        ("FP16", [70_000.0, 0]), ("FP32", [1e39, 0]), ("INT64", [2**63, 0]), ("FP64", ["1", 0]),
    ],
)  # fmt: skip
def test_values_outside_of_their_datatype(app: Flask, datatype: str, values: list[Any]) -> None:
    sent = json.loads(_tensors(NAMES, cells(2)).body)
    sent["inputs"][0] |= {"datatype": datatype, "data": values}
    answer = app.test_client().post(INFER, json=sent)
    assert f"expected {datatype} values" in refused(answer, "oip", 400)


@pytest.mark.parametrize(
    ("datatype", "values"), [("INT8", [-128, 127]), ("INT32", [1.0, None]), ("BOOL", [True, 0]), ("FP16", [65504, 0])]
)
def test_values_at_the_edge_of_their_datatype(app: Flask, datatype: str, values: list[Any]) -> None:
    sent = json.loads(_tensors(NAMES, cells(2)).body)
    sent["inputs"][0] |= {"datatype": datatype, "data": values}
    assert app.test_client().post(INFER, json=sent).status_code == 200


@pytest.mark.parametrize(
    "split",
    [
        {"columns": NAMES, "data": cells(2), "index": [0]},
        {"columns": NAMES, "data": cells(2), "index": [0, 1, 2]},
        {"columns": NAMES, "data": cells(2), "index": "ab"},
        {"columns": [*NAMES, 1, "1"], "data": [[*row, 0, 0] for row in cells(2)]},
    ],
    ids=["short index", "long index", "no list", "a number and its text"],
)
def test_a_split_whose_parts_do_not_fit(app: Flask, split: dict[str, Any]) -> None:
    refused(app.test_client().post("/invocations", json={"dataframe_split": split}), "mlflow", 400)


def test_the_servers_root_with_and_without_its_slash(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/v2/").json == client.get("/v2").json


# ---- the page's form


@pytest.mark.parametrize(("given", "label"), [("", "yes"), ("x" * 201, "yes"), ("p", "perhaps"), ("p", "")])
def test_the_pages_label_form_has_the_same_rules(app: Flask, given: str, label: str) -> None:
    answer = app.test_client().post("/label", data={"prediction_id": given, "label": label})
    assert (answer.status_code, answer.mimetype) == (422, "text/html")


@pytest.mark.parametrize("path", ["/label", "/file", "/predict/file"])
def test_a_packed_form_is_refused(app: Flask, path: str) -> None:
    body = gzip.compress(b"prediction_id=p&label=yes")
    kind = "multipart/form-data; boundary=x" if path == "/predict/file" else "application/x-www-form-urlencoded"
    answer = app.test_client().post(path, data=body, content_type=kind, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415


# ---- HTTP


@pytest.mark.parametrize("host", ["LOCALHOST", "localhost.", "LocalHost.:8000", "127.0.0.1", "[::1]:8000"])
def test_every_spelling_of_this_machine(app: Flask, host: str) -> None:
    assert app.test_client().get("/health/live", headers={"Host": host}).status_code == 200


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Werkzeug leaves the file to the GC
def test_a_range_of_another_unit_is_passed_over_and_one_beyond_the_end_is_told(app: Flask) -> None:
    client = app.test_client()
    with client.get("/static/style.css") as whole:
        content = whole.data
    with client.get("/static/style.css", headers={"Range": "pages=1-2"}) as other:
        assert (other.status_code, other.data) == (200, content)
    with client.get("/static/style.css", headers={"Range": "bytes=0-9"}) as part:
        assert (part.status_code, part.data) == (206, content[:10])
    beyond = client.get("/static/style.css", headers={"Range": "bytes=9999999-"})
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == f"bytes */{len(content)}"


def test_documented_answers_are_those_of_the_types(app: Flask) -> None:
    """An empty answer decodes as its type, as any other does."""
    from serving.api import schemas

    empty = app.test_client().post("/predict", json={"rows": []})
    assert msgspec.json.decode(empty.data, type=schemas.Predictions).predictions == []
