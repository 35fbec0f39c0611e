"""What the pages are told of versions and the command line tells come from one place."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from ml import alerts, registry
from ml.cli import status
from ml.errors import RegistryUnavailable
from ml.fleet import services
from ml.fleet.services import Loaded, State
from ml.messages import message
from ml.monitoring import status as known
from ml.predictions import feedback, predictions
from ml.predictions.tables import actions
from ml.registry import ledger
from ml.settings import Settings
from ml.storage import database
from serving.model import champion_lookup
from serving.status import collector, reader
from tests.serving import tiny

ADDRESS = "http://127.0.0.1:9"
WHY = message("gate.no_rows")
TAGS = {
    registry.FAMILY: "mlp", f"{registry.METRIC}accuracy": "0.75", "refit.quarantined": "odd",
    **registry.verdict_tags("refused", WHY),
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return tiny.settings_for(tmp_path, registry={"tracking_uri": ADDRESS})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls of a registry that has versions 1 and 2, of which 2 serves."""
    calls: list[str] = []

    def get(address: str, call: str, **query: str) -> dict[str, Any]:
        assert address == ADDRESS
        calls.append(call)
        if call == "registered-models/get":
            return {"registered_model": {"aliases": [{"alias": "champion", "version": "2"}]}}
        tags = [{"key": key, "value": value} for key, value in TAGS.items()]
        entry = {"run_id": "r", "source": "s", "creation_timestamp": 5_000, "tags": tags}
        return {"model_versions": [{"version": number, **entry} for number in ("2", "1")]}

    monkeypatch.setattr(champion_lookup, "get", get)
    return calls


def test_a_version_is_told_alike_by_page_and_command_line(settings: Settings, asked: list[str]) -> None:
    newest, older = collector.collect(settings).versions
    info = registry.VersionInfo(version="2", run_id="r", source="s", created=5.0, tags=TAGS)
    told = status._version(info)
    assert told is not None
    assert (
        (newest.version, newest.time, newest.family) == (told.version, told.created, told.family) == ("2", 5.0, "mlp")
    )
    assert {name: value for name, (value, _, _) in newest.metrics.items()} == told.metrics == {"accuracy": 0.75}
    assert (str(newest.sentence), newest.sentence) == (told.sentence, WHY)
    assert (newest.verdict, newest.quarantined, newest.run_id) == ("refused", True, "r")
    assert (newest.aliases, older.aliases) == (("champion",), ())
    assert asked == ["registered-models/get", "model-versions/search"]


def test_ledger_and_checks_are_those_of_the_status(settings: Settings, asked: list[str]) -> None:
    for what in (ledger.REGISTERED, ledger.PROMOTED):
        ledger.append(settings, what, who="ann", why=WHY, to_version="2")
    found, facts = collector.collect(settings), known.read(settings)
    assert [(line.what, line.who, line.why) for line in found.ledger] == [
        (event.what, event.who, event.because) for event in facts.ledger
    ]
    assert [line.what for line in found.ledger] == [ledger.PROMOTED, ledger.REGISTERED]
    assert found.checks == ()


