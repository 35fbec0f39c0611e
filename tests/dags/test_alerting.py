"""Alerts go to Airflow's notifiers too, and a notifier that fails costs a warning."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

CONTEXT = {"ti": SimpleNamespace(dag_id="retrain", task_id="tune", run_id="manual__1"), "exception": ValueError("odd")}


@pytest.fixture
def told(airflow: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a notifier of somebody's own was told, in order; one that always fails stands before it."""
    from airflow.sdk import BaseNotifier

    seen: list[tuple[str, str]] = []

    class Kept(BaseNotifier):
        template_fields = ("text",)

        def __init__(self, to: str, text: str) -> None:
            super().__init__()
            self.to, self.text = to, text

        def notify(self, context: Any) -> None:
            seen.append((self.to, self.text))

    class Broken(BaseNotifier):
        def notify(self, context: Any) -> None:
            raise OSError("no route to the mail server")

    monkeypatch.setitem(globals(), "Kept", Kept)
    monkeypatch.setitem(globals(), "Broken", Broken)
    chosen = {f"{__name__}.Broken": {}, f"{__name__}.Kept": {"to": "ann", "text": "Look: {{ alert }}"}}
    monkeypatch.setenv("REFIT_SCHEDULE__NOTIFIERS", json.dumps(chosen))
    return seen


def test_a_failed_task_is_told(told: Any, dagbag: Any, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = dagbag.dags["retrain"].get_task("tune")
    [callback] = task.on_failure_callback
    with caplog.at_level(logging.WARNING):
        callback({**CONTEXT, "dag": dagbag.dags["retrain"]})
    [(to, text)] = told
    assert to == "ann"
    assert text.startswith("Look: Refit: task failed. retrain.tune: odd. http")
    kept = json.loads((home / "var" / "logs" / "alerts.jsonl").read_text(encoding="utf-8"))
    assert text == f"Look: {kept['text']}"
    assert "no route to the mail server" in caplog.text


def test_what_the_watch_alerts_of_is_told(told: Any, dagbag: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ml import alerts
    from ml.release import watch as release_watch
    from ml.settings import from_values

    def watch(settings: Any) -> Any:
        alerts.send(settings, "rolled back", ["version 3 was worse than version 2"])
        return release_watch.ReleaseWatch()

    monkeypatch.setattr(release_watch, "watch", watch)
    dag = dagbag.dags["drift_check"]
    assert dag.get_task("watch_release").python_callable(dag=dag)["bake"] is None
    assert told == [("ann", "Look: Refit: rolled back. version 3 was worse than version 2")]
    alerts.send(from_values({"home": str(home)}), "later", [])
    assert len(told) == 1, "only while the task runs"
