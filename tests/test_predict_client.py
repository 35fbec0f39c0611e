"""The batch client: against the real service, and against one that fails in every way."""

from __future__ import annotations

import contextlib
import csv
import datetime
import email.utils
import gzip
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from werkzeug.serving import make_server

import predict_client
from ml.data.inference.number_marks import Evidence, Marks
from ml.data.sources import workbook
from serving.prediction_log.records import Predictions
from tests.serving.mixed import application, logged, logged_ids

N = 25
ROWS = [{"id": str(i), "n0": f"{i / 10 - 1}", "n1": "0.5", "c0": "red" if i % 2 else ""} for i in range(N)]


def table(file: Path, rows: list[dict[str, str]] = ROWS) -> Path:
    with (gzip.open if file.suffix == ".gz" else open)(file, "wt", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))  # type: ignore[arg-type]
        writer.writeheader()
        writer.writerows(rows)
    return file


def read(file: Path) -> list[dict[str, str]]:
    with (gzip.open if file.suffix == ".gz" else open)(file, "rt", newline="", encoding="utf-8-sig") as stream:
        header = stream.readline()
        stream.seek(0)
        return list(csv.DictReader(stream, delimiter=";" if ";" in header else ","))  # type: ignore[arg-type, type-var]


def run(url: str, file: Path, output: Path, *more: str) -> int:
    return predict_client.main([str(file), "--url", url, "--output", str(output), "--chunk", "10", "--quiet", *more])


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """The real application behind a socket."""
    with listening(tmp_path / "home") as url:
        yield url


@contextlib.contextmanager
def listening(home: Path, **bundle: Any) -> Iterator[str]:
    with application(home, **bundle) as app:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.port}"
        server.shutdown()
        thread.join()


class Stub(ThreadingHTTPServer):
    """Answers like the service, or as `script` says: called with the request's number, None means a good answer."""

    def __init__(self, script: Callable[[int], tuple[int, dict[str, str], bytes] | None] = lambda n: None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.asked: list[list[dict[str, str]]] = []
        self.version = "3"
        self.model: tuple[int, dict[str, str], bytes] | None = None  # what GET /model answers; None: the version
        self.damage: Callable[[str], str] = lambda text: text  # what is done to a good answer on its way
        self.paths: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Stub

    def do_GET(self) -> None:
        self._send(*(self.server.model or (200, {"X-Model-Version": self.server.version}, b"{}")))

    def do_POST(self) -> None:
        body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.paths.append((self.path, dict(self.headers)))
        rows = list(csv.DictReader(io.StringIO(body.decode())))
        scripted = self.server.script(len(self.server.paths))
        if scripted is None:
            self.server.asked.append(rows)
            text = io.StringIO()
            names = next(csv.reader(io.StringIO(body.decode())))
            writer = csv.DictWriter(text, [*names, "label", "probability"], lineterminator="\n")
            writer.writeheader()
            writer.writerows(row | {"label": "yes", "probability": "0.9"} for row in rows)
            told = {"X-Model-Version": self.server.version, "Content-Type": "text/csv; charset=utf-8"}
            scripted = (200, told, self.server.damage(text.getvalue()).encode())
        self._send(*scripted)

    def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", headers.get("Content-Length", str(len(content))))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[Stub]:
    server = Stub()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict_client.time, "sleep", lambda seconds: None)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_a_table_is_scored_whole_and_in_order(service: str, tmp_path: Path, name: str) -> None:
    """By the real service; every row is logged once, under the id that the output has."""
    file = tmp_path / name
    if name.endswith(".parquet"):
        columns = {k: [row[k] or None for row in ROWS] for k in ROWS[0]}
        pq.write_table(pa.table(columns | {"n0": [float(row["n0"]) for row in ROWS]}), file)
    else:
        table(file)
    assert run(service, file, tmp_path / "out.csv") == 0
    found = read(tmp_path / "out.csv")
    assert [row["id"] for row in found] == [row["id"] for row in ROWS]
    assert {row["label"] for row in found} == {"yes"}
    assert len({row["prediction_id"] for row in found}) == N
    assert not list(tmp_path.glob("*.part*"))
    logged = logged_ids(tmp_path / "home")
    assert sorted(logged) == sorted(row["prediction_id"] for row in found)


