"""`POST /predict/file`: forms in and out, exact errors, nothing half-logged, bounded memory, malformed tables."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from serving.api import schemas, score_file
from tests.serving.mixed import ROW, application, logged_ids, publish
from tests.serving.running import Server, serving

PARQUET = "application/vnd.apache.parquet"
ROWS = [
    {"id": "a", "n0": "1.5", "n1": "2", "c0": "red"},
    {"id": "b", "n0": "", "n1": "-1", "c0": "green"},
    {"id": "c", "n0": "0.25", "n1": "1e-1", "c0": ""},
]


def text(rows: list[dict[str, str]] = ROWS, *, delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, quoting=quoting, lineterminator="\n")  # type: ignore[arg-type]
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def send(client: FlaskClient, content: bytes, name: str = "t.csv", **kwargs: Any) -> TestResponse:
    return client.post("/predict/file", data={"file": (io.BytesIO(content), name)}, **kwargs)


def table(answer: TestResponse) -> list[dict[str, str]]:
    """The rows, whatever stands between their fields."""
    assert answer.status_code == 200, answer.text
    content = answer.data.decode("utf-8-sig")
    (delimiter,) = {mark for mark in ",;\t|" if mark in content.splitlines()[0]}
    return list(csv.DictReader(io.StringIO(content), strict=True, delimiter=delimiter))


def numbers(answer: TestResponse) -> list[float]:
    return [number(row["probability_yes"]) for row in table(answer)]


def number(cell: str) -> float:
    return float(cell.replace(",", "."))


def test_a_table_comes_back_with_the_predictions_columns(client: FlaskClient) -> None:
    """The rows as they were, and the numbers that /predict gives."""
    found = table(send(client, text()))
    rows = [
        {"n0": float(row["n0"]) if row["n0"] else None, "n1": float(row["n1"]), "c0": row["c0"] or None} for row in ROWS
    ]
    expected = client.post("/predict", json={"rows": rows}).json["predictions"]
    for came, row, one in zip(found, ROWS, expected, strict=True):
        assert {name: came[name] for name in row} == row
        assert came["label"] == one["label"]
        assert float(came["probability"]) == one["probability"]
        assert float(came["probability_no"]) == one["probabilities"]["no"]
        assert came["warnings"] == ""
    assert len({came["prediction_id"] for came in found}) == 3


def semicolons(*rows: str) -> bytes:
    return "\n".join(["id;n0;n1;c0", *rows]).encode() + b"\n"


@pytest.mark.parametrize(
    ("rows", "numbers"),
    [
        (["a;1,5;2;red", "b;;-1;green", "c;0,25;1e-1;"], [(1.5, 2), (None, -1), (0.25, 0.1)]),
        (["a;1.234;2,5;red", "b;1.000.000;-1;green"], [(1234, 2.5), (1e6, -1)]),
        (["a;1 234;2,5;red", "b;12 000,5;-1;green"], [(1234, 2.5), (12000.5, -1)]),
        (["a;1,234;2.5;red", "b;17;-1;green"], [(1234, 2.5), (17, -1)]),
    ],
    ids=["decimal commas", "points between thousands", "blanks between thousands", "another column decides"],
)
def test_a_files_numbers_are_read_by_its_own_evidence(
    client: FlaskClient, rows: list[str], numbers: list[tuple[float | None, float]]
) -> None:
    """Of a model of plain numbers: as /predict reads them, told, and the answer can be sent again."""
    asked = [{"n0": n0, "n1": n1, "c0": row.split(";")[3]} for (n0, n1), row in zip(numbers, rows, strict=True)]
    expected = [
        one["probabilities"]["yes"] for one in client.post("/predict", json={"rows": asked}).json["predictions"]
    ]
    answer = send(client, semicolons(*rows))
    assert [number(row["probability_yes"]) for row in table(answer)] == expected
    (warned,) = [one for one in json.loads(answer.headers["X-Warnings"]) if one["code"].startswith("findings.marks")]
    assert "as the decimal mark" in warned["message"]
    again = [{name: row[name] for name in ("id", "n0", "n1", "c0")} for row in table(answer)]
    for content in (answer.data, text(again)):
        assert [number(row["probability_yes"]) for row in table(send(client, content))] == expected


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_an_answer_is_written_as_its_file_was(client: FlaskClient, delimiter: str, bom: bytes) -> None:
    """What opens the one opens the other: its delimiter, its decimal mark in all numbers, its mark of UTF-8."""
    sent = semicolons("a;115,4;2;red", "b;1.239,5;-1;green").replace(b";", delimiter.encode())
    answer = send(client, bom + sent)
    assert answer.data.startswith(bom + delimiter.join(["id", "n0", "n1", "c0", "prediction_id"]).encode())
    found = table(answer)
    assert [(row["id"], row["n0"], row["n1"], row["c0"]) for row in found] == [
        ("a", "115,4", "2", "red"), ("b", "1.239,5", "-1", "green")
    ]  # fmt: skip
    for row in found:
        for name in ("probability", "positive_probability", "probability_yes", "probability_no"):
            assert re.fullmatch(r"[01](,\d+)?(e-\d+)?", row[name])


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
def test_a_file_with_commas_comes_back_as_it_always_did(client: FlaskClient, bom: bytes) -> None:
    """Its lines byte for byte, also where its numbers have decimal commas within quotes; the answer with points."""
    lines = [b"id,n0,n1,c0", b'a,"1,25",2,red', b'b,"-0,5",-1,green']
    first, *rest = send(client, bom + b"\n".join(lines) + b"\n").data.splitlines()
    assert first.startswith(lines[0] + b",prediction_id,")
    for line, came in zip(lines[1:], rest, strict=True):
        assert came.startswith(line + b",")
        assert re.search(rb",[01]\.\d+,", came)


def test_a_file_of_mixed_marks_is_refused_by_place(client: FlaskClient) -> None:
    answer = send(client, semicolons("a;1,5;2.5;red", "b;1,5;-1;green"))
    assert answer.status_code == 422
    assert answer.json["type"] == "urn:refit:data.mixed_marks"
    assert answer.json["errors"][0] | {"column": "n1", "line": 2} == answer.json["errors"][0]
    assert "'2.5' in line 2 is written with other marks than '1,5' in line 2 of column 'n0'" in answer.json["detail"]


def test_a_doubtful_mark_is_asked_about(client: FlaskClient) -> None:
    """1,234 alone may be two numbers: the request says which."""
    content = semicolons("a;1,234;2;red", "b;17;-1;green")
    answer = send(client, content)
    assert answer.status_code == 422
    assert answer.json["type"] == "urn:refit:rows.doubtful_marks"
    assert answer.json["errors"][0] | {"column": "n0", "line": 2, "got": "'1,234'"} == answer.json["errors"][0]
    assert "1234 with the decimal mark '.', 1.234 with ','" in answer.json["detail"]
    for decimal, number in ((",", 1.234), (".", 1234.0)):
        row = {"n0": number, "n1": 2, "c0": "red"}
        expected = client.post("/predict", json={"rows": [row]}).json["predictions"][0]["probabilities"]["yes"]
        found = client.post(f"/predict/file?decimal={decimal}", data={"file": (io.BytesIO(content), "t.csv")})
        assert numbers(found)[0] == expected
    refused = client.post("/predict/file?decimal=;", data={"file": (io.BytesIO(content), "t.csv")})
    assert (refused.status_code, refused.json["type"]) == (422, "urn:refit:requests.parameter")


def test_points_before_three_digits_beside_semicolons_are_told(client: FlaskClient) -> None:
    answer = send(client, semicolons("a;1.234;2;red", "b;17;-1;green"))
    (warned,) = [one for one in json.loads(answer.headers["X-Warnings"]) if one["code"].startswith("findings.points")]
    assert (warned["column"], "if it is 1234" in warned["message"]) == ("n0", True)


PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: pa.compress(content, "zstd", asbytes=True),
}


@pytest.mark.parametrize("ending", PACKED)
def test_packed_tables_give_the_same_numbers(client: FlaskClient, ending: str) -> None:
    assert numbers(send(client, PACKED[ending](text()), f"t.csv{ending}")) == numbers(send(client, text()))


@pytest.mark.parametrize(
    "content",
    [
        text(quoting=csv.QUOTE_ALL),
        text().replace(b"\n", b"\r\n"),
        text().replace(b"\n", b"\r"),
        text().rstrip(b"\n"),
        b"\xef\xbb\xbf" + text(),
        text().decode().encode("utf-16"),
        text(delimiter=";"),
        text(delimiter="\t"),
        b"sep=;\n" + text(delimiter=";"),
        text([dict(reversed(row.items())) for row in ROWS]),
        text([row | {"more": "x"} for row in ROWS]),
        text([{name: cell for name, cell in row.items() if name != "id"} for row in ROWS]),
    ],
    ids=["quoted", "crlf", "cr", "no last line end", "bom", "utf-16", "semicolon", "tab", "sep=", "other order",
         "extra column", "without id"],
)  # fmt: skip
def test_the_same_table_written_otherwise_gives_the_same_numbers(client: FlaskClient, content: bytes) -> None:
    """Through the fast reader or the careful one."""
    assert numbers(send(client, content)) == numbers(send(client, text()))


def test_arrow_and_the_diagnosis_agree(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """On numbers in every notation, missing markers and unseen categories."""
    rng = random.Random(0)
    cells = ["1", "-2.5", "1e3", "", "NaN", "inf", "0.1", "1e308", "3."]
    rows = [
        {"n0": rng.choice(cells), "n1": rng.choice(cells), "c0": rng.choice(["red", "", "blau", " green", "né"])}
        for _ in range(400)
    ]
    fast = table(send(client, text(rows)))

    monkeypatch.setattr("ml.data.sources.csv_reader.find_records", lambda *_, **__: None)
    careful = table(send(client, text(rows)))
    for one in (*fast, *careful):
        del one["prediction_id"], one["n0"], one["n1"]  # as they came where Arrow read them, else as it writes numbers
    assert fast == careful


QUOTED = [
    {"id": 'say "a"', "n0": "1.5", "n1": "2", "c0": "red"},
    {"id": "b, or not", "n0": "", "n1": "-1", "c0": "green"},
    {"id": "two\nlines", "n0": "0.25", "n1": "1e-1", "c0": ""},
    {"id": "é", "n0": "3", "n1": "4", "c0": "red"},
]


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("last", [True, False], ids=["last line ended", "last line open"])
@pytest.mark.parametrize("block", [40, 1_000_000], ids=["many blocks", "one block"])
def test_quoted_files_are_read_fast_and_come_back_as_they_were(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, end: str, quoting: int, last: bool, block: int
) -> None:
    """Quotes, delimiters and line ends inside of cells; blocks that end anywhere."""
    monkeypatch.setattr("serving.scoring.upload.BLOCK_BYTES", block)
    monkeypatch.setattr("ml.data.sources.csv_diagnosis.read_block", None)  # it is not needed
    out = io.StringIO()
    writer = csv.DictWriter(out, list(QUOTED[0]), quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    writer.writeheader()
    writer.writerows(QUOTED)
    content = out.getvalue() if last else out.getvalue().removesuffix(end)
    answer = send(client, content.encode())
    found = list(csv.DictReader(io.StringIO(answer.text, newline=""), strict=True))
    assert [{name: row[name] for name in QUOTED[0]} for row in found] == QUOTED
    assert [float(row["probability_yes"]) for row in found] == numbers(send(client, text(QUOTED)))


@pytest.mark.parametrize("block", [40, 1_000_000], ids=["many blocks", "one block"])
def test_lines_come_back_whatever_lies_between_them(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """Line ends of three kinds and empty lines, read by Arrow and left out of the answer."""
    monkeypatch.setattr("serving.scoring.upload.BLOCK_BYTES", block)
    monkeypatch.setattr("ml.data.sources.csv_diagnosis.read_block", None)  # it is not needed
    content = b"id,n0,n1,c0\r\n\n1,1.50,2,red\n\r\n\r\n2,2,2,red\r3,3,2,red\r\n4,4,2,red\n\n"
    found = table(send(client, content))
    assert [(row["id"], row["n0"]) for row in found] == [("1", "1.50"), ("2", "2"), ("3", "3"), ("4", "4")]


def test_a_cell_that_only_the_slow_way_reads_is_a_number_in_parquet_too(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow refuses the block of the inch sign: its numbers come as text, and go out as those of the other blocks."""
    monkeypatch.setattr("serving.scoring.upload.BLOCK_BYTES", 40)
    rows = [f"{i},{i}.5,2,red".encode() for i in range(20)]
    rows[10] = b'5" pipe,10.5,2,red'
    answer = send(client, b"\n".join([b"id,n0,n1,c0", *rows]), headers={"Accept": PARQUET})
    assert answer.status_code == 200, answer.text
    found = pq.read_table(io.BytesIO(answer.data))
    assert found["n0"].to_pylist() == [i + 0.5 for i in range(20)]
    assert found["id"].to_pylist()[9:12] == ["9", '5" pipe', "11"]


