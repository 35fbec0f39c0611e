"""The health check says yes to a 200 alone, and without much."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops import probe
from tests import fake_http

ROOT = Path(__file__).resolve().parent.parent.parent


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
    assert probe.main([f"{url}/good"]) == 0
    assert probe.main([f"{url}/bad"]) == 1
    assert "answers 503" in capsys.readouterr().err
    assert probe.main(["http://127.0.0.1:9/"]) == 1


def test_a_process_without_a_port_is_healthy_where_airflow_says_so(url: str) -> None:
    assert probe.main([f"{url}/airflow#triggerer"]) == 0
    assert probe.main([f"{url}/airflow#dag_processor"]) == 1
    assert probe.main([f"{url}/airflow#scheduler"]) == 1
    assert probe.main([f"{url}/good#triggerer"]) == 1


def test_it_runs_as_a_file_without_the_packages_of_its_environment(url: str) -> None:
    """As compose calls it: neither site-packages nor ours are to be found, which is what makes it cheap."""

    def run(address: str) -> int:
        return subprocess.run([sys.executable, "-E", "-S", "ops/probe.py", address], cwd=ROOT).returncode

    assert [run(f"{url}/good"), run(f"{url}/bad")] == [0, 1]


def test_a_wrong_call_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.main([]) == 2
    assert "usage" in capsys.readouterr().err
