"""docker-compose.yaml, and what it runs once."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops import airflow_config, containers
from ops.airflow_api import AirflowUnavailable
from tests import fake_http

ROOT = Path(__file__).resolve().parent.parent.parent


COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))


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
        assert "python" not in check or "python -E -S ops/probe.py http://" in check, name


def test_redis_keeps_its_queue_and_every_log_has_an_end() -> None:
    redis = COMPOSE["services"]["redis"]
    assert "--appendonly yes" in redis["command"][-1]
    assert redis["volumes"] == ["redis:/data"]
    assert all(service["logging"]["options"]["max-size"] for service in COMPOSE["services"].values())


def test_no_container_writes_to_its_image_or_takes_all_memory() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["read_only"] is True, name
        assert service["mem_limit"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_the_service_has_an_image_of_its_own() -> None:
    """The stage of the Dockerfile with ops/lock/service.txt; everything else has the last one, with CPU torch."""
    stages = re.findall(r"^FROM \S+(?: AS (\S+))?$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    built = {name: one["build"] for name, one in COMPOSE["services"].items() if "build" in one}
    assert built.pop("service") == {"context": ".", "target": "service"}
    assert "service" in stages
    assert stages[-1] == ""
    assert all(one == {"context": ".", "args": {"TORCH": "${TORCH:-cpu}"}} for one in built.values())


@pytest.mark.parametrize("arguments", [[], ["first-run"], ["delete", "x"]], ids=["none", "no address", "unknown"])
def test_a_wrong_call_says_what_there_is(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert containers.main(arguments) == 2
    assert "make-bucket|first-run|load" in capsys.readouterr().err


def test_compose_and_the_dockerfile_call_what_there_is() -> None:
    """In health checks and commands."""
    services = COMPOSE["services"].values()
    lists = [one.get("command") for one in services] + [one.get("healthcheck", {}).get("test") for one in services]
    calls = [words[words.index("ops.containers") + 1 :] for words in lists if words and "ops.containers" in words]
    calls += [
        line.split()
        for line in re.findall(r"-m ops\.containers (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    ]
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


def test_the_engine_has_the_code_and_nothing_to_steal() -> None:
    """Only by its profile; whoever reaches a Dask cluster runs code in it: no secret, no volume, no published port."""
    from distributed.cli import dask_scheduler, dask_worker

    engine = {name: one for name, one in COMPOSE["services"].items() if "engine" in one.get("profiles", [])}
    assert set(engine) == {"dask-scheduler", "dask-worker"}
    for name, service in engine.items():
        assert (service["image"], service["volumes"]) == (COMPOSE["services"]["worker"]["image"], []), name
        assert not {"environment", "ports", "secrets"} & set(service), name
    programs = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}
    for service in engine.values():
        program, *arguments = [word.replace("${DASK_PROCESSES:-1}", "1") for word in service["command"][1:]]
        programs[program].make_context(program, arguments)
    address = "tcp://dask-scheduler:8786"
    assert address in engine["dask-worker"]["command"]
    assert address in (ROOT / ".env.example").read_text(encoding="utf-8")


def test_no_two_containers_share_a_volume() -> None:
    """So that `--scale` may put them on many machines: what is handed on goes through the database and the storage."""
    named: list[str] = []
    for name, service in COMPOSE["services"].items():
        if service.get("image", "").startswith("${REFIT_"):
            assert service["volumes"] == ([] if "engine" in service.get("profiles", []) else ["/state"]), name
        named += [volume for volume in service.get("volumes", []) if volume.split(":")[0] in COMPOSE["volumes"]]
    assert len(named) == len(set(COMPOSE["volumes"])), named


def test_who_began_with_a_volume_in_common_goes_on_with_it() -> None:
    """By a file over the first; without it and without a storage nothing starts."""
    over = yaml.safe_load((ROOT / "ops" / "compose-volumes.yaml").read_text(encoding="utf-8"))
    own_disk = {name for name, service in COMPOSE["services"].items() if service.get("volumes") == ["/state"]}
    assert set(over["services"]) == own_disk
    keys, reports = "trusted:/state/var/trusted_keys", "reports:/state/var/reports"
    assert over["services"].pop("service") == {"volumes": ["/state", f"{keys}:ro", f"{reports}:ro"]}
    assert all(one == {"volumes": ["state:/state", keys, reports]} for one in over["services"].values())
    assert set(over["volumes"]) == {"state", "trusted", "reports"}
    storage = COMPOSE["services"]["worker"]["environment"]["REFIT_STORAGE__URL"]
    assert re.fullmatch(r"\$\{REFIT_STORAGE__URL\?.*ops/compose_env\.sh.*\}", storage)


def test_links_have_the_addresses_that_people_open() -> None:
    """They may be a proxy's. Compose 1, Debian's, fills in no variable inside of another one's default."""
    assert not re.findall(r"\$\{[^}\n]*\$\{", (ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))
    example = dict(re.findall(r"^(REFIT_\w+)=(.*)$", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    environment = COMPOSE["x-environment"]
    for section, port in (("SERVING", "SERVING"), ("SCHEDULE", "AIRFLOW"), ("REGISTRY", "MLFLOW")):
        name = f"REFIT_{section}__PUBLIC_URL"
        address = f"http://127.0.0.1:{example[f'REFIT_{port}_PORT']}"
        assert (environment[name], example[name]) == (f"${{{name}:-{address}}}", address)


def test_the_storage_is_the_clusters_own() -> None:
    """A bucket that is made at the start, at the address of the S3 service, with keys that all of them have."""
    (line,) = re.findall(
        r"^REFIT_STORAGE__URL=(.*)$", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE
    )
    address = urllib.parse.urlsplit(line)
    assert (address.scheme, address.netloc) == ("s3", COMPOSE["services"]["s3-bucket"]["command"][-1])
    options = dict(urllib.parse.parse_qsl(address.query))
    for name in ("worker", "service", "airflow-api"):
        environment = COMPOSE["services"][name]["environment"]
        assert environment["MLFLOW_S3_ENDPOINT_URL"] == f"{options['scheme']}://{options['endpoint_override']}"
        assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "REFIT_REGISTRY__TRUSTED_KEYS"} <= set(environment)


def test_the_image_has_the_engine() -> None:
    """Where a task asks a cluster, and in the cluster."""
    assert "e.ENGINE" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