@pytest.mark.parametrize(
    ("headers", "name", "mimetype"),
    [
        ({}, "t.csv", "text/csv"),
        ({"Accept": "application/json"}, "t.csv", "application/json"),
        ({"Accept": PARQUET}, "t.csv", PARQUET),
        ({"Accept": "*/*"}, "t.parquet", PARQUET),
        ({"Accept": "text/csv"}, "t.parquet", "text/csv"),
    ],
    ids=["csv", "json", "parquet", "parquet by default", "csv of parquet"],
)
def test_accept_says_what_comes_back(client: FlaskClient, headers: dict[str, str], name: str, mimetype: str) -> None:
    content = as_parquet() if name.endswith("parquet") else text()
    answer = send(client, content, name, headers=headers)
    assert (answer.status_code, answer.mimetype) == (200, mimetype)
    assert answer.headers["X-Model-Version"] == "3"
    assert "t-predictions" in answer.headers["Content-Disposition"]


def test_format_wins_over_accept_and_is_checked(client: FlaskClient) -> None:
    answer = client.post(
        "/predict/file?format=json", data=text(), content_type="text/csv", headers={"Accept": "text/csv"}
    )
    decoded = msgspec.json.decode(answer.data, type=schemas.FilePredictions)
    assert (decoded.model_version, decoded.rows, len(decoded.predictions)) == ("3", 3, 3)
    assert client.post("/predict/file?format=xlsx", data=text(), content_type="text/csv").status_code == 422
    refused = client.post("/predict/file", data=text(), content_type="text/csv", headers={"Accept": "image/png"})
    assert refused.status_code == 406