def test_ids_of_one_version_depend_on_the_content_alone(service: str, tmp_path: Path) -> None:
    """The same file sent again is logged under the same ids."""
    for name in ("a.csv", "b.csv"):
        assert run(service, table(tmp_path / name), tmp_path / f"out-{name}", "--chunk", "7") == 0
    assert [r["prediction_id"] for r in read(tmp_path / "out-a.csv")] == [
        r["prediction_id"] for r in read(tmp_path / "out-b.csv")
    ]


def test_the_answers_of_another_version_are_logged_too(tmp_path: Path) -> None:
    """Under ids of their own: under known ones the log would keep what the version before said, and labels join it."""
    file, home = table(tmp_path / "t.csv"), tmp_path / "home"
    found = {}
    for version in ("3", "4"):
        with listening(home, version=version) as url:
            assert run(url, file, tmp_path / f"out-{version}.csv") == 0
        found[version] = [row["prediction_id"] for row in read(tmp_path / f"out-{version}.csv")]
    kept: dict[str, str] = {}  # as the database does: an id that is known is left as it is
    for record in logged(home):
        if isinstance(record, Predictions):
            for one in record.ids:
                kept.setdefault(one, record.version)
    assert {version: [kept[one] for one in ids] for version, ids in found.items()} == {"3": ["3"] * N, "4": ["4"] * N}


def test_a_part_that_is_sent_again_keeps_its_ids_when_the_version_changes(stub: Stub, tmp_path: Path) -> None:
    """Its first answer may be in the log; parts after it have the ids of the new version."""

    def swap(n: int) -> None:
        stub.version = "4" if n > 1 else "3"

    stub.script = swap
    file = table(tmp_path / "t.csv")
    assert run(stub.url, file, tmp_path / "out.csv") == 5
    assert run(stub.url, file, tmp_path / "out.csv", "--allow-mixed") == 0
    first, second, again, third = ([row["prediction_id"] for row in rows] for rows in stub.asked)
    assert second == again
    assert len({one.rpartition("-")[0] for one in (*first, *second)}) == 1
    assert third[0].rpartition("-")[0] != first[0].rpartition("-")[0]


def test_a_service_that_does_not_tell_its_version_is_asked_all_the_same(stub: Stub, tmp_path: Path) -> None:
    stub.model = (404, {}, b"")
    assert run(stub.url, table(tmp_path / "t.csv"), tmp_path / "out.csv") == 0
    assert len({row["prediction_id"] for row in read(tmp_path / "out.csv")}) == N


