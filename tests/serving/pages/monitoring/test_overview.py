"""One range of time for all panels, what each figure is of, columns before and after, alerts, no untrue sentence."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient

from serving.app import create_app
from serving.status import reader
from serving.status.reader import CheckEntry, LedgerEntry, Status
from tests.serving import showcase
from tests.serving.showcase import HOUR, NOON
from tests.serving.tiny import settings_for


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    showcase.write(tmp_path)
    app = create_app(settings_for(tmp_path))
    yield app.test_client()
    app.extensions["refit"].close()


def _status(client: FlaskClient, **changes: Any) -> Status:
    folder = client.application.extensions["refit"].folder
    changed = msgspec.structs.replace(reader.read(folder), **changes)
    reader.write(folder, changed)
    return changed


def test_one_range_holds_for_all_panels(client: FlaskClient) -> None:
    """Of what lies longer back nothing is counted, drawn or listed."""
    kept = _status(client)
    old = 3 * 24 * HOUR
    check = msgspec.structs.replace(kept.checks[0], id="old", time=NOON - old, verdict="broken data")
    window = msgspec.structs.replace(kept.windows[0], start=NOON - old - 1, end=NOON - old, predictions=1_000_000)
    _status(client, checks=(*kept.checks, check), windows=(window, *kept.windows))
    for name, whole in (("1d", False), ("7d", True), ("all", True), ("nonsense", True)):
        text = client.get(f"/monitoring?range={name}").text
        assert ("1,006,066" in text) == whole
        assert ("broken data</span>" in text) == whole
        assert "Until" in text
    assert '<a href="/monitoring?range=1d" aria-current="true">1 day</a>' in client.get("/monitoring?range=1d").text


def test_the_collectors_own_slices_of_a_range_are_taken(client: FlaskClient) -> None:
    finer = tuple(msgspec.structs.replace(w, predictions=7, labelled=0, accuracy=None) for w in _status(client).windows)
    _status(client, recent={"1d": finer})
    text = client.get("/monitoring?range=1d").text
    assert f'<div class="figure">{7 * len(finer)}</div>' in text
    assert "No labels have come back in this time." in text


def test_every_card_says_of_how_many_and_how_sure(client: FlaskClient) -> None:
    text = client.get("/monitoring").text
    for told in ("4,800 labels of 6,066 predictions", "4,224 of 4,800 right; 95% interval 87.1% to 88.9%",
                 "2 stable, 1 degraded, 1 drift, 1 insufficient data", "1 task failed, 1 degraded"):  # fmt: skip
        assert told in text


@pytest.mark.parametrize(
    ("days", "name", "told"), [(7, "30d", True), (7, "all", True), (7, "7d", False), (0, "all", False)]
)
def test_days_in_the_archive_are_told_where_they_are_missing(
    client: FlaskClient, days: int, name: str, told: bool
) -> None:
    service = client.application.extensions["refit"]
    log = msgspec.structs.replace(service.settings.log, archive_after_days=days)
    service.settings = msgspec.structs.replace(service.settings, log=log)
    text = client.get(f"/monitoring?range={name}").text
    assert ("what is in the archive, older than 7 days, is not counted" in text) is told


def test_labels_that_stand_for_others_say_what_they_are_worth(client: FlaskClient) -> None:
    """Two windows: 100 rows' worth at 90% with weight 3, 50 at 50% with weight 1; and so in Vietnamese."""
    heavy, light = (
        {"weight": 3.0, "effective": 100.0, "accuracy": 0.9},
        {"weight": 1.0, "effective": 50.0, "accuracy": 0.5},
    )
    first, second = _status(client).windows[:2]
    windows = (msgspec.structs.replace(first, **heavy), msgspec.structs.replace(second, **light))
    _status(client, windows=windows)
    text = client.get("/monitoring").text
    assert '<div class="figure">80.0%</div>' in text
    told = "800 labels, each weighed by the chance that it had: they tell as much as 145 would; 95% interval "
    assert told in text
    assert "chúng cho biết ngang với 145 nhãn" in client.get("/monitoring?lang=vi").text


def test_a_pointer_at_a_dot_shows_its_moment_and_its_count(client: FlaskClient) -> None:
    text = client.get("/monitoring").text
    assert re.search(r"<title>[^<]*, version 3: 90\.0% \(84\.0% – 93\.0%\), 400 labels</title>", text)
    assert re.search(r"<title>[^<]* – [^<]*: 500</title>", text)
    assert "<title>n0: 0.300</title>" in text


def test_drifted_columns_before_and_after(client: FlaskClient) -> None:
    text = client.get("/monitoring").text
    part = text[text.index('id="before-after"') :]
    assert part.count('class="bar bar-before"') == part.count('class="bar bar-now"') == 12 + 4 + 2
    assert "277 rows of the reference, 377 of the window" in part
    assert "<td>4 others</td><td>10</td><td>20</td>" in part
    assert "<td>(missing)</td><td>3</td><td>40</td>" in part
    assert "<h3>probability of the answer</h3>" in part


