"""The pages without a browser: content, languages, escaping, forms, headers."""

from __future__ import annotations

import codecs
import csv
import errno
import html
import io
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from flask.testing import FlaskClient

from ml import messages
from ml.bundle import reader
from ml.charts import bars
from ml.charts.document import document
from ml.registry import outside_moves
from ml.schema.rows import RowReader
from ml.schema.schema import Column, Schema
from serving.app import create_app
from serving.auth.keys import Scope, create
from serving.model.store import Pointer, write_pointer
from serving.pages import STATIC, fields, file, work_list, workbook
from serving.pages.i18n import formats
from serving.pages.models import overview, version
from serving.scoring.upload import Dialect
from serving.status import reader as status_file
from serving.status.reader import LedgerEntry, VersionEntry
from tests.serving import showcase
from tests.serving.tiny import settings_for

HOSTILE = "<script>alert(1)</script>'\"{{7*7}}"
ROW = {f"c{i}": "0.5" for i in range(6)} | {f"c{i}": "red" for i in range(6, 9)}
CSV = "id,n0,n1,n2,n3,n4,n5,c0,c1,c2\n7,1,2,3,4,5,6,red,green,red\n=1+1,1,2,3,4,5,6,red,green,blue\n"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    """A client of an application with a full showcase."""
    showcase.write(tmp_path)
    yield from _client(tmp_path)


def _client(home: Path) -> Iterator[FlaskClient]:
    app = create_app(settings_for(home))
    yield app.test_client()
    app.extensions["refit"].close()


@pytest.mark.parametrize("path", ["/", "/models", "/monitoring"])
def test_pages_say_so_when_there_is_nothing_yet(path: str, tmp_path: Path) -> None:
    """A fresh home gives pages, not errors."""
    for client in _client(tmp_path):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "No model is in service yet." in answer.text


def test_an_undefined_metric_is_said_to_be_one(client: FlaskClient) -> None:
    """Of a class that no test row has; a version of which nothing was measured has a dash."""
    nothing = {"value": None, "low": None, "high": None}
    files: Any = SimpleNamespace(metrics={"metrics": {version.HEADLINE[0]: nothing}})
    measured = VersionEntry(version="2", metrics={"accuracy": (0.9, None, None)})
    with client.application.test_request_context("/models"):
        assert [card["figure"] for card in version.cards(files)] == ["undefined"]
        cells = [overview._cell(entry, "roc_auc") for entry in (measured, VersionEntry(version="1"))]
        assert cells == ["undefined", "–"]


@pytest.mark.parametrize("path", ["/models", "/monitoring"])
@pytest.mark.parametrize("what", ["promoted", "alias deleted"])
def test_a_move_in_mlflows_registry_is_told_until_the_next_of_ours(what: str, path: str, tmp_path: Path) -> None:
    """With what the gate would have said; and its mark on the chart says where it was made."""
    kept = showcase._status("")
    doubts = [messages.message("release.was_quarantined", reason="complaints")]
    why = messages.message("release.moved_with_doubts", doubts=doubts)
    to = "" if what == "alias deleted" else "4"
    at = kept.windows[-1].end - 1
    moved = LedgerEntry(time=at, what=what, from_version="3", to_version=to, who=outside_moves.IN_MLFLOW, why=why)
    showcase.write(tmp_path)
    for rows, told in (((moved, *kept.ledger), True), ((kept.ledger[0], moved), False)):
        status_file.write(tmp_path / "var" / "serving", msgspec.structs.replace(kept, ledger=rows))
        for client in _client(tmp_path):
            text = client.get(path).text
            flags = [flag for flag in re.findall(r'<p class="flag"[^>]*>.*?</p>', text) if "quarantined" in flag]
            assert len(flags) == int(told)
            if told:
                vi = client.get(f"{path}?lang=vi").text
                assert "quarantined" not in "".join(re.findall(r'<p class="flag"[^>]*>.*?</p>', vi))
                if path == "/monitoring":
                    version, key = to or "3", "promoted" if to else "alias-deleted"
                    assert re.search(rf"{what}: {version} · [^<]* · in MLflow[^<]*s registry</title>", text)
                    assert re.search(rf": {version} · [^<]* · trong kho mô hình của MLflow</title>", vi)
                    assert f"key-{key}" in text


BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("method", "path", "status", "title"),
    [("GET", "/nowhere", 404, "Not Found"), ("POST", "/models", 405, "Method Not Allowed"),
     ("GET", "/feedback", 405, "Method Not Allowed")],
)  # fmt: skip
def test_an_error_is_a_page_where_a_browser_asks(
    client: FlaskClient, method: str, path: str, status: int, title: str
) -> None:
    """With the way back, in the reader's language; programs get what they got."""
    page = client.open(path, method=method, headers=BROWSER)
    assert (page.status_code, page.mimetype) == (status, "text/html")
    assert f"<h1>{title}</h1>" in page.text
    assert "Back to the start" in page.text
    assert '<html lang="vi"' in client.open(f"{path}?lang=vi", method=method, headers=BROWSER).text
    assert page.headers.get("Allow") == client.open(path, method=method).headers.get("Allow")
    for accept in ("*/*", "application/json", ""):
        answer = client.open(path, method=method, headers={"Accept": accept})
        assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert client.get("/v2/nowhere", headers=BROWSER).mimetype == "application/json"


def test_no_model_yet_is_a_page_where_a_browser_asks(tmp_path: Path) -> None:
    for client in _client(tmp_path):
        page = client.get("/model", headers=BROWSER)
        assert (page.status_code, page.mimetype) == (503, "text/html")
        assert "no version has been promoted yet" in page.text


def test_a_change_of_table_has_its_mark_on_the_chart_and_its_line_in_the_ledger(tmp_path: Path) -> None:
    kept = showcase._status("")
    changed = messages.message("release.contract", changes=["target: b, not a"])
    moved = LedgerEntry(
        time=kept.windows[-1].end - 1, what="new contract", from_version="3", to_version="4", who="ann", why=changed
    )
    showcase.write(tmp_path)
    status_file.write(tmp_path / "var" / "serving", msgspec.structs.replace(kept, ledger=(moved, *kept.ledger)))
    for client in _client(tmp_path):
        text = client.get("/monitoring").text
        assert re.search(r'class="event event-new-contract"[^>]*><title>new contract: 4', text)
        assert '<span class="key key-new-contract"></span>Other columns or classes' in text
        assert changed.text in html.unescape(client.get("/models").text)


@pytest.mark.parametrize("path", ["/", "/models", "/models/2", "/monitoring"])
def test_pages_are_vietnamese_where_asked(path: str, client: FlaskClient) -> None:
    """By the browser's language, by ?lang=, and by the cookie that it leaves."""
    by_browser = client.get(path, headers={"Accept-Language": "vi,en;q=0.5"})
    assert '<html lang="vi"' in by_browser.text
    assert '<html lang="en"' in client.get(path).text
    assert "Dự đoán" in client.get(f"{path}?lang=vi").text
    assert '<html lang="vi"' in client.get(path).text


@pytest.mark.parametrize("path", ["/", "/models", "/models/2", "/monitoring"])
def test_pages_allow_nothing_inline_and_nothing_from_elsewhere(path: str, client: FlaskClient) -> None:
    """The policy is strict, and the pages keep to it."""
    answer = client.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|<style", answer.text)
    assert not re.search(r'(?:src|href)="https?://(?!127\.0\.0\.1)', answer.text)


@pytest.mark.parametrize("path", ["/", "/models", "/models/2", "/models/3", "/monitoring", "/monitoring?report=check0"])
def test_text_of_others_is_escaped(path: str, tmp_path: Path) -> None:
    """Reasons, names and sentences may hold anything."""
    showcase.write(tmp_path, hostile=HOSTILE)
    for client in _client(tmp_path):
        text = client.get(path).text
        assert "<script>alert" not in text
        assert "49" not in re.findall(r"alert\(1\).{0,40}", text)


def test_the_form_predicts_explains_and_takes_the_label(client: FlaskClient) -> None:
    """The main path of the page, as a browser without JavaScript walks it."""
    answer = client.post("/", data=ROW)
    assert answer.status_code == 200
    assert 'id="answer"' in answer.text
    assert answer.text.count('class="bar bar-') >= 9
    found = re.search(r'name="prediction_id" value="([0-9a-f]{32})"', answer.text)
    assert found
    thanks = client.post("/label", data={"prediction_id": found[1], "label": "yes"}, follow_redirects=True)
    assert "the true label was kept" in thanks.text