def as_parquet(**columns: Any) -> bytes:
    plain = {"n0": [1.5, None, 0.25], "n1": [2, -1, 1], "c0": ["red", "green", None]} | columns
    out = io.BytesIO()
    pq.write_table(pa.table(plain), out)
    return out.getvalue()


def test_parquet_keeps_its_types_and_gains_columns(client: FlaskClient) -> None:
    answer = send(client, as_parquet(day=pa.array([1, 2, 3], pa.date32())), "t.parquet")
    found = pq.read_table(io.BytesIO(answer.data))
    assert found.schema.field("day").type == pa.date32()
    assert found.schema.field("n1").type == pa.int64()
    assert found["label"].to_pylist() == ["yes", "no", "yes"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (as_parquet(n0=["1", "x", "2"]), "rows[1], column 'n0': expected a number, got 'x'"),
        (as_parquet(n0=[[1], [2], [3]]), "column 'n0': expected a number"),
        (b"PAR1 no", "not a readable Parquet file"),
        (b"", "not a readable Parquet file"),
    ],
    ids=["text", "lists", "broken", "empty"],
)
def test_wrong_parquet_is_refused(client: FlaskClient, content: bytes, said: str) -> None:
    answer = send(client, content, "t.parquet")
    assert answer.status_code == 422
    assert said in answer.json["detail"]