@pytest.mark.parametrize(("word", "again"), [("2 %", []), ("twelve", ["10", "25"])])
def test_rows_that_do_not_fit_end_with_the_services_words(
    service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, again: list[str]
) -> None:
    """Exit code 3, and the row of the file rather than of the part; a number that is not read is no word."""
    rows = [dict(row) for row in ROWS]
    rows[14]["n1"] = rows[15]["n1"] = word
    assert run(service, table(tmp_path / "t.csv", rows), tmp_path / "out.csv") == 3
    said = capsys.readouterr().err
    assert "row 15 of the file" in said
    assert f"column 'n1': expected a number, got '{word}'" in said
    assert re.findall(r"here 2 of (\d+) are", said) == again
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_missing_column_is_told_of_the_file_that_was_given(
    service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Not of the part that was sent, with the ids that were added to it."""
    rows = [{key: cell for key, cell in row.items() if key != "n1"} for row in ROWS]
    file = tmp_path / name
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    else:
        table(file, rows)
    assert run(service, file, tmp_path / "out.csv") == 3
    said = capsys.readouterr().err
    assert f"HTTP 422: {name}, column 'n1': the model needs 3 columns and the table lacks 'n1'" in said
    assert "it has 'id', 'n0', 'c0'" in said


def test_ids_of_the_callers_own_are_among_the_columns_that_are_told(
    service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prediction_id": row["id"], "n0": row["n0"], "c0": row["c0"]} for row in ROWS]
    assert run(service, table(tmp_path / "t.csv", rows), tmp_path / "out.csv") == 3
    assert "it has 'prediction_id', 'n0', 'c0'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [range(0, 3), range(57, 60)], ids=["first", "last"])
def test_words_side_by_side_are_few_where_the_table_has_few(
    service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: range
) -> None:
    """3 of 60 cells are missing values, as in an upload of the whole. What was sent twice has the same ids."""
    rows = [ROWS[i % N] | {"id": str(i), "n1": "unknown" if i in words else "0.5"} for i in range(60)]
    assert run(service, table(tmp_path / "t.csv", rows), tmp_path / "out.csv") == 0
    said = capsys.readouterr().err
    assert "up to 5% of the cells of a number column may be words, here 3 of 10 are" in said
    assert "all again, 60 rows a request" in said
    found = read(tmp_path / "out.csv")
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    assert [i for i, row in enumerate(found) if "unknown" in row["warnings"]] == list(words)
    assert set(logged_ids(tmp_path / "home")) == {row["prediction_id"] for row in found}, (
        "the database takes an id once"
    )


@pytest.mark.parametrize(
    "answer",
    [
        (503, {"Retry-After": "1"}, b"{}"),
        (429, {}, b"not json"),
        (502, {}, b""),
        (200, {"Content-Length": "99"}, b"cut short"),
    ],
    ids=["503", "429", "502", "cut short"],
)
def test_what_may_pass_is_tried_again(stub: Stub, tmp_path: Path, answer: tuple[int, dict[str, str], bytes]) -> None:
    """The second of three parts fails twice; each part is in the output once."""
    stub.script = lambda n: answer if n in (2, 3) else None
    if answer[0] == 200:
        stub.script = _cut_short(stub)
    assert run(stub.url, table(tmp_path / "t.csv"), tmp_path / "out.csv") == 0
    assert [row["id"] for row in read(tmp_path / "out.csv")] == [row["id"] for row in ROWS]


def _cut_short(stub: Stub) -> Callable[[int], tuple[int, dict[str, str], bytes] | None]:
    def script(n: int) -> tuple[int, dict[str, str], bytes] | None:
        return (200, {"Content-Length": "99", "Connection": "close"}, b"prediction_id") if n == 2 else None

    return script


def test_an_interrupted_run_goes_on_where_it_stopped(stub: Stub, tmp_path: Path) -> None:
    """Nothing that was written is asked for again, and a torn tail is cut off."""
    stub.script = lambda n: (503, {}, b"") if n == 3 else None
    file, output = table(tmp_path / "t.csv"), tmp_path / "out.csv"
    assert run(stub.url, file, output, "--retries", "0") == 4
    assert not output.exists()
    with (tmp_path / "out.csv.part").open("ab") as part:
        part.write(b"half a li")
    stub.script = lambda n: None
    assert run(stub.url, file, output) == 0
    assert [row["id"] for row in read(output)] == [row["id"] for row in ROWS]
    assert [row["id"] for rows in stub.asked for row in rows] == [row["id"] for row in ROWS]
    assert not list(tmp_path.glob("*.part*"))


def test_a_service_that_is_not_there_is_code_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = Stub()
    url = server.url
    server.server_close()
    assert run(url, table(tmp_path / "t.csv"), tmp_path / "out.csv", "--retries", "1") == 4
    assert "cannot be reached" in capsys.readouterr().err


def test_a_part_of_another_input_is_not_mixed_in(stub: Stub, tmp_path: Path) -> None:
    stub.script = lambda n: (503, {}, b"") if n == 2 else None
    assert run(stub.url, table(tmp_path / "a.csv"), tmp_path / "out.csv", "--retries", "0") == 4
    other = table(tmp_path / "b.csv", ROWS[:5])
    assert run(stub.url, other, tmp_path / "out.csv") == 2
    assert run(stub.url, other, tmp_path / "out.csv", "--restart") == 0
    assert len(read(tmp_path / "out.csv")) == 5


def test_two_model_versions_are_not_mixed_unasked(stub: Stub, tmp_path: Path) -> None:
    """Exit code 5; --allow-mixed goes on from there."""

    def swap(n: int) -> None:
        stub.version = "4" if n > 1 else "3"

    stub.script = swap
    file, output = table(tmp_path / "t.csv"), tmp_path / "out.csv"
    assert run(stub.url, file, output) == 5
    assert run(stub.url, file, output, "--allow-mixed") == 0
    assert len(read(output)) == N


def test_the_key_is_sent_and_the_output_may_be_packed(stub: Stub, tmp_path: Path) -> None:
    assert run(stub.url, table(tmp_path / "t.csv"), tmp_path / "out.csv.gz", "--key", "rk_x") == 0
    assert len(read(tmp_path / "out.csv.gz")) == N
    path, headers = stub.paths[0]
    assert headers["Authorization"] == "Bearer rk_x"
    assert path.startswith("/predict/file?format=csv&name=t.csv.gz")


def test_ids_of_the_caller_are_left_alone(stub: Stub, tmp_path: Path) -> None:
    rows = [{"prediction_id": f"mine-{i}", "n0": "1"} for i in range(3)]
    assert run(stub.url, table(tmp_path / "t.csv", rows), tmp_path / "out.csv") == 0
    assert [row["prediction_id"] for row in stub.asked[0]] == ["mine-0", "mine-1", "mine-2"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"a,a\n1,2\n", "two columns of one name"),
        (b"a,b\n1,2\n1\n", "line 3: expected 2 fields as in the header, got 1"),
        (b'a,b\n1,"2\n', "line 2"),
        (b"a,b\n\xff,2\n", "t.csv"),
    ],
    ids=["empty", "doubles", "ragged", "quote", "utf-8"],
)
def test_a_file_that_is_no_table_is_code_2(
    stub: Stub, tmp_path: Path, content: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    assert run(stub.url, tmp_path / "t.csv", tmp_path / "out.csv") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    "more", [["--output", "t.csv"], ["--output", "o.parquet"], ["--chunk", "0"], ["--url", "x:/y"]]
)
def test_a_command_that_makes_no_sense_is_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "t.csv")
    assert predict_client.main(["t.csv", "--quiet", *more]) == 2
    assert read(tmp_path / "t.csv") == ROWS


def test_a_file_that_is_not_there_is_code_2(tmp_path: Path) -> None:
    assert predict_client.main([str(tmp_path / "no.csv")]) == 2


def test_progress_is_told(stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict_client.main([str(table(tmp_path / "t.csv")), "--url", stub.url]) == 0
    assert f"{N} rows by model version 3 in {tmp_path / 't-predictions.csv'}" in capsys.readouterr().err


def test_the_journal_says_how_far_the_output_is_good(stub: Stub, tmp_path: Path) -> None:
    """Rows, bytes and version after each part; what a reader of OUTPUT.part may rely on."""
    stub.script = lambda n: (503, {}, b"") if n == 3 else None
    assert run(stub.url, table(tmp_path / "t.csv"), tmp_path / "out.csv", "--retries", "0") == 4
    state = json.loads((tmp_path / "out.csv.part.json").read_text())
    assert (state["rows"], state["version"]) == (20, "3")
    assert state["bytes"] == (tmp_path / "out.csv.part").stat().st_size


def test_no_rows_are_an_empty_output(service: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,n0,n1,c0\n")
    assert run(service, tmp_path / "t.csv", tmp_path / "out.csv") == 0
    (line,) = (tmp_path / "out.csv").read_text().splitlines()
    assert line.startswith("prediction_id,id,n0,n1,c0,label,probability,")


DAMAGES: dict[str, tuple[Callable[[str], str], str]] = {
    "cut": (lambda text: text[:-5], "breaks off"),
    "cut at a line": (lambda text: text[: text.rindex("\n", 0, -1) + 1], "10 rows were sent and 9 came back"),
    "doubled row": (lambda text: text + text.splitlines(keepends=True)[-1], "10 rows were sent and 11 came back"),
    "one for another": (lambda text: "".join(_swapped(text.splitlines(keepends=True))), "came back as another one"),
    "reversed": (lambda text: "".join(_reversed(text.splitlines(keepends=True))), "row 1 came back as another one"),
    "no header": (lambda text: text.partition("\n")[2], "expected the columns that were sent"),
    "no label": (lambda text: text.replace(",label,", ",other,"), "expected the columns that were sent"),
    "empty": (lambda text: "", "breaks off"),
}


def _reversed(lines: list[str]) -> list[str]:
    return [lines[0], *reversed(lines[1:])]


def _swapped(lines: list[str]) -> list[str]:
    return [*lines[:-1], lines[1]]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_answer_is_told_and_never_written(
    stub: Stub, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the status 200 and all else in order: code 6, and no output."""
    stub.damage, said = DAMAGES[damage]
    assert run(stub.url, table(tmp_path / "t.csv"), tmp_path / "out.csv") == 6
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv"]


@pytest.mark.parametrize(
    ("headers", "body", "said"),
    [
        ({"Content-Type": "text/html"}, b"<html>Log in</html>\n", "got text/html"),
        ({"Content-Type": "text/csv"}, b"a,label,probability\n", "names no model version"),
        ({"Content-Type": "application/json", "X-Model-Version": "3"}, b"{}\n", "got application/json"),
    ],
    ids=["login page", "no version", "json"],
)
def test_a_page_before_the_service_is_no_answer(
    stub: Stub, tmp_path: Path, headers: dict[str, str], body: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.script = lambda n: (200, headers, body)
    assert run(stub.url, table(tmp_path / "t.csv"), tmp_path / "out.csv") == 6
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv"]


def test_a_later_damaged_part_leaves_the_good_ones_to_go_on_from(stub: Stub, tmp_path: Path) -> None:
    file, output = table(tmp_path / "t.csv"), tmp_path / "out.csv"
    stub.damage = lambda text: text if len(stub.asked) < 2 else text[:-5]
    assert run(stub.url, file, output) == 6
    assert not output.exists()
    stub.damage = lambda text: text
    assert run(stub.url, file, output) == 0
    assert [row["id"] for row in read(output)] == [row["id"] for row in ROWS]


def test_retry_after_may_be_a_date() -> None:
    """RFC 9110, 10.2.3; at most a minute is waited, and never less than the client's own pause."""
    date = email.utils.formatdate(time.time() + 20, usegmt=True)
    assert 15 < predict_client._retry_after(date, 0.5) <= 20
    past = email.utils.formatdate(time.time() - 20, usegmt=True)
    waits = [predict_client._retry_after(given, 0.5) for given in ("", "7", "900", "nan", "-1", "soon", past)]
    assert waits == [0.5, 7.0, 60.0, 0.5, 0.5, 0.5, 0.5]


def test_one_run_at_a_time_writes_an_output(stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second is told so, and what the first has written stays."""
    file, output = table(tmp_path / "t.csv"), tmp_path / "out.csv"
    codes: list[int] = []

    def second(n: int) -> None:
        if n == 2:
            codes.append(run(stub.url, file, output))

    stub.script = second
    assert run(stub.url, file, output) == 0
    assert codes == [2]
    assert "another run writes" in capsys.readouterr().err
    assert len(read(output)) == N


def test_a_file_that_changes_on_the_way_leaves_no_output(
    stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ids were made of what it was: rows of two tables are never in one output."""
    file = table(tmp_path / "t.csv", ROWS * 2_000)
    changed = [dict(row, n0="9") for row in ROWS] * 2_000

    def change(n: int) -> None:
        if n == 1:
            with file.open("r+", newline="") as stream:  # in place, as a program that appends or rewrites does
                writer = csv.DictWriter(stream, list(ROWS[0]))
                writer.writeheader()
                writer.writerows(changed)
                stream.truncate()

    stub.script = change
    assert run(stub.url, file, tmp_path / "out.csv", "--chunk", "20000") in (2, 6)
    assert "changed" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv"]


def test_the_same_table_packed_or_not_has_the_same_ids(stub: Stub, tmp_path: Path) -> None:
    for name in ("t.csv", "t.csv.gz"):
        assert run(stub.url, table(tmp_path / name), tmp_path / f"out-{name}.csv") == 0
    ids = [[row["prediction_id"] for row in read(tmp_path / f"out-{name}.csv")] for name in ("t.csv", "t.csv.gz")]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("output", ["out.csv", "out.csv.gz"])
def test_rows_are_ranked_by_the_positive_labels_probability(service: str, tmp_path: Path, output: str) -> None:
    """Whatever label was answered; a cell with a line end stays with its row."""
    rows = [{"id": f"a\n{i}" if i % 3 else f"{i}", "n0": f"{(7 * i) % N / 5 - 4}", "n1": "0", "c0": ""}
            for i in range(N)]  # fmt: skip
    assert run(service, table(tmp_path / "t.csv", rows), tmp_path / output, "--rank") == 0
    found = read(tmp_path / output)
    ranked = [float(row["positive_probability"]) for row in found]
    assert ranked == sorted(ranked, reverse=True)
    assert [float(row["probability_yes"]) for row in found] == ranked
    assert {row["label"] for row in found} == {"yes", "no"}
    assert sorted(row["id"] for row in found) == sorted(row["id"] for row in rows)
    assert not list(tmp_path.glob("*.part*"))


def test_ranking_without_a_positive_label_is_refused(
    stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(stub.url, table(tmp_path / "t.csv"), tmp_path / "out.csv", "--rank") == 2
    assert "--rank needs a positive label" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv"]


def test_a_workbook_is_scored_as_the_csv_of_it_is(service: str, tmp_path: Path) -> None:
    """Whole numbers without a point, texts as they are; and how a label is made is said at the end."""
    import xlsxwriter

    book = xlsxwriter.Workbook(str(tmp_path / "rows.xlsx"))
    sheet = book.add_worksheet()
    for i, row in enumerate([list(ROWS[0]), *(list(row.values()) for row in ROWS)]):
        for j, cell in enumerate(row):
            sheet.write(i, j, float(cell) if i and j < 3 else cell)
    book.close()
    assert run(service, tmp_path / "rows.xlsx", tmp_path / "a.csv") == 0
    assert run(service, table(tmp_path / "rows.csv"), tmp_path / "b.csv") == 0
    a, b = ([{name: cell for name, cell in row.items() if name not in ("prediction_id", "n0")} for row in read(file)]
            for file in (tmp_path / "a.csv", tmp_path / "b.csv"))  # fmt: skip
    assert a == b


SEMICOLONS = "id;n0;n1;c0\na;1.234;2;red\nb;17,5;-1;green\n"


def test_a_semicolon_file_is_read_by_what_all_of_it_shows(service: str, tmp_path: Path) -> None:
    """Its parts are sent one by one: the mark that one part shows holds for all of them."""
    (tmp_path / "g.csv").write_text(SEMICOLONS)
    plain = table(tmp_path / "p.csv", [{"id": "a", "n0": "1234", "n1": "2", "c0": "red"},
                                       {"id": "b", "n0": "17.5", "n1": "-1", "c0": "green"}])  # fmt: skip
    for name, file in (("g.out.csv", tmp_path / "g.csv"), ("p.out.csv", plain)):
        assert run(service, file, tmp_path / name, "--chunk", "1") == 0
    got, wanted = ([row["probability_yes"] for row in read(tmp_path / f"{name}.out.csv")] for name in "gp")
    assert [cell.replace(",", ".") for cell in got] == wanted


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("bom", ["", "\ufeff"], ids=["plain", "bom"])
def test_an_output_is_written_as_its_input_was(service: str, tmp_path: Path, bom: str, ending: str) -> None:
    """What opens the one opens the other: its delimiter, its decimal mark in all numbers, its mark of UTF-8."""
    content = f'{bom}id;n0;n1;c0\na;1,25;2;red\nb;-0,5;-1;a,b\nc;0,125;1;"x;y"\n'.encode()
    packed = gzip.compress(content) if ending else content
    (tmp_path / f"g.csv{ending}").write_bytes(packed)
    output = tmp_path / f"g.out.csv{ending}"
    assert run(service, tmp_path / f"g.csv{ending}", output, "--chunk", "2", "--rank") == 0
    written = gzip.decompress(output.read_bytes()) if ending else output.read_bytes()
    assert written.startswith(f"{bom}prediction_id;id;n0;n1;c0;label;probability;".encode())
    assert written.count(b"\xef\xbb\xbf") == len(bom)
    rows = read(output)
    assert sorted((row["id"], row["n0"], row["n1"], row["c0"]) for row in rows) == [
        ("a", "1,25", "2", "red"), ("b", "-0,5", "-1", "a,b"), ("c", "0,125", "1", "x;y")
    ]  # fmt: skip
    for row in rows:
        for name in ("probability", "positive_probability", "probability_yes", "probability_no"):
            assert re.fullmatch(r"[01](,\d+)?(e-\d+)?", row[name])
    shares = [float(row["positive_probability"].replace(",", ".")) for row in rows]
    assert shares == sorted(shares, reverse=True)


def test_a_part_of_another_form_is_not_gone_on_with(
    stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of an output with points and half of it with commas is of no use."""
    content = "\n".join(["id;n0", *(f"{i};{i}" for i in range(N))]) + "\n"
    (tmp_path / "g.csv").write_text(content)
    stub.script = lambda n: None if n == 1 else (400, {}, b"{}")
    assert run(stub.url, tmp_path / "g.csv", tmp_path / "o.csv") == 3
    stub.script = lambda n: None
    assert run(stub.url, tmp_path / "g.csv", tmp_path / "o.csv", "--decimal", ",") == 2
    assert "has another delimiter or decimal mark; --restart replaces it" in capsys.readouterr().err
    assert run(stub.url, tmp_path / "g.csv", tmp_path / "o.csv") == 0
    assert {row["probability"] for row in read(tmp_path / "o.csv")} == {"0.9"}
    assert run(stub.url, tmp_path / "g.csv", tmp_path / "o.csv", "--decimal", ",") == 0
    assert {row["probability"] for row in read(tmp_path / "o.csv")} == {"0,9"}


def test_a_doubtful_mark_is_asked_about_with_the_option(
    service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "g.csv").write_text('id,n0,n1,c0\na,"1,234",2,red\n')
    assert run(service, tmp_path / "g.csv", tmp_path / "o.csv") == 3
    assert "give --decimal . or --decimal ," in capsys.readouterr().err
    assert run(service, tmp_path / "g.csv", tmp_path / "o.csv", "--decimal", ".") == 0


@pytest.mark.parametrize(
    "cell",
    ["1.339", "1,339", "12,5", "0,125", "1.234,5", "1,234.5", "1.000.000", "1 234,5", "1'234.25", "12 345", ".5", "7"],
)
def test_a_cell_decides_here_as_in_the_service(cell: str) -> None:
    evidence = Evidence()
    evidence.add("x", pa.array([cell]))
    decides = {evidence.marks(default=Marks(mark)).decimal for mark in ".,"}
    assert predict_client.decimal_mark(cell) == (decides.pop() if len(decides) == 1 else "")
    assert predict_client.WRITTEN.fullmatch(cell)


def test_a_workbook_that_asks_for_any_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two cells, in opposite corners, are 17 billion."""
    import xlsxwriter

    book = xlsxwriter.Workbook(tmp_path / "t.xlsx")
    sheet = book.add_worksheet()
    sheet.write(0, 0, "n0")
    sheet.write(1_048_575, 16_383, 1)
    book.close()
    assert run("http://127.0.0.1:1", tmp_path / "t.xlsx", tmp_path / "o.csv") == 2
    assert "the workbook takes too much memory or time" in capsys.readouterr().err


def test_how_a_label_is_made_is_said_at_the_end(
    service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict_client.main([str(table(tmp_path / "in.csv")), "--url", service]) == 0
    assert "and more the answer is" in capsys.readouterr().err


@pytest.mark.parametrize(
    "cell",
    [
        True, 3.0, 0.25, "a", datetime.date(2026, 11, 2), datetime.datetime(2026, 11, 2),
        datetime.datetime(2026, 11, 2, 8, 30), datetime.time(8, 30),
    ],
)  # fmt: skip
def test_a_workbooks_cell_is_sent_as_training_read_it(cell: object) -> None:
    """The client has no part of the product, so the rule stands twice: it must be one."""
    assert predict_client._plain(cell) == workbook.text(cell)


def test_a_delimiter_is_one_character(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        predict_client.main(["t.csv", "--delimiter", ";;"])
    assert "one character, or the word tab, not ';;'" in capsys.readouterr().err
