"""What README and the first steps tell a reader to type, typed against a real stack."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs_commands import COMMANDS, Command
from tests.stack.conftest import ROOT, Stack

CURLS = [command for command in COMMANDS if command.words[0] == "curl"]
# Once each: several pages have the same line.
READ_ONLY = {
    tuple(command.words): command
    for command in COMMANDS
    if command.words[:3] == [".venv/bin/python", "-m", "ml"] and command.words[3:4] == ["status"]
}.values()


def typed(running: Stack, words: list[str], folder: Path) -> str:
    """Run it as written but for the port, which is the test stack's; returns what it prints."""
    here = [word.replace("http://127.0.0.1:8000", running.layout.url("service")) for word in words]
    here = [
        str(ROOT / word) if word.startswith((".venv/", "./")) or word == "predict_client.py" else word for word in here
    ]
    done = subprocess.run(here, cwd=folder, env=running.environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("command", CURLS, ids=str)
def test_curl_lines_do_what_the_page_says(command: Command, running: Stack, tmp_path: Path) -> None:
    words, address = list(command.words), next(word for word in command.words if word.startswith("http"))
    if address.endswith("/feedback"):  # the page has "…" where the reader's own id goes
        answer = running.get("/predict", {"rows": [running.get("/model")["example"]]})
        prediction_id, label = (answer["predictions"][0][name] for name in ("prediction_id", "label"))
        words = [word.replace("…", prediction_id) for word in words]
        for file in (word[1:] for word in words if word.startswith("@")):  # with semicolons, as the page says
            (tmp_path / file).write_text(f"prediction_id;label\n{prediction_id};{label}\n")
    said: Any = json.loads(typed(running, words, tmp_path))
    if address.endswith("/model"):
        assert said["model_version"] == "1"
        assert said["example"]
    elif address.endswith("/predict"):  # one column of many: an error that names the others, as the page says
        assert said["status"] == 422
        assert "f1" in json.dumps(said)
    else:
        assert address.endswith(("/feedback", "/actions"))
        assert said == {"accepted": 1}


def test_the_batch_client_scores_a_file(running: Stack, tmp_path: Path) -> None:
    example = running.get("/model")["example"]
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(example))
        writer.writeheader()
        writer.writerows([example] * 30)
    [command] = {tuple(c.words): c for c in COMMANDS if "predict_client.py" in c.words}.values()
    typed(running, command.words, tmp_path)
    with (tmp_path / "predicted.csv").open(newline="", encoding="utf-8") as handle:
        assert len({row["prediction_id"] for row in csv.DictReader(handle)}) == 30


@pytest.mark.parametrize("command", READ_ONLY, ids=str)
def test_status_tells_the_champion(command: Command, running: Stack, tmp_path: Path) -> None:
    environment = running.environment | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *command.words[1:]], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"champion +version 1", done.stdout)


def test_a_backup_of_the_running_stack_is_whole(running: Stack, tmp_path: Path) -> None:
    environment = running.environment | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "ops.backup", str(tmp_path / "copy")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for name in ("refit.db", "mlflow/mlflow.db", "airflow/airflow.db"):
        assert (tmp_path / "copy" / "var" / name).stat().st_size > 0
    told = [sys.executable, "-m", "ml", "status", "--json"]
    alone = environment | {"REFIT_HOME": str(tmp_path / "copy"), "REFIT_MLFLOW_PORT": "1"}  # the copied registry itself
    found = subprocess.run(told, cwd=tmp_path, env=alone, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["champion"]["version"] == "1"