def test_raw_bodies_are_taken_by_their_headers(client: FlaskClient) -> None:
    expected = numbers(send(client, text()))
    raw = [
        (text(), {"Content-Type": "text/csv"}),
        (gzip.compress(text()), {"Content-Type": "text/csv", "Content-Encoding": "gzip"}),
        (gzip.compress(text()), {"Content-Type": "application/gzip"}),
        (gzip.compress(text()), {"Content-Type": "application/octet-stream"}),
        (text(), {}),
    ]
    for body, headers in raw:
        assert numbers(client.post("/predict/file", data=body, headers=headers)) == expected
    assert client.post("/predict/file", data=b"x", content_type="text/html").status_code == 415
    odd = client.post("/predict/file", data=b"x", content_type="text/csv", headers={"Content-Encoding": "br"})
    assert odd.status_code == 415


@pytest.mark.parametrize(
    "cell", ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\tx", "＝1+1", "＋1+1", ";=1+1", "-\n1+1"]
)
def test_formula_cells_are_escaped_in_csv_only(client: FlaskClient, cell: str) -> None:
    """An apostrophe in front; numbers keep their sign; JSON and Parquet carry what came."""
    rows = [row | {"id": cell} for row in ROWS]
    found = table(send(client, text(rows)))
    assert [row["id"].strip() for row in found] == [("'" + cell).strip()] * 3
    assert found[1]["n1"] == "-1"
    kept = pq.read_table(io.BytesIO(send(client, text(rows), headers={"Accept": PARQUET}).data))
    assert kept["id"].to_pylist() == [cell] * 3


