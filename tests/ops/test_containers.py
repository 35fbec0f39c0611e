"""What the containers run: the health check says yes to a 200 alone."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ops import containers
from tests import fake_http

ROOT = Path(__file__).resolve().parent.parent.parent


class Health(fake_http.Handler):
    """200 at /good, 503 elsewhere."""

    def do_GET(self) -> None:
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


@pytest.mark.parametrize("arguments", [[], ["probe"], ["delete", "x"]], ids=["none", "no address", "unknown"])
def test_a_wrong_call_says_what_there_is(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert containers.main(arguments) == 2
    assert "probe|make-bucket" in capsys.readouterr().err


def test_the_compose_file_calls_what_there_is() -> None:
    """In health checks and commands."""
    services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))["services"].values()
    lists = [one.get("command") for one in services] + [one.get("healthcheck", {}).get("test") for one in services]
    calls = [words[words.index("ops.containers") + 1 :] for words in lists if words and "ops.containers" in words]
    assert {name for name, _ in calls} == set(containers.COMMANDS)
    assert all(len(call) == 2 for call in calls)


def test_the_s3_store_gets_its_keys_in_a_file_of_its_own(tmp_path: Path) -> None:
    """The entrypoint's own shell, with another program in the store's place: what it is started with."""
    store = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))["services"]["s3"]
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