def test_failed_runs_lead_to_airflow_and_nowhere_else(client: FlaskClient) -> None:
    alert = _status(client).alerts[0]
    text = html.unescape(client.get("/monitoring").text)
    assert "retrain.tune: no memory" in text
    assert '<a href="http://127.0.0.1:8080/x" rel="noreferrer">In Airflow</a>' in text
    _status(client, alerts=(msgspec.structs.replace(alert, address="javascript:alert(1)"),))
    assert "javascript:" not in client.get("/monitoring").text


@pytest.mark.parametrize(
    ("checks", "moves", "told"),
    [
        ((), True, True),
        ((CheckEntry(id="a", time=NOON - 5 * HOUR, verdict="stable", version="3"),), True, True),
        ((CheckEntry(id="a", time=NOON, verdict="stable", version="2"),), False, True),
        ((CheckEntry(id="a", time=NOON, verdict="stable", version="3"),), True, False),
    ],
    ids=["none yet", "before the promotion", "of another version", "of this one"],
)
def test_a_version_that_no_check_has_seen_is_told_as_such(
    client: FlaskClient, checks: tuple[CheckEntry, ...], moves: bool, told: bool
) -> None:
    """With when the next one comes; never that there is no model while one serves."""
    kept = _status(client)
    _status(client, checks=checks, ledger=kept.ledger if moves else ())
    text = client.get("/monitoring").text
    assert ("No drift check has looked at version 3 since it was promoted." in text) == told
    assert ("Airflow starts one within seconds of a promotion." in text) == told
    assert ("The schedule looks next at 21 Sep 2026, 14:28." in text) == told


def test_what_the_check_said_before_the_first_model_is_not_said_beside_it(client: FlaskClient) -> None:
    from ml.messages import message

    none = CheckEntry(id="a", time=NOON - 9 * HOUR, verdict="insufficient data", reasons=(message("drift.no_model"),))
    _status(client, checks=(none,))
    text = client.get("/monitoring").text
    assert "No drift check has looked at version 3" in text
    lead = text[: text.index('<nav class="jump"')]
    assert message("drift.no_model").text not in html.unescape(lead)


def test_the_report_is_in_the_theme_that_was_chosen(client: FlaskClient) -> None:
    """By a script before its own; where none was chosen it is sent as it is, and follows the system."""
    file = client.application.extensions["refit"].settings.var / "reports" / "check0.html"
    file.write_text("<html><head><title>x</title></head><body></body></html>")
    for theme in ("dark", "light"):
        text = client.get(f"/monitoring/report/check0?theme={theme}").text
        assert text.startswith(f"<html><head><script>{{const theme = '{theme}'")
    with client.get("/monitoring/report/check0?theme=auto") as answer:
        assert answer.data == file.read_bytes()
        assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_accuracy_ends_where_other_columns_or_classes_came(client: FlaskClient) -> None:
    """What was right before was right about another question: it is counted out, said, and drawn apart."""
    kept = _status(client)
    border = kept.windows[8].start
    moved = LedgerEntry(time=border, what="new contract", from_version="2", to_version="3", who="ann")
    windows = tuple(msgspec.structs.replace(w, accuracy=0.5 if w.start < border else 0.75) for w in kept.windows)
    _status(client, ledger=(moved, *kept.ledger), windows=windows)
    text = html.unescape(client.get("/monitoring").text)
    assert "1,200 of 1,600 right" in text
    assert "since other columns or classes came" in text
    assert "Accuracy with other columns or classes" in text
    _status(client, ledger=kept.ledger, windows=windows)
    text = html.unescape(client.get("/monitoring").text)
    assert "2,800 of 4,800 right" in text
    assert "other columns or classes" not in text


def test_a_time_axis_names_each_moment_once(client: FlaskClient) -> None:
    """Three days have five marks, of which several are of one day; two minutes have but three minutes."""
    from serving.pages.monitoring import charts

    with client.application.test_request_context():
        for span, names in ((3 * 24 * HOUR, 4), (110.0, 2), (8 * HOUR, 5), (0.0, 1)):
            told = charts._time_names(NOON, NOON + span)
            assert len({name for _, name in told}) == len(told)
            assert len(told) >= names
            assert [x for x, _ in told] == sorted(x for x, _ in told)


def test_the_models_own_scores_have_a_name_of_their_own(client: FlaskClient) -> None:
    kept = _status(client)
    check = msgspec.structs.replace(kept.checks[0], columns={"prediction": 0.4, "n0": 0.2})
    _status(client, checks=(check,))
    drift = client.get("/monitoring").text
    drift = drift[
        drift.index("Drift by column") : drift.index("Verdicts over time") if "Verdicts over time" in drift else None
    ]
    assert "probability of the answer" in drift
    assert ">prediction<" not in drift