@pytest.mark.parametrize("cell", ["-", "+"])
def test_a_sign_alone_is_no_formula(client: FlaskClient, cell: str) -> None:
    """People write "-" for no value, and it comes back as they wrote it."""
    found = table(send(client, text([row | {"id": cell} for row in ROWS])))
    assert [row["id"] for row in found] == [cell] * 3


@pytest.mark.parametrize("name", ["=x", "＝x", "＋x", "－x", "@x", ";=x", "-x"])
def test_formulas_in_column_names_are_escaped(client: FlaskClient, name: str) -> None:
    answer = send(client, text([row | {name: "1"} for row in ROWS]))
    assert f"'{name}" in next(csv.reader([answer.text.splitlines()[0]]))


@pytest.mark.parametrize("name", ["-", "+", "-5", "x=", "－"])
def test_a_column_name_that_is_no_formula_stays(client: FlaskClient, name: str) -> None:
    answer = send(client, text([row | {name: "1"} for row in ROWS]))
    assert name in next(csv.reader([answer.text.splitlines()[0]]))


def test_a_taken_column_name_is_not_doubled(client: FlaskClient) -> None:
    found = table(send(client, text([row | {"label": "mine"} for row in ROWS])))
    assert {row["label"] for row in found} == {"mine"}
    assert {row["predicted_label"] for row in found} <= {"yes", "no"}


def test_ids_of_the_caller_are_used_and_logged(tmp_path: Path) -> None:
    with application(tmp_path) as app:
        rows = [{"prediction_id": f"p{i}", **row} for i, row in enumerate(ROWS)]
        found = table(send(app.test_client(), text(rows)))
        assert [row["prediction_id"] for row in found] == ["p0", "p1", "p2"]
        assert send(app.test_client(), text([rows[0], rows[1] | {"prediction_id": ""}])).status_code == 422
    assert logged_ids(tmp_path) == ["p0", "p1", "p2"]


def test_unusual_values_are_flagged_by_row_and_counted(client: FlaskClient) -> None:
    answer = send(client, text([ROWS[0], ROWS[1] | {"c0": "blue", "n1": "77"}]))
    plain, unusual = table(answer)
    assert plain["warnings"] == ""
    assert "c0: 'blue' was not seen in training" in unusual["warnings"]
    counted = {(one["column"], one["message"]) for one in json.loads(answer.headers["X-Warnings"])}
    assert {("n1", "1 rows: out of range"), ("c0", "1 rows: unseen category")} <= counted


def test_nothing_is_logged_when_the_last_row_is_wrong(tmp_path: Path) -> None:
    """Three thousand good rows before it."""
    rows = [{"n0": "1", "n1": "2", "c0": "red"}] * 3000 + [{"n0": "1", "n1": "2 %", "c0": "red"}]
    with application(tmp_path) as app:
        answer = send(app.test_client(), text(rows))
        assert answer.status_code == 422
        assert answer.json["detail"] == "line 3002, column 'n1': expected a number, got '2 %'"
        assert answer.json["errors"] == [
            {"line": 3002, "column": "n1", "expected": "a number", "got": "'2 %'", "expected_code": "rows.number"}
        ]
    assert logged_ids(tmp_path) == []