def test_one_bar_has_the_positive_labels_probability_with_threshold_and_base_rate(client: FlaskClient) -> None:
    """And the sentence says what the threshold is, and what it was chosen for; the same on the page of the model."""
    told = "At 30.0% and more the answer is “yes”, chosen for accuracy; 24.3% of the test rows are “yes”."
    answer = client.post("/", data=ROW).text
    assert re.search(r'class="event event-threshold" x1="144\.0"', answer)  # .3 of the bar's 480
    assert re.search(r'class="event event-usual" x1="116\.6"', answer)
    assert "Probability of “yes”: " in answer
    assert "undecided" not in answer
    models_page = client.get("/models").text
    assert told in answer
    assert told in models_page
    assert "Of 100 rows that it answers “yes”, 39 are; of 100 that are, it finds 77." in models_page
    assert "95% interval 0.850 to 0.930; without skill 0.757; with the threshold at ½ 0.902" in models_page
    assert client.get("/model").json["answers"][0] == told  # type: ignore[index]
    vi = client.post("/?lang=vi", data=ROW).text
    assert "Từ 30,0% trở lên thì trả lời “yes”; ngưỡng được chọn theo độ chính xác." in vi


def test_the_true_label_has_no_preset_and_the_answer_stays_after_it(client: FlaskClient) -> None:
    """The row's own answer, with its own id, and nothing is logged twice."""
    answer = client.post("/", data=ROW | {"c0": "1.25"}).text
    form = answer[answer.index('action="/label') :]
    form = form[: form.index("</form>")]
    assert "selected" not in form
    sent = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form))
    logged = list((client.application.extensions["refit"].settings.var).rglob("*.seg*"))
    before = sum(file.stat().st_size for file in logged)
    thanks = client.post("/label", data=sent | {"label": "no"})
    assert thanks.status_code == 200
    assert "the true label was kept" in thanks.text
    for part in ('class="bar bar-share"', sent["prediction_id"], "<option selected>no</option>"):
        assert part in thanks.text
    rect = r'class="bar bar-share"[^>]*width="([^"]+)'
    assert re.findall(rect, thanks.text) == re.findall(rect, answer)
    assert sum(file.stat().st_size for file in logged) - before < 500  # a label, and no row
    assert client.post("/label", data=sent | {"label": ""}).status_code == 422


def test_a_key_for_labels_alone_sees_no_answer(tmp_path: Path) -> None:
    """The answer after a label needs the scope that answers need."""
    showcase.write(tmp_path)
    app = create_app(settings_for(tmp_path, serving={"require_keys": "always"}))
    client, service = app.test_client(), app.extensions["refit"]
    combinations: tuple[tuple[Scope, ...], ...] = (("feedback",), ("feedback", "predict"))
    keys = {
        scopes: {"Authorization": f"Bearer {create(service.settings, scopes, scopes[0])}"} for scopes in combinations
    }
    sent = ROW | {"prediction_id": "a", "label": "yes", "version": "3"}
    status = {scopes: client.post("/label", data=sent, headers=headers).status_code for scopes, headers in keys.items()}
    assert status == {("feedback",): 303, ("feedback", "predict"): 200}
    service.close()


def test_contributions_are_points_of_the_probability_beside_log_odds(client: FlaskClient) -> None:
    """The points add up to the distance of the row's probability from that of typical rows."""
    text = client.post("/", data=ROW).text
    table = text[text.index('aria-label="Contributions"') :].split("</table>")[0]
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)[1:]]
    assert {tuple(row[2][-3:]) for row in rows} == {tuple(" pp")}
    points = [float(row[2].removesuffix(" pp")) for row in rows]
    odds = [float(row[3]) for row in rows]
    assert len(rows) == 9
    assert all(p * o >= 0 for p, o in zip(points, odds, strict=True))
    assert text.count(" pp</text>") == 9


def test_a_wrong_field_is_named_and_marked(client: FlaskClient) -> None:
    """A word in a number field: 422, the column in the message, the field marked, what was typed kept."""
    answer = client.post("/", data=ROW | {"c2": "many"})
    assert answer.status_code == 422
    assert "column “n2”" in answer.text
    assert re.search(r'<input id="field-2"[^>]*value="many"[^>]*aria-invalid="true"', answer.text)


