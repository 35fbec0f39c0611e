"""Messages in the reader's language: values and numbers, and none left in English on the Vietnamese pages."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from ml.messages import Message, message
from serving.app import create_app
from serving.pages.i18n.translation import translated
from tests.serving import showcase
from tests.serving.tiny import settings_for


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


@pytest.mark.parametrize("text", ["", "no such column", "too slow: 7 ms a row, allowed 7 ms", "{n}", "50%s"])
def test_what_a_person_wrote_stays_as_it_is(text: str, vietnamese: None) -> None:
    """Whatever it reads like."""
    assert translated(text) == text


def test_a_persons_reason_stays_beside_our_words(vietnamese: None) -> None:
    """The part that is ours is told, the other part is kept, whatever it reads like."""
    for words in ("too many complaints", "no such column", "18 to 27"):
        told = translated(message("release.rolled_back", version="3", reason=words))
        assert told == f"quay lui về phiên bản 3: {words}"


def test_english_readers_get_the_record_itself(app: Flask) -> None:
    """The same words and numbers."""
    with app.test_request_context("/?lang=en"):
        slow = message("gate.too_slow", ms=1234.5, allowed=50)
        assert translated(slow) == slow.text


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