@pytest.mark.parametrize(("words", "status"), [(5, 200), (6, 422)])
def test_a_few_words_in_a_number_column_are_missing(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, words: int, status: int
) -> None:
    """5% of the cells that say something, over the whole file: what the model was trained on is scored."""
    monkeypatch.setattr("serving.scoring.upload.BLOCK_BYTES", 300)
    usual = [{"n0": "1", "n1": "2", "c0": "red"}] * (100 - words) + [{"n0": "1", "n1": "", "c0": "red"}] * 20
    answer = send(client, text(usual + [{"n0": "1", "n1": "?", "c0": "red"}] * words))
    assert answer.status_code == status
    if status == 200:
        assert [row["warnings"] for row in table(answer)[-words:]] == ["n1: '?' is no number: taken as missing"] * words
        assert {"column": "n1", "code": "not_a_number", "message": "5 rows: not a number"} in json.loads(
            answer.headers["X-Warnings"]
        )
        assert table(answer)[-1]["probability"] == table(answer)[100]["probability"]  # as where it is empty
    else:
        first = {"line": 116, "column": "n1", "expected": "a number", "got": "'?'", "expected_code": "rows.number"}
        assert answer.json["errors"][0] == first
        assert answer.json["type"] == "urn:refit:rows.too_many_words"


@pytest.mark.parametrize("keep", [0, 10**9], ids=["read twice", "kept"])
def test_a_large_table_is_scored_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: int) -> None:
    """Many blocks; every row answered once, in order, and logged once, whether kept in memory or read again."""
    monkeypatch.setattr(score_file, "KEEP_BYTES", keep)
    monkeypatch.setattr("serving.scoring.upload.BLOCK_BYTES", 20_000)
    rng = np.random.default_rng(0)
    values = rng.normal(size=9_000).round(3)
    rows = [{"i": str(i), "n0": str(v), "n1": "0", "c0": "red"} for i, v in enumerate(values)]
    with application(tmp_path) as app:
        found = table(send(app.test_client(), text(rows)))
    assert [int(row["i"]) for row in found] == list(range(9_000))
    expected = 1 / (1 + np.exp(-(values + 1)))
    np.testing.assert_allclose([float(row["probability_yes"]) for row in found], expected, atol=1e-6)
    assert logged_ids(tmp_path) == [row["prediction_id"] for row in found]


