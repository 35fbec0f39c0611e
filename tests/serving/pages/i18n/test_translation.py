"""The library's sentences on the Vietnamese pages: each is known, and none is left in English."""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from serving.app import create_app
from serving.pages.i18n import templates
from serving.pages.i18n.translation import CARD, HOLE, TOLD, said
from tests.conftest import CHECKOUT
from tests.serving import showcase
from tests.serving.tiny import settings_for

# Where sentences are made that people read on the pages. These modules tell MLflow or Evidently, or nothing in words.
TOLD_ELSEWHERE = {
    "profile",
    "stuck_feed",
    "verdict_history",
    "champion_reference",
    "verdict",
    "status",
    "evidently_report",
    "mlflow_figures",
    "change_point",
    "backtest",
    "window_policy",
}
ROOMS = ("drift", "monitoring", "retraining")
MODULES = (
    *(
        "ml/gate/rules.py",
        "ml/gate/evidence.py",
        "ml/release/bake.py",
        "ml/registry/rollout.py",
        "ml/schema/rows.py",
        "ml/schema/warnings.py",
        "ml/data/sources/decompress.py",
    ),
    *(
        "ml/release/shadow_test.py",
        "ml/release/shadow_slot.py",
        "ml/data/sources/csv_header.py",
        "ml/data/sources/csv_diagnosis.py",
        "ml/data/sources/csv_reader.py",
        "serving/scoring/upload.py",
    ),
    *sorted(
        f"ml/{room}/{file.name}"
        for room in ROOMS
        for file in (CHECKOUT / "ml" / room).glob("[a-z]*.py")
        if file.stem not in TOLD_ELSEWHERE
    ),
)
# What stands in a sentence where the code fills in words of its own, by the source of the expression.
JUDGED = "On 7 labelled rows that version 7 answered it is right on 7, and version 7 would have been on 7"
FILLED = {
    "name": "column 'a'",
    "measure": "distance",
    "few": "",
    "sure": "95% sure of",
    "why": "drift persists and labels do not come",
    "what": "the drop in labelled performance",
    "'; '.join(reasons)": "too slow: 7 ms a row, allowed 7 ms",
    "seen": "does not answer",
    "said": "not packed",
    "is_": "not packed",
    "problem or 'the reference has no such column'": "the reference has no such column",
    "reason": "the reference has no such column",
    "found.sentence": JUDGED,
    "verdict.sentence": "Promoted: the policy is 'always'.",
    "' or '.join(map(repr, near))": "'a'",
    "c.kind": "number",
}
# Parts of the sentences above, which do not come alone.
PARTS = {
    *(
        "; 7 rows are few",
        "7 sure of",
        JUDGED,
        "share moved",
        "cannot be served",
        "too slow",
        "too large",
        "7: 7",
        "7 (7)",
    ),
    *(
        "Promoted: the policy is 'always'",
        "the predictions",
        "column '7'",
        "column '7': 7",
        "7 is 7",
        "does not answer",
    ),
    *("reports 7 and workers 7", "the drop in labelled performance", "the gain of a newer model", "7-7-v7"),
    *(", although too slow: 7 ms a row, allowed 7 ms.", "7 is the drop in labelled performance"),
}
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
    """Names stay, decimals get a comma, and parts of a list are told one by one."""
    text = (
        "Not promoted: worse than the champion: log-loss higher by 0.0123; worse where age is 18 to 27.5 (1,230 rows): "
        "log-loss higher by 0.2. (40 rows that the champion was trained on, or others of their ids, are left out)"
    )
    told = said(text)
    assert told == (
        "Không thăng cấp: tệ hơn mô hình đương nhiệm: log-loss cao hơn 0,0123; tệ hơn ở nơi age từ 18 đến 27,5 "
        "(1.230 dòng): log-loss cao hơn 0,2. (bỏ ra 40 dòng mà mô hình đương nhiệm đã được huấn luyện trên đó, "
        "hoặc có cùng mã định danh với các dòng ấy)"
    )


@pytest.mark.parametrize(
    "text",
    ["", "the shop opens in Huế: new customers", "rows", "worse", "a (b) c: d; e. f", "Promoted", "7 of 9", "{n}"],
)
def test_what_nobody_of_ours_wrote_stays_as_it_is(text: str, vietnamese: None) -> None:
    """A person's own reason is theirs."""
    assert said(text) == text


def test_a_level_that_reads_like_a_range_stays_a_name(vietnamese: None) -> None:
    """ "month to month" is a contract, 18 to 27 is a range."""
    assert said("worse where contract is month to month (7 rows): log-loss higher by 0.1") == (
        "tệ hơn ở nơi contract là month to month (7 dòng): log-loss cao hơn 0,1"
    )
    assert said("month to month", CARD) == "month to month"


def test_a_persons_reason_stays_beside_our_words(vietnamese: None) -> None:
    """The part that is ours is told, the other part is kept."""
    assert said("new data (alias found set already)") == "new data (bí danh đã được đặt từ trước)"
    assert said("rolled back to version 3: too many complaints") == "quay lui về phiên bản 3: too many complaints"


@pytest.mark.parametrize(
    "text", ["a: b; c (d). " * 300, "; ".join(f"c{i} says: no (really)" for i in range(300)), "x (" * 900]
)
def test_a_text_of_any_shape_is_answered(text: str, vietnamese: None) -> None:
    """Column names and reasons may hold the very signs that sentences are cut at: the work stays bounded."""
    assert said(text) == text


def test_english_readers_get_the_record_itself(app: Flask) -> None:
    """Nothing is matched, nothing is changed."""
    with app.test_request_context("/?lang=en"):
        assert said("no reason to retrain") == "no reason to retrain"


def test_translations_fill_every_hole() -> None:
    """A number that the English sentence gives is in the Vietnamese one too."""
    from babel.messages.pofile import read_po

    file = Path(templates.__file__).parents[2] / "translations" / "vi" / "LC_MESSAGES" / "messages.po"
    with file.open("rb") as po:
        known = {message.id: message.string for message in read_po(po)}
    for template in (*TOLD, *CARD):
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