def test_a_decimal_comma_is_understood(client: FlaskClient) -> None:
    """Vietnamese numbers have a comma."""
    with_point, with_comma, other = (
        re.findall(r'class="bar bar-share"[^>]*width="([^"]+)', client.post("/", data=ROW | {"c0": typed}).text)
        for typed in ("1.5", "1,5", "-2")
    )
    assert with_point == with_comma != other != []


def test_the_example_is_read_as_it_stands_in_its_field(client: FlaskClient) -> None:
    """Whatever marks the tables have."""
    column = Column(name="amount", kind="number", minimum=1.0, maximum=900.0, example=247.23)
    schema = Schema(target="y", classes=("0", "1"), positive_label="1", columns=(column,), decimal=",", thousands=".")
    with client.application.test_request_context("/?lang=vi"):
        assert fields.example(column) == "247,23"
        assert fields.record(schema, ["247,23"]) == fields.record(schema, ["247.23"]) == {"amount": 247.23}
        assert fields.record(schema, ["1.250,5"]) == {"amount": 1250.5}


@pytest.mark.parametrize(
    ("lang", "text", "value"),
    [
        ("vi", "1.339,75", "1339.75"),
        ("vi", "1339,75", "1339.75"),
        ("vi", "1,339", "1.339"),
        ("vi", "0.125", "0.125"),
        ("vi", "1.5", "1.5"),
        ("vi", "1.234.567", "1234567"),
        ("en", "1,339.75", "1339.75"),
        ("en", "1.500", "1.5"),
        ("en", "1,234,567", "1234567"),
        ("en", "0,125", "0.125"),
    ],
)
def test_a_number_is_read_as_its_language_writes_it(client: FlaskClient, lang: str, text: str, value: str) -> None:
    with client.application.test_request_context(f"/?lang={lang}"):
        assert fields._readings(text, Schema(target="y", classes=("a", "b"), positive_label="b", columns=())) == [
            float(value)
        ]


@pytest.mark.parametrize("lang", ["en", "vi"])
def test_what_the_hint_prints_can_be_typed(client: FlaskClient, lang: str) -> None:
    with client.application.test_request_context(f"/?lang={lang}"):
        for value in (1339.75, 1339.0, 1.339, -1234567.0, 0.125, -0.5):
            column = Column(name="x", kind="number", minimum=value, maximum=value)
            (low, high) = re.split(" to | đến ", fields._field(0, column, "", wrong=False).hint)
            schema = Schema(target="y", classes=("a", "b"), positive_label="b", columns=(column,))
            assert low == high
            assert fields._readings(low, schema) == [value]


@pytest.mark.parametrize(("lang", "hint"), [("en", "80.48 to 41881.54"), ("vi", "80,48 đến 41881,54")])
def test_the_hint_has_the_digits_that_the_table_had(client: FlaskClient, lang: str, hint: str) -> None:
    """A bound is a float32, which as a double is 41881.5390625; what is typed is inside of the range."""
    low, high = (float(np.float32(bound)) for bound in (80.48, 41881.54))
    column = Column(name="x", kind="number", minimum=low, maximum=high)
    schema = Schema(target="y", classes=("a", "b"), positive_label="b", columns=(column,))
    with client.application.test_request_context(f"/?lang={lang}"):
        assert fields._field(0, column, "", wrong=False).hint == hint
        for bound in re.split(" to | đến ", hint):
            record = fields.record(schema, [bound])
            assert RowReader(schema).records([record]).warnings == ()


def test_a_small_bound_is_not_rounded_to_nothing(client: FlaskClient) -> None:
    with client.application.test_request_context("/?lang=en"):
        assert formats.typed(0.00000125) == "0.00000125"


def test_a_bound_is_taken_as_the_form_printed_it(client: FlaskClient) -> None:
    """Even where the tables' marks would make another number of it."""
    column = Column(name="x", kind="number", minimum=1.5, maximum=234.568)
    schema = Schema(target="y", classes=("a", "b"), positive_label="b", columns=(column,), decimal=",", thousands=".")
    with client.application.test_request_context("/?lang=en"):
        assert fields.record(schema, ["234.568"]) == {"x": 234.568}


def test_a_number_in_vietnamese_that_may_be_another_is_refused(client: FlaskClient) -> None:
    """Unless it is the example, which the form filled in itself."""
    refused = client.post("/?lang=vi", data=ROW | {"c0": "1.500"})
    assert refused.status_code == 422
    assert "1,5 hoặc 1500" in refused.text


