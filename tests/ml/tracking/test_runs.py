"""MLflow runs: found again, filled in few calls, and never on another home's server."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml import tracking
from ml.errors import RegistryUnavailable
from ml.settings import Settings, from_values
from ml.tracking.trial_log import TRIAL, TrialLog
from ml.tuning import Trial


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return from_values({"home": str(tmp_path_factory.mktemp("home")), "mlflow_port": 1})


class Server:
    """Answers MLflow's get-by-name with a given artifact location."""

    def __init__(self, location: str) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps({"experiment": {"artifact_location": location}}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def serve() -> Iterator[type[Server]]:
    started: list[Server] = []

    class Started(Server):
        def __init__(self, location: str) -> None:
            super().__init__(location)
            started.append(self)

    yield Started
    for server in started:
        server.close()


def test_server_of_this_home_is_used(tmp_path: Path, serve: type[Server]) -> None:
    """A server whose artifacts lie in this home is ours."""
    server = serve((tmp_path / "var" / "mlflow" / "artifacts").as_uri())
    settings = from_values({"home": str(tmp_path), "mlflow_port": server.port})
    assert tracking.uri(settings) == f"http://127.0.0.1:{server.port}"


def test_server_of_another_home_is_left_alone(tmp_path: Path, serve: type[Server]) -> None:
    """Another home's server on the same port gets none of our models."""
    server = serve("/somewhere/else/artifacts")
    settings = from_values({"home": str(tmp_path), "mlflow_port": server.port})
    assert tracking.uri(settings) == tracking.local_uri(settings)


def test_configured_uri_wins(tmp_path: Path) -> None:
    """What is configured is not second-guessed."""
    settings = from_values({"home": str(tmp_path), "registry": {"tracking_uri": "http://mlflow:5000"}})
    assert tracking.uri(settings) == "http://mlflow:5000"


def test_run_is_found_by_its_key(settings: Settings) -> None:
    """The same key gives the same run, another key another one."""
    assert tracking.run(settings, "a") == tracking.run(settings, "a")
    assert tracking.run(settings, "a") != tracking.run(settings, "b")


def test_logging_again_changes_no_parameter(settings: Settings) -> None:
    """A stage that is run again does not fail on parameters it has logged."""
    run_id = tracking.run(settings, "params")
    tracking.log(settings, run_id, params={"tune": {"seed": 1}}, metrics={"loss": 0.5, "bad": float("nan")})
    tracking.log(settings, run_id, params={"tune": {"seed": 2}, "more": [1, 2]})
    found = tracking.client(settings).get_run(run_id).data
    assert found.params == {"tune.seed": "1", "more": "[1, 2]"}
    assert found.metrics == {"loss": 0.5}


def test_history_becomes_curves(settings: Settings) -> None:
    """One point an epoch and figure."""
    run_id = tracking.run(settings, "curves")
    tracking.log(settings, run_id, history=[{"epoch": i, "loss": 1 / (i + 1), "note": "x"} for i in range(3)])
    points = tracking.client(settings).get_metric_history(run_id, "loss")
    assert [(p.step, p.value) for p in points] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]


def test_many_points_and_parameters_fit(settings: Settings) -> None:
    """More than one batch of MLflow's limits goes through."""
    run_id = tracking.run(settings, "many")
    tracking.log(
        settings, run_id, params={f"p{i}": i for i in range(130)}, history=[{"epoch": i, "m": i} for i in range(1100)]
    )
    found = tracking.client(settings).get_run(run_id).data
    assert len(found.params) == 130
    assert found.metrics["m"] == 1099


def test_trials_are_logged_once(settings: Settings) -> None:
    """A second log of the same parent passes over what is there."""
    run_id = tracking.run(settings, "trials")
    for _ in range(2):
        with TrialLog(settings, run_id, "tune") as log:
            for i in range(3):
                log.add(f"t{i}", key=f"tune-{i}", params={"i": i}, metrics={"loss": i / 10}, failed=i == 2)
    where = tracking.experiment(settings)
    runs = tracking.client(settings).search_runs([where], f"tags.`{tracking.PARENT}` = '{run_id}'")
    assert sorted(r.data.tags[TRIAL] for r in runs) == ["tune-0", "tune-1", "tune-2"]
    assert sorted(r.info.status for r in runs) == ["FAILED", "FINISHED", "FINISHED"]


def test_a_trial_s_scores_do_not_end_the_training_curves(settings: Settings) -> None:
    """ "accuracy" is of the training rows, epoch by epoch; what the trial is judged by is of the held-out ones."""
    run_id = tracking.run(settings, "curves")
    curve = [{"epoch": i, "accuracy": 0.5 + i / 10, "validation_accuracy": 0.4} for i in range(3)]
    trial = Trial(number=0, family="mlp", params={}, seed=1, loss=0.3, scores={"accuracy": 0.6}, history=curve)
    with TrialLog(settings, run_id, "tune") as log:
        log.trial(trial)
    client = tracking.client(settings)
    (child,) = client.search_runs([tracking.experiment(settings)], f"tags.`{tracking.PARENT}` = '{run_id}'")
    points = client.get_metric_history(child.info.run_id, "accuracy")
    assert [point.value for point in points] == [0.5, 0.6, 0.7]
    assert child.data.metrics["validation_accuracy"] == 0.6


def test_trial_that_cannot_be_logged_is_told_at_the_end(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search is not stopped by MLflow; the stage is told, and can be run again."""
    run_id = tracking.run(settings, "away")

    def away(*_: object, **__: object) -> str:
        raise RegistryUnavailable("gone")

    monkeypatch.setattr(tracking, "child", away)

    def search() -> int:
        done = 0
        with TrialLog(settings, run_id, "tune") as log:
            for i in range(3):
                log.add(f"t{i}", key=f"tune-{i}", params={}, metrics={})
                done += 1
            assert done == 3
        return done

    with pytest.raises(RegistryUnavailable, match="gone"):
        search()


def test_password_is_not_told(tmp_path: Path) -> None:
    """An address in a message has no password in it."""
    with pytest.raises(RegistryUnavailable) as caught, tracking.errors("postgresql://ann:secret@db/mlflow"):
        raise OSError("no route to host")
    assert "secret" not in str(caught.value)
