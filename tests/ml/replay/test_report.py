"""What is told of a replay: figures in both languages, nothing unescaped."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from ml.messages import message
from ml.replay import report
from ml.replay.report import Decision, Replay, Strategy

WHY = message("retraining.no_reason")


def strategy(name: str, log_loss: float, retrainings: int = 0, cost: float | None = None) -> Strategy:
    costs = None if cost is None else [cost / 2, cost / 2]
    return Strategy(
        name=name, retrainings=retrainings, accuracy=0.875, log_loss=log_loss, cost=cost,
        accuracy_by_window=[0.85, 0.9], log_loss_by_window=[log_loss, log_loss], cost_by_window=costs,
    )  # fmt: skip


def result(*, cost: float | None = 1234.0, every: float = 0.3, delay: str = "30d", unlabelled: int = 5) -> Replay:
    return Replay(
        table="<b>past</b>.csv", rows=1000, first_rows=300, unlabelled=unlabelled, windows=["2026-01-05", "2026-02-05"],
        delay=delay, families=["logistic"],
        strategies=[
            strategy("never", 0.5, cost=cost), strategy("schedule", 0.4, 1, cost), strategy("every", every, 2, cost),
            strategy("refit", 0.35, 1, cost),
        ],
        decisions=[
            Decision(window=0, until="2026-01-05", verdict="drift", sentence=WHY, promoted=True),
            Decision(window=1, until="2026-02-05", verdict="stable", sentence=WHY),
        ],
    )  # fmt: skip


def test_the_share_is_of_what_always_retraining_gains() -> None:
    told = "\n".join(map(str, report.summary(result())))
    assert "75% of what retraining after every window would have gained" in told
    assert "retrained 1 times in 2 windows; after every window would have been 2 times" in told
    assert "would have gained nothing" in "\n".join(map(str, report.summary(result(every=0.5))))


@pytest.mark.parametrize(("given", "code"), [({"delay": "0"}, "replay.late"), ({"unlabelled": 0}, "replay.unlabelled"),
                                             ({"cost": None}, "replay.cost")])  # fmt: skip
def test_what_is_not_there_is_not_told(given: dict[str, object], code: str) -> None:
    assert code in {one.code for one in report.summary(result())}
    assert code not in {one.code for one in report.summary(result(**given))}  # type: ignore[arg-type]


def test_the_terminal_has_a_line_a_strategy() -> None:
    lines = report.text(result()).splitlines()
    assert lines[0].split() == ["strategy", "retrainings", "accuracy", "log-loss", "cost"]
    assert lines[4].split() == ["Refit's", "loop", "1", "87.5%", "0.3500", "1,234"]
    assert "cost" not in report.text(result(cost=None)).splitlines()[0]


@pytest.mark.parametrize("language", ["en", "vi"])
def test_a_page_is_whole_and_has_nothing_of_others_unescaped(language: str, tmp_path: Path) -> None:
    report.write(result(), tmp_path / "out", language)
    page = (tmp_path / "out" / "replay.html").read_text()
    assert f'<html lang="{language}">' in page
    assert "<b>" not in page
    assert "&lt;b&gt;past" in page
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=", page)
    ElementTree.fromstring((tmp_path / "out" / "replay.svg").read_bytes())
    body = re.sub(r"<meta[^>]*>", "", page.removeprefix("<!doctype html>"))
    assert len(ElementTree.fromstring(body).findall(".//table/tbody/tr")) == 4 + 2
    read = msgspec.json.decode((tmp_path / "out" / "replay.json").read_bytes(), type=Replay)
    assert json.loads(msgspec.json.encode(read)) == json.loads(msgspec.json.encode(result()))


def test_vietnamese_has_its_words_and_its_signs(tmp_path: Path) -> None:
    page = report.page(result(), report.translator("vi"), "vi")
    assert "vòng lặp của Refit" in page
    assert "0,3500" in page
    assert "1.234" in page
    assert "retrained" not in page


def test_written_again_it_is_replaced_as_a_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    report.write(result(), out)
    (out / "old.txt").write_text("x")
    report.write(result(cost=None), out)
    assert sorted(path.name for path in out.iterdir()) == ["replay.html", "replay.json", "replay.svg"]


@pytest.mark.parametrize(("language", "shown"), [("en", "5 Jan 2026"), ("vi", "05/01/2026")])
def test_dates_are_as_their_reader_writes_them(language: str, shown: str, tmp_path: Path) -> None:
    """In the table, on the axes, and where a pointer shows what was decided; the figures keep ISO 8601."""
    report.write(result(), tmp_path / "out", language)
    page = (tmp_path / "out" / "replay.html").read_text()
    assert "2026-0" not in page
    assert f"<td>{shown}</td>" in page
    assert f">{shown}</text>" in page
    assert f">{shown}: " in page
    assert '"2026-01-05"' in (tmp_path / "out" / "replay.json").read_text()