@pytest.mark.parametrize("typed", ["1,500", "1_5", "1.5.0"])
def test_a_number_that_may_be_another_is_refused(client: FlaskClient, typed: str) -> None:
    """A comma before three digits may stand between thousands; 1.5 in silence would be wrong for half of the people."""
    answer = client.post("/", data=ROW | {"c0": typed})
    assert answer.status_code == 422
    assert typed in answer.text


@pytest.mark.parametrize(
    ("lang", "typed", "told"),
    [
        ("en", "1.339,75", "a number as this page writes it: 1339.75, got"),
        ("en", "1 339,75", "a number as this page writes it: 1339.75, got"),
        ("en", "1'339.75", "a number as this page writes it: 1339.75, got"),
        ("vi", "1,339.75", "một số viết như trên trang này: 1339,75"),
        ("en", "1.5.0", "a number, or nothing where it is missing"),
    ],
)
def test_a_number_of_another_language_is_refused_with_its_form_here(
    client: FlaskClient, lang: str, typed: str, told: str
) -> None:
    answer = client.post(f"/?lang={lang}", data=ROW | {"c0": typed})
    assert answer.status_code == 422
    assert told in answer.text


@pytest.mark.parametrize(
    ("lang", "told"), [("en", "choose it in the field “Decimal mark”"), ("vi", "hãy chọn ở ô “Dấu thập phân”")]
)
def test_marks_in_doubt_are_chosen_in_the_field_of_the_page(client: FlaskClient, lang: str, told: str) -> None:
    """It has no parameter decimal=."""
    table = CSV.replace("7,1,2", '7,"1,234",2')
    answer = client.post(f"/file?lang={lang}", data={"file": (io.BytesIO(table.encode()), "t.csv")})
    assert answer.status_code == 422
    assert told in answer.text
    assert "1234" in answer.text
    assert "decimal=" not in answer.text


def test_a_wrong_label_is_refused(client: FlaskClient) -> None:
    """Only the model's classes are labels."""
    answer = client.post("/label", data={"prediction_id": "a", "label": "perhaps"})
    assert answer.status_code == 422
    assert "perhaps" in answer.text


def test_a_file_is_scored_shown_and_downloaded(client: FlaskClient) -> None:
    """Upload, table, summary, download with formula cells made text."""
    answer = client.post("/file", data={"file": (io.BytesIO(CSV.encode()), "rows.csv")})
    assert answer.status_code == 200
    assert "2 rows were scored" in answer.text
    link = re.search(r'href="(/file/[^"]+)"', answer.text)
    assert link
    with client.get(link[1]) as result:
        assert result.status_code == 200
        assert "'=1+1" in result.text
        assert result.text.count("\n") == 3


def _scored(client: FlaskClient, content: str, name: str = "rows.csv") -> tuple[str, list[list[str]]]:
    """The page of a result, and its download's cells."""
    page = client.post("/file", data={"file": (io.BytesIO(content.encode()), name)})
    assert page.status_code == 200, page.text
    link = re.search(r'href="(/file/[^"]+[.]csv)"', page.text)
    assert link
    with client.get(link[1]) as result:
        return page.text, list(csv.reader(io.StringIO(result.text)))


