"""The demonstration in parts: traffic, what is noticed, picture and summary; on the real stack it is tested apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from demo import script, summary
from demo.live import CONCEPT, Batch, Phase, Traffic
from demo.picture import Event, curve, draw, runs
from demo.traffic import Answer
from demo.watcher import Watcher, verdict_told
from ml import drift
from ml.drift.verdict import DriftVerdict
from ml.drift.verdict_history import save
from ml.errors import DataError
from ml.registry import ledger
from ml.schema.schema import Column, Schema
from ml.settings import Settings
from ops.airflow_api import AirflowApi, AirflowUnavailable
from ops.layout import Layout
from tests.ml import worlds


class FakeAirflow:
    """One run of `retrain` that goes through its tasks."""

    url = "http://airflow"

    def __init__(self) -> None:
        self.state: list[dict[str, str]] = []
        self.task = "generate"

    def runs(self, _dag: str, _limit: int = 5) -> list[dict[str, str]]:
        return self.state

    def tasks(self, _dag: str, _run: str) -> list[dict[str, str]]:
        return [{"task_id": self.task, "state": "running"}]

    def page(self, dag: str, run: str) -> str:
        return f"{self.url}/{dag}/{run}"


class FakeClient:
    """Answers "yes" to everybody."""

    requests = retried = 0

    def __init__(self) -> None:
        self.labels: list[tuple[str, str]] = []
        self.rows: list[dict[str, Any]] = []

    def schema(self) -> Schema:
        names = ("age", "monthly_charges")
        return Schema(
            target="churned",
            classes=("no", "yes"),
            positive_label="yes",
            columns=tuple(Column(name=n, kind="number") for n in names),
        )

    def predict(self, rows: list[dict[str, Any]]) -> list[Answer]:
        self.rows += rows
        return [Answer(str(len(self.rows) + i), "yes", "1") for i in range(len(rows))]

    def feedback(self, labels: list[tuple[str, str]]) -> None:
        self.labels += labels

    def close(self) -> None:
        """Nothing to close."""


def batches() -> list[Batch]:
    """90% right for 60 s, then 50% by version 1, then 85% by version 2."""
    world = [("usual", 9, "1")] * 60 + [("covariate shift", 9, "1")] * 60
    world += [(CONCEPT.name, 5, "1")] * 60 + [(CONCEPT.name, 8, "2")] * 60
    return [Batch(float(i), 10, right, version, phase) for i, (phase, right, version) in enumerate(world)]


@pytest.fixture
def found(tmp_path: Path) -> Settings:
    return worlds.settings(tmp_path)


def test_traffic_sends_customers_and_their_labels() -> None:
    """Every answered customer gets a label, also those that still waited at the end."""
    traffic = Traffic("http://127.0.0.1:9", rate=2_000.0, label_delay_s=60.0, seed=0)
    client = FakeClient()
    traffic._client = client
    traffic._labels._client = client
    traffic.start()
    traffic.change(Phase("covariate shift", shift=1.0))
    while len(traffic.batches) < 20:
        traffic.join(0.01)
    traffic.stop()
    assert traffic.failure is None
    assert len(client.labels) == len(client.rows) == sum(b.rows for b in traffic.batches)
    assert {"usual", "covariate shift"} >= {b.phase for b in traffic.batches}
    assert traffic.accuracy(60.0) == pytest.approx(
        sum(label == "yes" for _, label in client.labels) / len(client.labels)
    )


def test_traffic_that_fails_says_why() -> None:
    """The main thread raises it instead of waiting for ever."""
    traffic = Traffic("http://127.0.0.1:9", rate=10.0, label_delay_s=0.0, seed=0)
    client = FakeClient()

    def broken(_rows: Any) -> Any:
        raise DataError("refused")

    client.predict = broken  # type: ignore[method-assign]
    traffic._client = client
    traffic.start()
    traffic.join(30)
    assert isinstance(traffic.failure, DataError)


def test_watcher_tells_each_thing_once(found: Settings) -> None:
    """Verdicts, Airflow's run and its tasks, and moves of the alias."""
    import time

    airflow = FakeAirflow()
    airflow.state = [{"dag_run_id": "old", "state": "success"}]
    watcher = Watcher(found, airflow, time.monotonic())  # type: ignore[arg-type]
    assert not list(watcher.news())
    verdict = DriftVerdict(
        id="a", time=time.time(), verdict="degraded", retrain=True, decision="large drop", reasons=["accuracy fell"],
        model_version="1",
    )  # fmt: skip
    save(found, verdict)
    airflow.state = [{"dag_run_id": "new", "state": "running"}, *airflow.state]
    ledger.append(found, ledger.PROMOTED, who="test", from_version="1", to_version="2", why="better on 500 rows")
    told = {event.kind: event for event in watcher.news()}
    assert told["verdict"].text == "degraded"
    assert "accuracy fell" in told["verdict"].told
    assert "retrain: yes, large drop" in told["verdict"].told
    assert "http://airflow/retrain/new" in told["retrain"].told
    assert told["task"].text == "generate"
    assert told["promotion"].text == "promoted 2"
    assert watcher.promoted
    assert watcher.verdicts == ["degraded"]
    assert not list(watcher.news())
    airflow.task = "train"
    assert [event.text for event in watcher.news()] == ["train"]
    airflow.state[0]["state"] = "success"
    assert [(event.kind, event.text) for event in watcher.news()] == [("ended", "success")]
    assert not list(watcher.news())