def test_a_silent_registry_leaves_the_versions_that_it_named(
    settings: Settings, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the time of then, by which a page can say so."""
    named = collector.collect(settings)
    reader.write(settings.var / "serving", named)

    def silent(*_: object, **__: object) -> None:
        raise RegistryUnavailable(message("connections.mlflow_silent", address=ADDRESS, error="refused"))

    monkeypatch.setattr(champion_lookup, "get", silent)
    later = collector.collect(settings)
    assert [v.version for v in later.versions] == ["2", "1"]
    assert later.versions_time == named.versions_time < later.time


def test_alerts_are_the_newest_whole_lines(tmp_path: Path) -> None:
    """By their messages where they have some, else by their text; half a line is passed over."""
    settings = tiny.settings_for(tmp_path)
    alerts.send(settings, "degraded", [WHY, "and more"])
    alerts.send(settings, "task failed", ["a person's words"], run="http://airflow/run")
    file = settings.var / "logs" / "alerts.jsonl"
    with file.open("a") as stream:
        stream.write('{"kind": "half')
    newest, older = collector.alerts(settings)
    assert (newest.kind, newest.address) == ("task failed", "http://airflow/run")
    assert str(newest.sentences[0]) == "Refit: task failed. a person's words"
    assert (older.kind, older.sentences) == ("degraded", (WHY,))
    assert collector.alerts(tiny.settings_for(tmp_path / "none")) == []


def test_alerts_of_another_machine_are_told_once(tmp_path: Path) -> None:
    """They share a database and no disk; what this one sent is in both places."""
    shared = {"database_url": f"sqlite:///{tmp_path / 'shared.db'}"}
    here, there = (tiny.settings_for(tmp_path / name, **shared) for name in ("here", "there"))
    alerts.send(there, "task failed", ["on a worker"], run="http://airflow/run")
    alerts.send(here, "not served", ["in a service"])
    other = tiny.settings_for(tmp_path / "other", **shared, registry={"model_name": "Another"})
    alerts.send(other, "degraded", ["of another model"])
    assert [alert.kind for alert in collector.alerts(here)] == ["not served", "task failed"]
    silent = tiny.settings_for(tmp_path / "here", database_url=f"sqlite:///{tmp_path / 'no' / 'folder.db'}")
    assert [alert.kind for alert in collector.alerts(silent)] == ["not served"]


def test_the_next_check_is_the_schedules(settings: Settings, asked: list[str]) -> None:
    found = collector.collect(settings)
    assert 0 < found.next_check - found.time <= 15 * 60
    never = msgspec.structs.replace(settings, schedule=msgspec.structs.replace(settings.schedule, drift_cron="@once"))
    assert collector.collect(never).next_check == 0


def test_traffic_of_a_range_is_cut_into_slices_of_its_own(tmp_path: Path) -> None:
    """A day is seen as finely as a month; rows that are older are not in it; the newest label of a row counts."""
    settings = tiny.settings_for(tmp_path)
    now = time.time()
    times = [now - 20 * 86_400 + 60 * i for i in range(100)] + [now - 3_000 + 30 * i for i in range(100)]
    rows = [
        {"prediction_id": f"p{i}", "time": moment, "model_version": "1" if i < 100 else "2", "inputs": "{}",
         "label": "a", "probability": 0.5, "probabilities": "[]", "flags": "[]", "model_sha256": "", "row_id": ""}
        for i, moment in enumerate(times)
    ]  # fmt: skip
    labels = [("p0", "b", 1.0), ("p0", "a", 2.0), ("p1", "b", 1.0), ("p199", "a", 1.0), ("unknown", "a", 1.0)]
    with database.engine(settings).begin() as connection:
        connection.execute(sa.insert(predictions), rows)
        sent = [{"id": str(i), "prediction_id": p, "label": y, "received_at": t} for i, (p, y, t) in enumerate(labels)]
        connection.execute(sa.insert(feedback), sent)
    whole, recent = collector.windows(settings)
    assert [w.version for w in whole] == ["1", "2"]
    assert [(w.predictions, w.labelled, w.accuracy) for w in whole] == [(100, 2, 0.5), (100, 1, 1.0)]
    assert recent["30d"] == whole
    for name in ("1d", "7d"):
        assert sum(w.predictions for w in recent[name]) == 100
        assert {w.version for w in recent[name]} == {"2"}
        assert len(recent[name]) == collector.SLICES


def test_labels_count_by_the_chance_that_their_rows_had(tmp_path: Path) -> None:
    """Nine that were let through at random one time in ten are right, one that always is let through is not."""
    settings = tiny.settings_for(tmp_path)
    chances = [0.1, 0.1, 1.0, 1.0, 1.0, 0.0]
    rows = [
        {"prediction_id": f"p{i}", "time": 1.0, "model_version": "1", "inputs": "{}", "label": "a", "probability": 0.5,
         "probabilities": "[]", "flags": "[]", "model_sha256": "", "row_id": ""}
        for i in range(len(chances))
    ]  # fmt: skip
    truth = ["a", "a", "b", "b", "a", "b"]
    sent = [{"id": f"{i}", "prediction_id": f"p{i}", "label": y, "received_at": 2.0} for i, y in enumerate(truth)]
    told = [{"prediction_id": f"p{i}", "action": "x", "propensity": 0.1, "label_propensity": e, "told_at": 0.0}
            for i, e in enumerate(chances)]  # fmt: skip
    with database.engine(settings).begin() as connection:
        connection.execute(sa.insert(predictions), rows)
        connection.execute(sa.insert(feedback), sent)
    (plain,) = collector.windows(settings)[0]
    assert (plain.labelled, plain.weight, plain.effective, plain.accuracy) == (6, 6.0, 6.0, 0.5)
    with database.engine(settings).begin() as connection:
        connection.execute(sa.insert(actions), told)
    (window,) = collector.windows(settings)[0]
    assert (window.labelled, window.weight, window.accuracy) == (6, 23.0, pytest.approx(21 / 23))
    assert window.effective == pytest.approx(23**2 / 203)
    assert window.low is not None
    assert plain.low is not None
    assert window.low < 21 / 23


def test_labels_of_rows_that_had_no_chance_of_one_tell_nothing() -> None:
    (window,) = collector.sliced([collector._Answer(1.0, "1", "a", "a", 0.0)])
    assert (window.labelled, window.accuracy) == (1, None)


def test_fifty_thousand_rows_are_read_by_their_index(tmp_path: Path) -> None:
    """One query that joined all of it compared each row with every label."""
    settings = tiny.settings_for(tmp_path)
    asked: list[tuple[str, Any]] = []
    engine = database.engine(settings)
    sa.event.listen(engine, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
    collector.windows(settings)
    queries = [query for query in asked if query[0].lstrip().startswith("SELECT")]
    with engine.connect() as connection:
        plans = [
            str(row)
            for query, values in queries
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values).all()
        ]
    assert any("USING INDEX predictions_by_time" in plan for plan in plans)
    assert any("SEARCH feedback USING INDEX feedback_by_prediction" in plan for plan in plans)


def test_the_models_scores_have_one_name() -> None:
    """A worker does not load the package of drift for it."""
    from ml.drift.verdict import PREDICTION

    assert reader.SCORES == PREDICTION


def test_services_are_told_by_this_machines_clock(tmp_path: Path, postgresql_url: str, asked: list[str]) -> None:
    own = tiny.settings_for(tmp_path, database_url=postgresql_url, registry={"tracking_uri": ADDRESS})
    state = State(workers=(Loaded("2"), Loaded("2")), out=WHY)
    services.beat(own, "a1", state)
    [one] = collector.collect(own).services
    assert (one.versions, one.workers, one.stale, one.out) == (("2",), 2, False, WHY)
    assert abs(one.seen - time.time()) < 60