def test_a_result_is_a_list_to_work_through(client: FlaskClient) -> None:
    """The likeliest positive label first, on the page and in the file, and how many are to be expected."""
    lines = [f'"{i}, ""x""\nb",.1,.2,.3,.1,.2,{i % 7 / 10},red,green,red' for i in range(300)]
    text, (head, *rows) = _scored(client, "\n".join([CSV.splitlines()[0], *lines]) + "\n")
    assert head[:3] == ["positive_probability", "label", "true_label"]
    shares = [float(row[0]) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert len(set(shares)) == 7
    place = head.index("id")
    assert sorted(int(row[place].split(",")[0]) for row in rows) == list(range(300))
    assert all(row[place].endswith(', "x"\nb') for row in rows)
    top = [int(row[place].split(",")[0]) for row in rows if float(row[0]) == shares[0]]
    assert top == sorted(top)  # of equals the first
    shown = re.findall(r"<tbody>.*</tbody>", text[text.index('id="rows"') :], re.DOTALL)[0]
    assert '<th scope="col">Probability of “yes”</th><th scope="col">Answer</th>' in text
    assert "probability_no</th>" not in text  # what the first column implies
    assert [f"{share:.1%}" for share in shares[:200]] == re.findall(r"<tr><td>([^<]*)</td>", shown)
    assert re.search(rf'<th scope="row">yes</th>(<td>[^<]*</td>){{2}}<td>{sum(shares):.0f}</td>', text)
    assert "24.3% of the test rows are “yes”" in text


def test_ids_come_first_and_a_truth_that_came_is_kept(tmp_path: Path) -> None:
    showcase.write(tmp_path, id_columns=("id",))
    for client in _client(tmp_path):
        first, *rest = CSV.splitlines()
        _, (head, *rows) = _scored(client, "\n".join([f"true_label,{first}", *(f"yes,{row}" for row in rest)]) + "\n")
        assert head[:4] == ["id", "positive_probability", "label", "true_label"]
        assert [row[3] for row in rows] == ["yes", "yes"]


def test_without_a_positive_label_rows_stay_in_their_order(tmp_path: Path) -> None:
    showcase.write_wide(tmp_path)
    for client in _client(tmp_path):
        names = client.get("/model").json["example"]  # type: ignore[index]
        content = ",".join(["id", *names]) + "\n" + "".join(f"{i}" + ",1" * 100 + "\n" for i in range(3))
        text, (head, *rows) = _scored(client, content)
        assert [row[head.index("id")] for row in rows] == ["0", "1", "2"]
        assert "The first 3 rows." in text


def test_a_full_disk_leaves_the_result_in_the_order_that_came(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the page does not say otherwise."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(work_list, "order_rows", full)
    text, (head, *rows) = _scored(client, CSV)
    assert [row[head.index("id")] for row in rows] == ["7", "'=1+1"]
    assert "highest probability" not in text


def test_a_result_with_its_truths_is_sent_back_as_labels(client: FlaskClient) -> None:
    """Rows without a truth are passed over; as Excel saves it in some countries too; a wrong label is named by line."""
    _, (head, *rows) = _scored(client, CSV)
    place = head.index("true_label")
    rows[0][place] = "yes"
    for delimiter in ",;":
        out = io.StringIO()
        csv.writer(out, delimiter=delimiter).writerows([head, *rows])
        content = out.getvalue().encode()
        kept = client.post("/labels", data={"file": (io.BytesIO(content), "rows-predictions.csv")})
        assert kept.status_code == 200
        assert (
            "Thank you: 1 true label was kept. They count in the next drift check; 1 rows have none yet." in kept.text
        )
        api = client.post("/feedback", data=content, content_type="text/csv")
        assert api.json == {"accepted": 1}
    rows[1][place] = "perhaps"
    out = io.StringIO()
    csv.writer(out).writerows([head, *rows])
    wrong = client.post("/labels", data={"file": (io.BytesIO(out.getvalue().encode()), "r.csv")})
    assert wrong.status_code == 422
    assert "line 3" in wrong.text
    assert "true_label" in wrong.text
    assert "perhaps" in wrong.text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a,b\n1,2\n", "prediction_id and true_label"),
        ("prediction_id,true_label\na,\n", "no row has a label"),
        (None, "Choose a file"),
    ],
)  # fmt: skip
def test_labels_that_are_none_are_refused(client: FlaskClient, content: str | None, told: str) -> None:
    data = {} if content is None else {"file": (io.BytesIO(content.encode()), "r.csv")}
    answer = client.post("/labels", data=data)
    assert answer.status_code == 422
    assert told in answer.text


def test_a_result_as_a_workbook(client: FlaskClient, tmp_path: Path) -> None:
    """Numbers are numbers and texts texts: no formula, no lost zero; a large one is not made."""
    import python_calamine

    text, (head, *rows) = _scored(client, CSV + "007,1,2,3,4,5,6,red,green,blue\n")
    link = re.search(r'href="(/file/[^"]+[.]xlsx[^"]*)"', text)
    assert link
    with client.get(html.unescape(link[1])) as answer:
        assert answer.mimetype == file.XLSX
        sheet = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(answer.data)).get_sheet_by_index(0)
    names, *cells = sheet.to_python()
    assert names == head
    assert [row[0] for row in cells] == [float(row[0]) for row in rows]
    assert {row[head.index("id")] for row in cells} == {7.0, "=1+1", "007"}
    path = next((tmp_path / "var" / "serving" / "results").iterdir())
    assert work_list.cells(path, Dialect()) == 4 * len(head)