LINES = text(ROWS * 40).splitlines(keepends=True)
REFUSED: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "t.csv", "the file is empty"),
    "lacks a column": (text([{"n0": "1", "n1": "2"}]), "t.csv", "lacks 'c0'"),
    "upper case": (text([{k.upper(): v for k, v in ROWS[0].items()}]), "t.csv", "lacks 'n0'"),
    "two of a name": (b"n0,n0,n1,c0\n1,1,2,red\n", "t.csv", "two columns of one name"),
    "too many fields": (
        b"".join([*LINES[:100], b"a,1,2,red,x\n", *LINES[100:]]),
        "t.csv",
        "line 101: expected 4 fields",
    ),
    "too few fields": (b"".join([*LINES[:100], b"a,1\n", *LINES[100:]]), "t.csv", "line 101: expected 4 fields"),
    "open quote": (b"".join([*LINES[:100], b'a,1,2,"red\n', *LINES[100:]]), "t.csv", "line 101"),
    "header twice": (b"".join([*LINES[:100], LINES[0], *LINES[100:]]), "t.csv", "line 101: the header comes a second"),
    "nul": (text().replace(b"red", b"r\0d"), "t.csv", "line 2: a NUL byte"),
    "latin-1": (text([ROWS[0] | {"c0": "né"}]).decode().encode("latin-1"), "t.csv", "line 2: byte 0xe9 is no UTF-8"),
    "mixed marks": (text([ROWS[0] | {"n0": "1,5", "n1": "2.5"}], delimiter=";"), "t.csv", "line 2, column 'n1'"),
    "all words": (text([row | {"n0": "NA"} for row in ROWS * 10]), "t.csv", "column 'n0'"),
    "gzip as csv": (gzip.compress(text()), "t.csv", "the content is gz-packed"),
    "csv as gzip": (text(), "t.csv.gz", "the content is not packed"),
    "broken gzip": (gzip.compress(text() * 500)[:-30], "t.csv.gz", "broken compressed file"),
    "zip": (b"PK\x03\x04xx", "t.zip", "expected a CSV table"),
    "png": (b"\x89PNG\r\n\x1a\nxxxx", "t.csv", "expected a CSV table, got a PNG image"),
    "json": (b'[{"n0": 1}]', "t.csv", "expected a CSV table, got JSON"),
    "one huge cell": (text([ROWS[0] | {"c0": "A" * 200_000}]), "t.csv", "over the limit"),
    "many columns": (text([ROWS[0] | {f"x{i}": "1" for i in range(3000)}]), "t.csv", "3,004 columns"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_malformed_tables_are_refused_by_place(tmp_path: Path, name: str) -> None:
    """A 4xx that names the place; nothing is logged."""
    content, file, said = REFUSED[name]
    with application(tmp_path) as app:
        answer = send(app.test_client(), content, file)
    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"
    assert said in answer.json["detail"]
    assert logged_ids(tmp_path) == []


def test_the_limit_counts_unpacked_bytes(tmp_path: Path) -> None:
    from ml.settings import from_values, to_values
    from serving.app import create_app

    app = create_app(from_values(to_values(publish(tmp_path)) | {"serving": {"max_body_bytes": 200_000}}))
    bomb = gzip.compress(LINES[0] + b"a,1,2,red\n" * 100_000)
    answer = send(app.test_client(), bomb, "t.csv.gz")
    assert len(bomb) < 10_000
    assert answer.status_code == 422
    assert "larger than the limit of 200,000 bytes, unpacked" in answer.json["detail"]
    plain = app.test_client().post("/predict/file", data=b"x" * 300_000, content_type="text/csv")
    assert plain.status_code == 413
    app.extensions["refit"].close()


def test_infinite_and_huge_numbers_give_finite_probabilities(client: FlaskClient) -> None:
    found = numbers(send(client, text([ROWS[0] | {"n0": cell} for cell in ("inf", "-inf", "NaN", "1e308", "-1e400")])))
    assert np.isfinite(found).all()


def test_a_form_without_a_file_is_refused(client: FlaskClient) -> None:
    answer = client.post("/predict/file", data={"x": "1"}, content_type="multipart/form-data")
    assert answer.status_code == 422
    assert "one file" in answer.json["detail"]


@pytest.mark.stack
def test_a_worker_loads_arrow_with_its_first_table_only(tmp_path: Path) -> None:
    """37 MB that a service without uploads does not pay; and never what training needs."""
    publish(tmp_path)
    with serving(tmp_path, SERVING__WORKERS="1") as server:
        row = json.dumps({"rows": [ROW], "dataframe_records": [ROW]}).encode()
        for path in ("/predict", "/explain", "/invocations"):
            body = row if path == "/invocations" else json.dumps({"rows": [ROW]}).encode()
            status, _, said = server.request("POST", path, body, {"Content-Type": "application/json"})
            assert status == 200, said
        assert server.get("/")[0] == 200
        assert libraries(server) & {"pyarrow", "onnxruntime", *TRAINING} == {"onnxruntime"}
        status, _, said = server.request("POST", "/predict/file", text(), {"Content-Type": "text/csv"})
        assert status == 200, said
        assert libraries(server) & {"pyarrow", "onnxruntime", *TRAINING} == {"onnxruntime", "pyarrow"}


TRAINING = {"pandas", "torch", "sklearn", "scipy", "mlflow", "sqlalchemy"}


def libraries(server: Server) -> set[str]:
    """Packages whose compiled parts the only worker has loaded."""
    (pid,) = server.workers()
    return set(re.findall(r"/site-packages/(\w+)/", Path(f"/proc/{pid}/maps").read_text()))
