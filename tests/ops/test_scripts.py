"""The top-level commands where no stack runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ml import http
from tests.ports import free_port
from tests.stack.conftest import ROOT, Stack


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "nowhere.csv", "--target", "y"], "nowhere.csv is not a file"),
        (["--data", "README.md"], "--data FILE needs --target COLUMN"),
        (["--target", "y"], "--target goes with --data FILE"),
        (["--evals", "0"], "0 is not 1 or more"),
    ],
    ids=["no file", "no target", "target alone", "no evaluations"],
)
def test_wrong_arguments_are_told_in_a_sentence(arguments: list[str], sentence: str) -> None:
    done = subprocess.run([ROOT / "run_pipeline.sh", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_the_cluster_is_tested_by_a_command_of_its_own_alone() -> None:
    """The ordinary suite, which is `tests` with everything else in it left out, finds nothing there."""
    others = [f"--ignore={path}" for path in (ROOT / "tests").iterdir() if path.name != "compose"]
    collect = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-p", "no:cacheprovider", "tests", *others]
    done = subprocess.run(collect, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout
    assert "--durations 0 tests/compose" in (ROOT / "run_tests.sh").read_text(encoding="utf-8")


@pytest.mark.stack
def test_mlflow_ui_opens_the_store_when_nothing_else_runs(tmp_path: Path) -> None:
    port = free_port(1)
    environment = {**os.environ, "REFIT_HOME": str(tmp_path), "REFIT_MLFLOW_PORT": str(port)}
    process = subprocess.Popen(
        [ROOT / "mlflow_ui.sh"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        Stack.until(lambda: http.answers(f"http://127.0.0.1:{port}/health"), "MLflow does not answer")
    finally:
        # A Ctrl-C reaches the whole foreground group; here the children are told one by one.
        for child in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            child.terminate()
        process.wait(60)