def test_the_gates_sentence_is_told_once(found: Settings) -> None:
    """With the version it was said of; the promotion that follows tells who confirmed it."""
    import time

    watcher = Watcher(found, FakeAirflow(), time.monotonic())  # type: ignore[arg-type]
    ledger.append(found, ledger.REGISTERED, who="test", to_version="2", why="better on 500 rows")
    numbers = {"confirmation": "confirmed by 2 workers"}
    ledger.append(found, ledger.PROMOTED, who="test", to_version="2", why="better on 500 rows", numbers=numbers)
    told = "\n".join(event.told for event in watcher.news())
    assert told.count("better on 500 rows") == 1
    assert "promoted 2, confirmed by 2 workers" in told


def test_a_long_verdict_is_cut_and_says_so() -> None:
    """A person reads three reasons."""
    verdict = DriftVerdict(
        id="a", time=0.0, verdict="drift", retrain=False, decision="no loss", reasons=[f"r{i}" for i in range(9)],
        model_version="1",
    )  # fmt: skip
    told = verdict_told(verdict)
    assert "r2" in told
    assert "r3" not in told
    assert "and 6 more" in told


def test_curve_is_accuracy_in_bins() -> None:
    """Of five seconds each; empty bins are left out."""
    times, accuracy, rows = curve(
        [Batch(1.0, 10, 5, "1", "a"), Batch(4.9, 10, 10, "1", "a"), Batch(21.0, 4, 4, "1", "a")]
    )
    assert times == [2.5, 22.5]
    assert accuracy == [0.75, 1.0]
    assert rows == [20, 4]


def test_picture_is_drawn(tmp_path: Path) -> None:
    """Events of every kind, each in its lane; a moment is at the same place in both charts."""
    kinds = ("world", "verdict", "retrain", "task", "ended", "ledger", "promotion", "rollback")
    events = [Event(i * 20.0, kind, "degraded" if kind == "verdict" else kind) for i, kind in enumerate(kinds)]
    draw(tmp_path / "reports" / "demo.svg", batches(), events, best={"world": 0.9})
    drawn = ElementTree.fromstring((tmp_path / "reports" / "demo.svg").read_bytes())
    names = [element.get("class", "") for element in drawn.iter()]
    assert {"mark mark-bad", "span span-run", "span span-region-0", "line line-2"} <= set(names)
    world, region = (
        next(e for e in drawn.iter() if e.get("class") == name) for name in ("span span-region-0", "region region-0")
    )
    assert (world.get("x"), world.get("width")) == (region.get("x"), region.get("width"))


def test_a_demonstration_without_an_answer_has_a_picture(tmp_path: Path) -> None:
    """It is kept even where the service was down all the time."""
    draw(tmp_path / "demo.svg", [], [])
    ElementTree.fromstring((tmp_path / "demo.svg").read_bytes())


