"""The library's sentences on the Vietnamese pages: each is known, and none is left in English."""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from ml.messages import Message, message
from serving.app import create_app
from serving.pages.i18n import templates
from serving.pages.i18n.translation import HOLE, TOLD, said, translated
from tests.conftest import CHECKOUT
from tests.serving import showcase
from tests.serving.tiny import settings_for

# Where sentences are made that people read on the pages, and that are no messages by code yet.
MODULES = (
    "ml/schema/rows.py",
    "ml/schema/warnings.py",
    "ml/data/sources/csv_reader.py",
    "serving/scoring/upload.py",
)
# What stands in a sentence where the code fills in words of its own, by the source of the expression.
FILLED = {
    "said": "not packed",
    "is_": "not packed",
    "' or '.join(map(repr, near))": "'a'",
    "c.kind": "number",
}
# Parts of the sentences above, which do not come alone.
PARTS = {"7: 7", "7 (7)", "column '7'", "column '7': 7", "7 is 7"}
# What no page shows: notes for who trains, log lines, names of methods and of kinds.
NOT_SHOWN = (
    *(
        "confirmed by",
        "not confirmed",
        "; no service listens",
        "unexpected end of data",
        "spaces around",
        "the header begins",
    ),
    *(
        "the delimiter is",
        "7 comment line",
        "7 column",
        "data.encoding",
        "insufficient data",
        "broken data",
        "two-sample",
    ),
    *("rolled back", "rollback failed", "baking watch", "shadow watch", "refused in shadow"),
)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """An application with nothing in it."""
    made = create_app(settings_for(tmp_path_factory.mktemp("home")))
    yield made
    made.extensions["refit"].close()


@pytest.fixture
def vietnamese(app: Flask) -> Iterator[None]:
    """A request of a Vietnamese reader."""
    with app.test_request_context("/?lang=vi"):
        yield


def written(path: Path) -> list[str]:
    """Every text of at least two words that a module holds, with 7 for what is filled in; docstrings left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and isinstance(node.body[0], ast.Expr):
            skipped.add(node.body[0].value)
        if isinstance(node, ast.JoinedStr):
            skipped |= {inner for inner in ast.walk(node) if inner is not node}
    found = [_text(node) for node in ast.walk(tree) if node not in skipped]
    # "%s" is a line of a log.
    found = [text for text in found if " " in text.strip() and "%s" not in text]
    return [text for text in found if not text.startswith(NOT_SHOWN) and text not in PARTS]


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return ""
    return "".join(
        str(part.value) if isinstance(part, ast.Constant) else FILLED.get(ast.unparse(part.value), "7")
        for part in node.values
        if isinstance(part, ast.Constant | ast.FormattedValue)
    )


@pytest.mark.parametrize("module", MODULES)
def test_every_sentence_of_the_library_is_known(module: str, vietnamese: None) -> None:
    """New or reworded there: add it to serving/pages/i18n/templates.py, and its Vietnamese."""
    texts = written(CHECKOUT / module)
    assert texts
    assert [text for text in texts if said(text) == text] == []


def test_the_values_are_filled_in_and_numbers_are_the_readers(vietnamese: None) -> None:
    """Names stay, decimals get a comma, and messages inside of a message are told one by one."""
    where = message("gate.slice", column="age", value=message("evaluation.range", low=18, high=27.5))
    reasons = [message("gate.worse", loss=0.0123), message("gate.worse_slice", where=where, n=1230, loss=0.2)]
    notes = [message("gate.trained_on_left_out", n=40)]
    told = translated(message("gate.with_notes", verdict=message("gate.refused", reasons=reasons), notes=notes))
    assert told == (
        "Không thăng cấp: tệ hơn mô hình đương nhiệm: log-loss cao hơn 0,0123; tệ hơn ở nơi age có giá trị từ 18 đến "
        "27,5 (1230 dòng): log-loss cao hơn 0,2000. (bỏ ra 40 dòng mà mô hình đương nhiệm đã được huấn luyện trên đó, "
        "hoặc có cùng mã định danh với các dòng ấy)"
    )


@pytest.mark.parametrize(
    "unknown",
    [Message("gate.of_tomorrow", {}, "It is told."), Message("gate.worse", {"loss": None}, "It is told.")],
    ids=["code", "values"],
)
def test_a_message_of_another_version_is_told_in_english(unknown: Message, vietnamese: None) -> None:
    """A record outlives the catalogue that it was written with."""
    assert translated(unknown) == "It is told."
    assert translated(message("release.failed", why=unknown, error="x")) == "It is told.: x"


@pytest.mark.parametrize(
    "text",
    ["", "the shop opens in Huế: new customers", "rows", "worse", "a (b) c: d; e. f", "Promoted", "7 of 9", "{n}"],
)
def test_what_nobody_of_ours_wrote_stays_as_it_is(text: str, vietnamese: None) -> None:
    """A person's own reason is theirs."""
    assert said(text) == text


def test_a_persons_reason_stays_beside_our_words(vietnamese: None) -> None:
    """The part that is ours is told, the other part is kept, whatever it reads like."""
    for words in ("too many complaints", "18 to 27", "worse"):
        told = translated(message("release.rolled_back", version="3", reason=words))
        assert told == f"quay lui về phiên bản 3: {words}"


@pytest.mark.parametrize(
    "text", ["a: b; c (d). " * 300, "; ".join(f"c{i} says: no (really)" for i in range(300)), "x (" * 900]
)
def test_a_text_of_any_shape_is_answered(text: str, vietnamese: None) -> None:
    """Column names and reasons may hold the very signs that sentences are cut at: the work stays bounded."""
    assert said(text) == text


def test_english_readers_get_the_record_itself(app: Flask) -> None:
    """The same words and numbers."""
    with app.test_request_context("/?lang=en"):
        slow = message("gate.too_slow", ms=1234.5, allowed=50)
        assert translated(slow) == slow.text


def test_translations_fill_every_hole() -> None:
    """A number that the English sentence gives is in the Vietnamese one too."""
    from babel.messages.pofile import read_po

    file = Path(templates.__file__).parents[2] / "translations" / "vi" / "LC_MESSAGES" / "messages.po"
    with file.open("rb") as po:
        known = {message.id: message.string for message in read_po(po)}
    for template in TOLD:
        assert sorted(HOLE.findall(template.text)) == sorted(HOLE.findall(known[template.text])), template.text


@pytest.mark.parametrize("path", ["/", "/models", "/monitoring"])
def test_no_english_sentence_shows_on_a_vietnamese_page(path: str, tmp_path: Path) -> None:
    """Real verdicts, reasons, decisions, ledger and card: none of the words that no English sentence does without."""
    showcase.write(tmp_path)
    app = create_app(settings_for(tmp_path))
    try:
        client = app.test_client()
        shown = client.get(f"{path}?lang=vi").text
        if path == "/":
            row = {f"c{i}": "99" for i in range(6)} | {f"c{i}": "purple" for i in range(6, 9)}
            shown += client.post("/", data=row).text + client.post("/", data=row | {"c2": "many"}).text
    finally:
        app.extensions["refit"].close()
    text = html.unescape(re.sub(r"<[^>]+>", " ", shown))
    found = re.findall(r"[^.\n]*\b(?:the|of|is|was|with|and|than|are|on|from)\b[^.\n]*", text)
    assert [line.strip() for line in found] == []
