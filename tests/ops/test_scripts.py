"""The top-level commands where no stack runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psutil
import pytest

from ml import http
from tests.stack.conftest import ROOT, Stack, free_ports


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


@pytest.mark.stack
def test_mlflow_ui_opens_the_store_when_nothing_else_runs(tmp_path: Path) -> None:
    [port] = free_ports(1)
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