def test_a_retraining_that_still_runs_has_no_end() -> None:
    """Its bar goes to the end of the picture."""
    events = [Event(5.0, "retrain", ""), Event(9.0, "ended", "success"), Event(20.0, "retrain", "")]
    assert runs(events, 30.0) == [(5.0, 9.0), (20.0, 30.0)]


def test_moments_count_from_the_concept_shift() -> None:
    """What came before it does not count; what did not come is left out."""
    events = [
        Event(3.0, "verdict", "degraded"),
        Event(10.0, "world", CONCEPT.name),
        Event(14.0, "verdict", "degraded"),
        Event(16.0, "retrain", "retraining"),
    ]
    assert summary.moments(events) == {"the verdict 'degraded'": 4.0, "Airflow's retraining": 6.0}
    assert summary.moments(events[:1]) == {}


@pytest.mark.parametrize(("after", "noticed", "code"), [(0.85, True, 0), (0.84, True, 1), (0.9, False, 1)])
def test_summary_is_honest(
    found: Settings, capsys: pytest.CaptureFixture[str], after: float, noticed: bool, code: int
) -> None:
    """Recovered means: noticed, and within three points of the 87.6% that are possible."""
    traffic = Traffic("http://127.0.0.1:9", rate=1.0, label_delay_s=0.0, seed=0)
    traffic.batches = batches()
    names = ("usual", "covariate shift", CONCEPT.name, CONCEPT.name)
    values = (0.9, 0.9, 0.5, after)
    phases = [{"phase": n, "accuracy": a, "done": True} for n, a in zip(names, values, strict=True)]
    reports = found.var / "elsewhere"
    assert summary.write(reports, found, traffic, [], phases, noticed=noticed) == code
    kept = json.loads((reports / "demo.json").read_text(encoding="utf-8"))
    assert kept["worst"] == pytest.approx(0.5)
    assert kept["versions"] == ["1", "2"]
    assert kept["recovered"] is (code == 0)
    assert kept["without_the_loop"] is None, "nothing was promoted in this registry"
    assert (reports / "demo.svg").exists()
    said = capsys.readouterr()
    assert "50% right" in said.out
    assert ("did not recover" in said.err) is (code == 1)


def test_summary_tells_how_it_climbed(found: Settings) -> None:
    """What asked for each retraining since the shift, and what came of it; nothing of before, or without a shift."""
    for key, at, asked in [("a", 5.0, True), ("b", 14.0, True), ("c", 20.0, False)]:
        verdict = DriftVerdict(
            id=key, time=worlds.START + at, verdict="degraded", retrain=asked, reasons=[], model_version="1",
            decision="because",
        )  # fmt: skip
        save(found, verdict)
    ledger.append(found, ledger.PROMOTED, who="ann", to_version="2")
    shift, moved = Event(10.0, "world", CONCEPT.name), ledger.events(found)[0].time
    assert summary.how(found, worlds.START, [shift]) == ["   4 s degraded: because"]
    told = summary.how(found, moved - 11.0, [shift])
    assert (told[0], len(told)) == ("   1 s version 2 promoted", 3)
    assert summary.how(found, worlds.START, []) == []


def test_airflow_that_is_down_is_told(found: Settings) -> None:
    """No password file, nothing listening: the demonstration says so and goes on."""
    with pytest.raises(AirflowUnavailable):
        AirflowApi.embedded(Layout(found)).runs("retrain")


def test_service_of_other_data_is_refused(found: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the way to a stack of its own."""
    monkeypatch.setattr("demo.traffic.Client.schema", lambda _self: worlds.SCHEMA)
    with pytest.raises(DataError, match="--demo-drift"):
        script._champion(script.Demo(found))


def test_checks_without_data_are_no_news(found: Settings) -> None:
    """ "insufficient data" says nothing to an onlooker."""
    import time

    watcher = Watcher(found, FakeAirflow(), time.monotonic())  # type: ignore[arg-type]
    verdict = DriftVerdict(
        id="a", time=time.time(), verdict="insufficient data", retrain=False, decision="", reasons=[], model_version="1"
    )
    save(found, verdict)
    assert not list(watcher.news())
    assert drift.latest(found) == verdict
