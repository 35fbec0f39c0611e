"""The closed loop on the real stack: what must not start a retraining does not, what must does, and it recovers.

The steps build on each other, in this order. What the stack adds nothing to is tested in process: how often noise
alarms, and labels that never come (tests/ml/drift/test_check.py); how often a worse challenger wins (test_gate.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from demo.traffic import Answer
from ml import drift, predictions
from ml.drift.verdict import DriftVerdict
from ml.registry import ledger
from ml.storage import database
from tests.stack.conftest import Stack
from tests.stack.world import World, accuracy


@pytest.fixture(scope="module")
def world(running: Stack) -> Iterator[World]:
    made = World(running)
    yield made
    made.client.close()


@pytest.fixture(scope="module")
def champion(running: Stack) -> str:
    """The version that serves as the circle begins."""
    return str(running.get("/model")["model_version"])


def retrainings(running: Stack) -> list[dict[str, Any]]:
    """Runs of `retrain` that an event started, newest first."""
    found = running.api.call("GET", "/dags/retrain/dagRuns?run_type=asset_triggered&order_by=-run_after")
    return list(found["dag_runs"])


def checked(running: Stack, answers: list[Answer]) -> tuple[DriftVerdict, dict[str, Any]]:
    """The verdict on a window with these answers in it, and the run of `drift_check` that gave it.

    No check is asked for: new predictions start it.
    """
    settings, table = running.layout.settings, predictions.predictions
    moment = sa.select(table.c.time).where(table.c.prediction_id == answers[-1].prediction_id)

    def logged() -> float | None:
        with database.engine(settings).connect() as connection:
            return connection.execute(moment).scalar()

    newest = running.until(logged, "the answers are not in the database")

    def judged() -> tuple[DriftVerdict, dict[str, Any]] | None:
        verdict = drift.latest(settings)
        if verdict is None or verdict.window.end is None or verdict.window.end < newest:
            return None
        runs = running.api.call("GET", "/dags/drift_check/dagRuns?order_by=-run_after&limit=5")["dag_runs"]
        for run in runs:
            if run["state"] == "success":
                result = running.api.result("drift_check", run["dag_run_id"], "compare")
                if result["id"] == verdict.id:
                    return verdict, run
        return None

    found: tuple[DriftVerdict, dict[str, Any]] = running.until(judged, "no check of the new predictions ended")
    return found


def test_a_broken_feed_alerts_and_does_not_retrain(running: Stack, world: World, champion: str) -> None:
    rows, _ = world.draw(250, without="f0")
    before = retrainings(running)
    verdict, run = checked(running, world.ask(rows))
    assert run["run_type"] == "asset_triggered", "new predictions start a check by themselves"
    assert verdict.verdict == "broken data"
    assert any("f0" in str(reason) for reason in verdict.reasons)
    assert not verdict.retrain
    alerts = (running.layout.logs / "alerts.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(alerts[-1])["kind"] == "broken data"
    assert retrainings(running) == before


def test_noise_and_labels_that_do_not_come_start_nothing(running: Stack, world: World, champion: str) -> None:
    """The usual customers with their labels, then a turned world whose labels nobody knows yet."""
    before = retrainings(running)
    rows, labels = world.draw(190)
    answers = world.ask(rows)
    assert accuracy(answers, labels) > 0.7
    world.tell(answers, labels)
    rows, world.kept_back = world.draw(300, turned=True)
    world.waiting = world.ask(rows)
    verdict, _ = checked(running, world.waiting)
    assert verdict.verdict == "stable", verdict.reasons
    assert verdict.performance.judged
    assert retrainings(running) == before
    assert running.get("/model")["model_version"] == champion


def test_late_labels_tell_and_the_circle_closes(running: Stack, world: World, champion: str) -> None:
    """Labels come late, some wrong and corrected, some twice, one for nobody; the loop does the rest alone."""
    labels = world.kept_back
    lost = accuracy(world.waiting, labels)
    assert lost < 0.3
    world.tell(world.waiting[:50], ["0" if label == "1" else "1" for label in labels[:50]])
    world.tell(world.waiting, labels)
    world.tell(world.waiting[:100], labels[:100])
    world.client.feedback([("nobody-was-given-this-id", "1")])
    labelled = world.rows_with_labels()
    verdict, _ = checked(running, world.ask(world.draw(200, turned=True)[0]))
    assert verdict.verdict == "degraded", verdict.reasons
    assert verdict.performance.labels == 300, "a label that came twice, or was corrected, counts once"
    assert verdict.retrain, verdict.decision

    run = running.until(lambda: next(iter(retrainings(running)), None), "the asset's event starts no retraining")
    assert running.finished("retrain", run["dag_run_id"])["state"] == "success"
    result = {task: running.api.result("retrain", run["dag_run_id"], task) for task in ("generate", "promote")}
    assert result["generate"]["origin"]["drift"]["id"] == verdict.id
    assert labelled == world.labelled_before + 490
    assert result["generate"]["labelled"]["given"] <= labelled, "rows without a label are not trained on"
    assert result["promote"]["promoted"], result["promote"]["sentence"]

    new = result["promote"]["version"]
    assert running.get("/health/ready")["model_version"] == new
    rows, labels = world.draw(150, turned=True)
    answers = world.ask(rows)
    assert {answer.model_version for answer in answers} == {new}
    # Of 300 rows that show the new world half are kept for the gate: a first step back, not the whole way.
    assert accuracy(answers, labels) > lost + 0.1
    event = ledger.events(running.layout.settings, limit=1)[0]
    assert (event.what, event.from_version, event.to_version) == (ledger.PROMOTED, champion, new)
    assert event.who == "drift check"
    assert len(retrainings(running)) == 1
