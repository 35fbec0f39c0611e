"""What a service loads is in its own list of requirements: its image has nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LOCK = ROOT / "ops" / "lock" / "service.txt"
# Everything of the service, as its image is built with it, where only `allowed` distributions can be imported.
SCRIPT = """
import importlib.abc, importlib.metadata, json, re, sys

allowed = set(json.loads(sys.argv[1]))
owners = importlib.metadata.packages_distributions()
named = lambda name: re.sub("[-_.]+", "-", name).lower()

class Only(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        found = owners.get(name.partition(".")[0])
        if found and not allowed & {named(one) for one in found}:
            raise ModuleNotFoundError(f"{name} is not in ops/lock/service.txt", name=name)

sys.meta_path.insert(0, Only())
from ops import containers
containers.load("serving")
"""


def _names() -> set[str]:
    return {re.sub("[-_.]+", "-", name).lower() for name in re.findall(r"^([\w.-]+)==", LOCK.read_text(), re.MULTILINE)}


def _load(allowed: set[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, json.dumps(sorted(allowed))]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_service_loads_with_its_own_requirements_alone() -> None:
    done = _load(_names())
    assert done.stdout.strip() == "loaded", done.stderr


def test_the_image_is_built_with_all_that_a_service_loads() -> None:
    """After the last file was taken out: one too many stops the build, and not the service."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    stage = text[text.index(" AS service-environment") : text.index(" AS system")]
    steps = [step for step in re.split(r"^(?=[A-Z]+ )", stage, flags=re.MULTILINE) if step.startswith("RUN ")]
    assert "python -m ops.containers load serving" in steps[-1]
    assert not [step for step in steps if "rm -rf" in step and "ops.containers" in step]


def test_one_that_is_missing_is_noticed() -> None:
    assert "flask is not in ops/lock/service.txt" in _load(_names() - {"flask"}).stderr


def test_it_has_no_learning_no_airflow_and_no_server_of_mlflows() -> None:
    assert not _names() & {"torch", "apache-airflow", "mlflow", "pandas", "scikit-learn", "evidently", "scipy"}
    assert {"mlflow-skinny", "flask", "onnxruntime"} <= _names()


def test_its_versions_are_those_of_everything_else() -> None:
    pins = set((ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines())
    own = set(re.findall(r"^[\w.-]+==[^ ]+", LOCK.read_text(encoding="utf-8"), re.MULTILINE))
    assert own
    assert own <= pins
