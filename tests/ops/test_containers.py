"""What the containers run: the health check says yes to a 200 alone."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops import airflow_config, containers
from ops.airflow_api import AirflowUnavailable
from tests import fake_http

ROOT = Path(__file__).resolve().parent.parent.parent


COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))


class Health(fake_http.Handler):
    """200 at /good, Airflow's health at /airflow, 503 elsewhere."""

    def do_GET(self) -> None:
        if self.path == "/airflow":
            self.answer(200, {"triggerer": {"status": "healthy"}, "dag_processor": {"status": "unhealthy"}})
        else:
            self.answer(200 if self.path == "/good" else 503, b"OK")


@pytest.fixture
def url() -> Iterator[str]:
    with fake_http.serving(Health) as port:
        yield f"http://127.0.0.1:{port}"


def test_a_healthy_container_is_one_that_answers_200(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert containers.main(["probe", f"{url}/good"]) == 0
    assert containers.main(["probe", f"{url}/bad"]) == 1
    assert "answers 503" in capsys.readouterr().err
    assert containers.main(["probe", "http://127.0.0.1:9/"]) == 1


def test_a_process_without_a_port_is_healthy_where_airflow_says_so(url: str) -> None:
    assert containers.main(["probe", f"{url}/airflow#triggerer"]) == 0
    assert containers.main(["probe", f"{url}/airflow#dag_processor"]) == 1
    assert containers.main(["probe", f"{url}/airflow#scheduler"]) == 1
    assert containers.main(["probe", f"{url}/good#triggerer"]) == 1


class Airflow(fake_http.Handler):
    """Has read the DAG at the second look; keeps what was triggered."""

    looks = 0
    triggered: list[Any]

    def do_GET(self) -> None:
        kind = type(self)
        path = self.path.partition("?")[0]
        if path == "/auth/token":
            assert self.body() == {"username": "admin", "password": "secret"}
            self.answer(201, {"access_token": "token"})
        elif path == "/api/v2/dags":
            kind.looks += 1
            self.answer(200, {"dags": [{"dag_id": "retrain"}] if kind.looks > 1 else []})
        elif self.command == "POST":
            kind.triggered.append(self.body())
            self.answer(200, {"dag_run_id": "first"})
        else:
            self.answer(200, {"dag_runs": [{"dag_run_id": "first"}] if kind.triggered else []})

    do_POST = do_GET


def test_a_new_cluster_gets_one_first_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once Airflow has read the DAG; a second `up` starts none."""
    monkeypatch.setenv("ADMIN_PASSWORD", "secret")
    monkeypatch.setattr(containers.time, "sleep", lambda _: None)
    kind = type("Fresh", (Airflow,), {"triggered": []})
    with fake_http.serving(kind) as port:
        assert [containers.main(["first-run", f"http://127.0.0.1:{port}"]) for _ in range(2)] == [0, 0]
    assert len(kind.triggered) == 1


def test_a_dag_that_never_comes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_PASSWORD", "secret")
    monkeypatch.setattr(containers, "READ_WITHIN_S", -1.0)
    kind = type("Fresh", (Airflow,), {"triggered": []})
    with fake_http.serving(kind) as port, pytest.raises(AirflowUnavailable, match="has not read the DAG retrain"):
        containers.main(["first-run", f"http://127.0.0.1:{port}"])


def test_compose_has_what_closes_the_loop_in_the_embedded_stack() -> None:
    """Every shared option of Airflow's, with its value, and no other value for any of them."""
    shared = {
        f"AIRFLOW__{section}__{name}".upper(): str(value)
        for section, options in airflow_config.SHARED.items()
        for name, value in options.items()
    }
    for name in ("scheduler", "worker", "dag-processor", "triggerer", "airflow-api", "airflow-execution"):
        environment = COMPOSE["services"][name]["environment"]
        assert {key: environment.get(key) for key in shared} == shared, name
    assert shared["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] == "False"


def test_no_health_check_starts_airflows_or_celerys_command_line() -> None:
    """Each call of theirs costs seconds of CPU; for people there is a check of each long-lived container."""
    for name, service in COMPOSE["services"].items():
        check = " ".join(service.get("healthcheck", {}).get("test", []))
        assert "airflow jobs" not in check, name
        assert "celery" not in check, name


def test_redis_keeps_its_queue_and_every_log_has_an_end() -> None:
    redis = COMPOSE["services"]["redis"]
    assert "--appendonly yes" in redis["command"][-1]
    assert redis["volumes"] == ["redis:/data"]
    assert all(service["logging"]["options"]["max-size"] for service in COMPOSE["services"].values())


@pytest.mark.parametrize("arguments", [[], ["probe"], ["delete", "x"]], ids=["none", "no address", "unknown"])
def test_a_wrong_call_says_what_there_is(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert containers.main(arguments) == 2
    assert "probe|make-bucket|first-run" in capsys.readouterr().err


def test_the_compose_file_calls_what_there_is() -> None:
    """In health checks and commands."""
    services = COMPOSE["services"].values()
    lists = [one.get("command") for one in services] + [one.get("healthcheck", {}).get("test") for one in services]
    calls = [words[words.index("ops.containers") + 1 :] for words in lists if words and "ops.containers" in words]
    assert {name for name, _ in calls} == set(containers.COMMANDS)
    assert all(len(call) == 2 for call in calls)


def test_the_s3_store_gets_its_keys_in_a_file_of_its_own(tmp_path: Path) -> None:
    """The entrypoint's own shell, with another program in the store's place: what it is started with."""
    store = COMPOSE["services"]["s3"]
    shell, flag, script = store["entrypoint"]
    keys = tmp_path / "s3.json"
    (tmp_path / "weed").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "weed").chmod(0o755)
    done = subprocess.run(
        [shell, flag, script.replace("$$", "$").replace("/run/s3.json", str(keys))],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "ACCESS_KEY": "a1", "SECRET_KEY": "b2"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (identity,) = json.loads(keys.read_text())["identities"]
    assert identity["credentials"] == [{"accessKey": "a1", "secretKey": "b2"}]
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert {"-s3.port=9000", f"-s3.config={keys}", "-dir=/data"} <= set(done.stdout.split())
    assert store["volumes"] == ["s3:/data"]
