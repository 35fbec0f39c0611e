"""The wheel in an environment without the checkout: what lies where, and the loop by the word `refit` alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.conftest import CHECKOUT
from tests.ports import free_ports

TREE = ("config", "dags", "demo", "ml", "ops", "plugins", "serving")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*build, "-w", out, CHECKOUT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment's folder of programs: a copy of the one that runs this, with the wheel in it.

    A copy, as installing 240 packages anew takes minutes; the weekly workflow installs them from nothing.
    """
    environment = tmp_path_factory.mktemp("environment") / "venv"
    shutil.copytree(sys.prefix, environment, symlinks=True, copy_function=_link)
    for script in (environment / "bin").iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        if (content := script.read_bytes()).startswith(b"#!"):
            script.unlink()  # it is the other environment's, too
            script.write_bytes(re.sub(rb"^#!\S+", b"#!" + os.fsencode(environment / "bin" / "python"), content))
            script.chmod(0o755)
    install = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True)
    return environment / "bin"


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


def refit(programs: Path, folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The command as a person calls it, in a folder that is not the checkout and with nothing of it on the path."""
    ours = ("REFIT_", "AIRFLOW_", "MLFLOW_", "PYTHON", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        [programs / "refit", *words], cwd=folder, env=environment | more, capture_output=True, text=True, timeout=900
    )


def test_common_names_do_not_stand_in_site_packages(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"refit", wheel.name.rsplit("-", 3)[0] + ".dist-info"}
    assert {name.split("/")[2] for name in names if name.startswith("refit/tree/") and name.count("/") > 2} == set(TREE)


def test_the_wheel_has_every_file_of_the_tree(wheel: Path) -> None:
    """Templates, translations, styles and fonts too."""
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [file for top in TREE for file in (CHECKOUT / top).rglob("*") if file.is_file()]
    ours = [str(file.relative_to(CHECKOUT)) for file in files if "__pycache__" not in file.parts]
    assert len(ours) > 300
    assert [name for name in ours if f"refit/tree/{name}" not in names] == []


def test_it_asks_for_what_it_was_tested_with(wheel: Path) -> None:
    [file] = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("METADATA")]
    asked = metadata.PathDistribution(zipfile.Path(wheel, file.removesuffix("METADATA"))).requires or []
    assert len(asked) > 200
    assert [text for text in asked if not Requirement(text).specifier.contains(_version(text), prereleases=True)] == []


def _version(text: str) -> str:
    return metadata.version(Requirement(text).name)


@pytest.mark.stack
def test_the_loop_runs_by_its_name_alone(installed: Path, project: Path) -> None:
    service, mlflow, airflow = map(str, free_ports(3, 1))
    ports = {"REFIT_SERVING_PORT": service, "REFIT_MLFLOW_PORT": mlflow, "REFIT_AIRFLOW_PORT": airflow}
    few = {"REFIT_SCHEDULE__RETRAIN_CRON": "0 0 29 2 *", "REFIT_TUNE__WORKERS": "1"}
    made = refit(installed, project, "init")
    assert made.returncode == 0, made.stderr
    try:
        up = refit(installed, project, "up", "--evals", "3", **ports, **few)
        assert up.returncode == 0, up.stdout + up.stderr
        assert "run_pipeline.sh" not in up.stdout, "the checkout's commands are not here"
        row = _json(f"http://127.0.0.1:{service}/model")["example"]
        answer = _json(f"http://127.0.0.1:{service}/predict", {"rows": [row]})
        assert answer["model_version"] == "1"
        status = refit(installed, project, "status", **ports)
        assert status.returncode == 0, status.stdout
        assert str(CHECKOUT) not in _commands(project), "nothing of the checkout runs"
    finally:
        down = refit(installed, project, "down", **ports)
    assert down.stdout.splitlines()[-1] == "Stopped."
    told = refit(installed, project, "status", **ports)
    assert (told.returncode, told.stdout) == (3, "Nothing runs. Start it with refit up\n")


def _json(url: str, body: dict[str, Any] | None = None) -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def _commands(project: Path) -> str:
    return (project / "var" / "supervisord.conf").read_text()