def test_a_result_is_written_as_its_table_was(client: FlaskClient) -> None:
    """What opens a table with semicolons and decimal commas opens its result, with one decimal mark throughout."""
    import python_calamine

    first, *rest = CSV.replace(",", ";").splitlines()
    content = "\n".join([first, *(row.replace("7;1;", "7;1,25;").replace("=1+1;1;", "8;1,5;") for row in rest)]) + "\n"
    page = client.post("/file", data={"file": (io.BytesIO(content.encode("utf-8-sig")), "rows.csv")})
    links = re.findall(r'href="(/file/[^"]+)"', page.text)
    with client.get(links[0]) as answer:
        assert answer.data.startswith(codecs.BOM_UTF8), "or Excel takes UTF-8 for another encoding"
        head, *rows = csv.reader(io.StringIO(answer.data.decode("utf-8-sig")), delimiter=";")
    assert {row[head.index("n0")] for row in rows} == {"1,25", "1,5"}
    assert all(re.fullmatch(r"0,\d+|1", row[0]) for row in rows)
    with client.get(html.unescape(links[1])) as answer:
        sheet = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(answer.data)).get_sheet_by_index(0)
    names, *cells = sheet.to_python()
    assert names == head
    assert [row[0] for row in cells] == [float(row[0].replace(",", ".")) for row in rows]
    assert {row[head.index("n0")] for row in cells} == {1.25, 1.5}
    assert client.get(html.unescape(links[1]).replace("delimiter=;", "delimiter=ab")).status_code == 404


