"""Each pinned library is imported and used: `pip check` proves nothing about imports."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import distributions, version
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
_PIN = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^\s;#]+)")


def pins(name: str) -> dict[str, str]:
    """Distribution → version of a requirements file."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {match[1]: match[2] for line in lines if (match := _PIN.match(line))}


def _airflow() -> None:
    from airflow.sdk import Asset, AssetOrTimeSchedule, CronTriggerTimetable

    AssetOrTimeSchedule(timetable=CronTriggerTimetable("0 3 * * *", timezone="UTC"), assets=[Asset("a")])


def _celery_executor() -> None:
    # celery 5.7 breaks exactly this import.
    from airflow.providers.celery.executors.celery_executor import CeleryExecutor

    assert CeleryExecutor.supports_sentry is not None


def _dask() -> None:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        assert client.submit(abs, -1).result() == 1


def _evidently() -> None:
    # Evidently does not import on pandas 3.1.
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    frame = pd.DataFrame({"a": np.arange(50.0), "b": np.arange(50.0) % 3})
    assert Report([DataDriftPreset()]).run(frame, frame).dict()["metrics"]


def _flask() -> None:
    import flask

    assert flask.Flask("a").test_client().get("/").status_code == 404


def _gunicorn() -> None:
    done = subprocess.run([sys.executable, "-m", "gunicorn", "--version"], capture_output=True, text=True, check=True)
    assert pins("requirements.txt")["gunicorn"] in done.stdout


def _hyperopt() -> None:
    from hyperopt import fmin, hp, tpe

    best = fmin(
        lambda x: x**2, hp.uniform("x", -1, 1), tpe.suggest, 5, rstate=np.random.default_rng(0), show_progressbar=False
    )
    assert -1 <= best["x"] <= 1


def _mlflow() -> None:
    from mlflow.tracking import MlflowClient

    assert MlflowClient("sqlite://").tracking_uri == "sqlite://"


def _msgspec() -> None:
    import msgspec

    assert msgspec.json.decode(b"[1]", type=list[int]) == [1]


def _onnx_and_runtime() -> None:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", value[:1], value[1:])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.float32([1, 2])})[0].tolist() == [-1, -2]


def _pandas_and_pyarrow() -> None:
    import io

    import pandas as pd

    frame = pd.DataFrame({"a": [1.5, None], "b": ["x", "y"]})
    assert pd.read_parquet(io.BytesIO(frame.to_parquet())).equals(frame)


def _safetensors() -> None:
    from safetensors.numpy import load, save

    assert load(save({"w": np.float32([1])}))["w"].tolist() == [1]


def _sklearn() -> None:
    from sklearn.linear_model import LogisticRegression

    x = np.float32([[0], [1], [2], [3]])
    assert LogisticRegression().fit(x, [0, 0, 1, 1]).predict(x).tolist() == [0, 0, 1, 1]


def _sqlalchemy() -> None:
    import sqlalchemy as sa

    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        assert connection.execute(sa.text("select 1")).scalar() == 1
    engine.dispose()


def _supervisor() -> None:
    done = subprocess.run([Path(sys.executable).parent / "supervisord", "--version"], capture_output=True, text=True)
    assert done.stdout.strip() == pins("requirements.txt")["supervisor"]


def _torch() -> None:
    import torch

    x = torch.tensor([2.0], requires_grad=True)
    (x**3).backward()
    assert x.grad.item() == 12.0


def _rest() -> None:
    import boto3
    import click
    import flask_babel
    import fsspec
    import prometheus_client
    import psutil
    import psycopg2
    import tqdm

    for module in (boto3, click, flask_babel, fsspec, prometheus_client, psutil, psycopg2):
        assert module.__name__
    assert list(tqdm.tqdm([1], disable=True)) == [1]


USES = [use for name, use in sorted(globals().items()) if name.startswith("_") and isinstance(use, Callable)]


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__.strip("_"))
def test_library_works_here(use: Callable[[], None]) -> None:
    use()


def test_what_is_installed_is_what_is_pinned() -> None:
    wanted = pins("requirements.txt")
    assert len(wanted) > 50
    # A local build of the same version (torch's 2.13.0+cpu) is that version.
    found = {name: version(name).partition("+")[0] for name in wanted}
    assert found == wanted


def test_extras_do_not_change_what_is_tested() -> None:
    """No package has two versions over the locks, and the wheel's extra is what the lock has."""
    engine, others = pins("requirements-engine.txt"), pins("requirements.txt") | pins("requirements-dev.txt")
    assert {name: version for name, version in engine.items() if others.get(name, version) != version} == {}
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert extra["engine"] == [f"{name}=={engine[name]}" for name in ("dask", "distributed")]


def test_every_direct_dependency_is_in_the_lock() -> None:
    lines = (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()
    direct = [re.split(r"[\[=<>~ #]", line, maxsplit=1)[0] for line in lines if line and not line.startswith("#")]
    locked = {name.lower().replace("_", "-") for name in pins("requirements.txt")}
    assert not [name for name in direct if name.lower().replace("_", "-") not in locked]


HASHED = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)[^\n]*\\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M)


@pytest.mark.parametrize(
    ("locks", "pinned"),
    [
        (("runtime", "torch"), "requirements.txt"),
        (("dev",), "requirements-dev.txt"),
        (("engine",), "requirements-engine.txt"),
    ],
)
def test_every_pin_is_installed_by_hash(locks: tuple[str, ...], pinned: str) -> None:
    """The lock that the scripts install is the pins that people read, all of them and no other."""
    text = "".join((ROOT / "ops" / "lock" / f"{lock}.txt").read_text(encoding="utf-8") for lock in locks)
    locked = {match[1]: match[2] for match in HASHED.finditer(text)}
    assert locked == pins(pinned), "renew it: ops/lock.sh --keep"
    assert text.count("==") == len(locked)


def test_torch_without_cuda_is_the_same_version() -> None:
    (found,) = HASHED.findall((ROOT / "ops" / "lock" / "torch-cpu.txt").read_text(encoding="utf-8"))
    assert found[1] == pins("requirements.txt")["torch"] + "+cpu"


def test_cuda_lock_is_hashed_and_for_linux() -> None:
    text = (ROOT / "ops" / "lock" / "cuda.txt").read_text(encoding="utf-8")
    heads = [line for line in text.splitlines() if "==" in line]
    assert len(heads) == len(HASHED.findall(text)) > 10
    assert all('; platform_system == "Linux"' in head.split("==", 1)[1] for head in heads)


def test_workflows_name_actions_by_commit() -> None:
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        for action in re.findall(r"uses: (.*)", workflow.read_text(encoding="utf-8")):
            assert re.fullmatch(r"[\w/.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), f"{workflow.name}: {action}"


@pytest.mark.parametrize("python", ["3.11.0", "3.11.2", "3.11.14", "3.11.99"])
def test_the_lock_is_whole_on_every_release_of_this_python(python: str) -> None:
    """It was resolved on one of them: what another one needs as well is pinned by hand."""
    found = {canonicalize_name(d.metadata["Name"]): d for d in distributions()}
    environment = {"python_full_version": python, "extra": ""}
    needed = [Requirement(line) for d in found.values() for line in d.requires or ()]
    missing = [
        f"{asked}"
        for asked in needed
        if (asked.marker is None or asked.marker.evaluate(environment)) and canonicalize_name(asked.name) not in found
    ]
    assert missing == []
