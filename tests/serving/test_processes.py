"""The processes beside the workers: one a machine, and an end when told to."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.serving import tiny
from tests.serving.running import ROOT, Server, serving, wait_for

MODULES = {"follower": "serving.model.follower", "log-shipper": "serving.prediction_log.shipper"}
NAMES = tuple(MODULES)


@contextmanager
def started(name: str, home: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The process, and the file with what it says."""
    said = home / f"{name}.log"
    env = {k: v for k, v in os.environ.items() if not k.startswith("REFIT_")}
    env |= {"REFIT_HOME": str(home), "REFIT_CONFIG": str(home / "refit.toml"), "REFIT_MLFLOW_PORT": "1"}
    with said.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", MODULES[name]], cwd=ROOT, env=env, stdout=out, stderr=out)
    try:
        yield process, said
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", NAMES)
def test_a_second_one_waits_its_turn_and_ends_when_told_meanwhile(name: str, tmp_path: Path) -> None:
    lock = tmp_path / "var" / "serving" / f"{name}.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with started(name, tmp_path) as (process, said):
            wait_for(lambda: b"waiting for its end" in said.read_bytes() or process.poll() is not None, 60)
            assert f"refit.{name}" in said.read_text(encoding="utf-8")
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == -signal.SIGTERM


def test_a_second_service_on_one_home_is_refused_in_a_line(tmp_path: Path) -> None:
    """It would delete the first one's worker reports, and a promotion would ask the wrong process."""
    tiny.publish(tiny.settings_for(tmp_path), "1")
    with serving(tmp_path, SERVING__WORKERS="1") as first:
        [worker] = wait_for(lambda: first.ready()["workers"], what="the worker's report")
        second = Server(tmp_path, {"SERVING__WORKERS": "1"})

        assert second.process.wait(timeout=60) == 1
        said = first.errors.read_text(encoding="utf-8")
        assert f"Error: another service runs on {tmp_path}: stop it" in said
        assert "Traceback" not in said
        assert first.ready()["workers"] == [worker]
        first.process.kill()  # what is left of it holds the home no longer
        first.process.wait()
        first.start()
        wait_for(first.live, what="the next one on the same home")


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_cannot_be_read_are_said_in_a_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "refit.toml").write_text("[nonsense]\n", encoding="utf-8")
    with started(name, tmp_path) as (process, said):
        assert process.wait(timeout=60) == 1
    text = said.read_text(encoding="utf-8")
    assert "nonsense" in text
    assert "Traceback" not in text