def test_a_large_result_is_no_workbook(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MAX_CELLS", 10)
    text, _ = _scored(client, CSV)
    assert ".xlsx&#34;" not in text
    link = re.search(r'href="(/file/[^"]+)[.]csv"', text)
    assert link
    assert '.xlsx"' not in text
    assert "More than 10 cells are too many" in text
    assert client.get(f"{link[1]}.xlsx").status_code == 404


@pytest.mark.parametrize(
    ("content", "expected"),
    [("n0,n1\n1,2\n", "lacks"), (CSV.replace("4", "four", 1), "four"), ("", "empty")],
    ids=["missing columns", "word in a number", "empty file"],
)
def test_a_bad_file_is_explained(content: str, expected: str, client: FlaskClient) -> None:
    """Nothing is scored, and the message names the place."""
    answer = client.post("/file", data={"file": (io.BytesIO(content.encode()), "rows.csv")})
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert expected in answer.text


def test_results_of_others_are_not_guessed(client: FlaskClient) -> None:
    """An address that was never given out is 404, also one that climbs."""
    assert client.get("/file/AAAAAAAAAAAAAAAAAAAAAA/x.csv").status_code == 404
    assert client.get("/file/..%2Fcurrent.json/x.csv").status_code == 404


def test_a_result_that_another_upload_clears_away_meanwhile_is_no_error(client: FlaskClient, tmp_path: Path) -> None:
    """It is listed, and gone when it is looked at, as a name that leads nowhere is."""
    folder = tmp_path / "var" / "serving" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(3):
        (folder / f"gone{i}").symlink_to("nowhere")
    assert client.post("/file", data={"file": (io.BytesIO(b"x"), "rows.csv")}).status_code == 422
    assert client.get("/file/AAAAAAAAAAAAAAAAAAAAAA/x.csv").status_code == 404


def test_a_report_is_sandboxed(client: FlaskClient) -> None:
    """The report's scripts run in an origin of their own; only listed reports are served."""
    with client.get("/monitoring/report/check0") as answer:
        assert answer.status_code == 200
        policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in policy
    assert client.get("/monitoring/report/check1").status_code == 404
    assert client.get("/monitoring/report/..%2f..%2fserving%2fstatus.json").status_code == 404


def test_a_figure_of_the_bundle_runs_nothing(tmp_path: Path) -> None:
    """What is not drawn from numbers is shown as its file, which loads and runs nothing when opened by itself."""
    showcase.write(tmp_path)
    folder = tmp_path / "var" / "serving"
    figures = folder / "cache" / "a" / "figures"
    figures.mkdir()
    (figures / "by_hour.svg").write_bytes(document([bars([("a", 1.0)], title="t")], title="t"))
    (figures / "roc.svg").write_bytes(b"drawn from numbers")
    write_pointer(folder, Pointer("3", "cache/a", reader.seal(figures.parent)))
    for client in _client(tmp_path):
        assert re.findall(r'<img src="/models/figure/(\w+)\.svg', client.get("/models").text) == ["by_hour"]
        with client.get("/models/figure/by_hour.svg") as answer:
            assert answer.mimetype == "image/svg+xml"
            assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
        assert client.get("/models/figure/by_day.svg").status_code == 404
        assert client.get("/models/figure/..%2fmetrics.json").status_code == 404


def weight(client: FlaskClient, path: str) -> int:
    """Bytes of a page with its styles, script and pictures, uncompressed."""
    shared = sum((STATIC / name).stat().st_size for name in ("pico.min.css", "style.css", "page.js", "icon.svg"))
    text = client.get(path).text
    pictures = re.findall(r'<img src="([^"]+)"', text)
    return shared + len(text.encode()) + sum(len(client.get(url).data) for url in pictures)


@pytest.mark.parametrize("path", ["/", "/models", "/monitoring", "/docs"])
def test_page_weight_is_small(path: str, client: FlaskClient) -> None:
    """A page stays below 300 kB."""
    assert weight(client, path) < 300_000


@pytest.mark.parametrize("path", ["/", "/models", "/monitoring", "/docs"])
def test_a_wide_model_of_many_classes_makes_no_heavy_page(path: str, tmp_path: Path) -> None:
    """100 columns with long names, 26 classes, 50 trials, 50 checks with a reason a column."""
    showcase.write_wide(tmp_path)
    for client in _client(tmp_path):
        assert client.get("/health/ready").json["model_version"] == "3"
        assert weight(client, path) < 300_000


def test_what_would_change_an_answer_names_columns_as_the_form_does(tmp_path: Path) -> None:
    """Without what all names begin with; the whole name is under the pointer."""
    showcase.write_wide(tmp_path)
    for client in _client(tmp_path):
        names = client.get("/model").json["example"]  # type: ignore[index]
        shared = next(iter(names))[:-3]
        text = client.post("/", data={f"c{i}": "0.25" for i in range(len(names))}).get_data(as_text=True)
        changes = text.split("What would change it")[1].split("</ul>")[0]
        assert f'<li title="{shared}' in changes
        assert ">…0" in changes
        assert f">{shared}" not in changes


def test_every_string_is_translated() -> None:
    """The compiled catalogue is the catalogue, and leaves nothing in English."""
    folder = STATIC.parent / "translations" / "vi" / "LC_MESSAGES"
    with (folder / "messages.po").open("rb") as po, (folder / "messages.mo").open("rb") as mo:
        text, compiled = read_po(po), read_mo(mo)
    for message in text:
        if message.id:
            assert message.string, message.id
            first = message.id[0] if isinstance(message.id, tuple) else message.id
            found = compiled.get(first).string
            assert (tuple(found) if isinstance(found, list) else found) == message.string


def test_the_catalogue_has_every_string_of_the_pages() -> None:
    """A new string without its translation fails here; CONTRIBUTING.md says how to add it."""
    from babel.messages.extract import extract_from_dir

    root = STATIC.parent
    with (root / "translations" / "vi" / "LC_MESSAGES" / "messages.po").open("rb") as po:
        known = {m.id[0] if isinstance(m.id, tuple) else m.id for m in read_po(po)}
    methods = [("pages/**.py", "python"), ("templates/**.html", "jinja2")]
    keywords = {"_": None, "_l": None, "N_": None, "gettext": None, "ngettext": (1, 2)}
    for name, line, message, *_ in extract_from_dir(str(root), methods, keywords=keywords):
        first = message[0] if isinstance(message, tuple) else message
        assert first in known, f"{name}:{line}"


def test_a_table_of_float32_is_shown_with_the_digits_that_it_had(client: FlaskClient) -> None:
    with client.application.test_request_context("/?lang=en"):
        values = work_list._values(pa.chunked_array([pa.array([2368.56, None], pa.float32())]))
        assert [work_list._cell(value) for value in values] == ["2368.56", ""]
