"""A run through a real S3 server: each stage on another machine, the server away in the middle, a search killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml import tracking
from ml.errors import PromotionError, RegistryUnavailable, SettingsError, StorageUnavailable
from ml.pipeline import pipeline
from ml.pipeline.stages.records import PromotionRecord, TuningRecord
from ml.pipeline.workspace import STAGES, Workspace
from ml.registry import ledger
from ml.registry.rollout import Confirmation
from ml.settings import CHECKOUT, Settings, from_values
from ml.storage import shared
from serving.model.follower import Follower
from serving.model.store import read_pointer, read_refusals
from tests import s3
from tests.ml.pipeline.machines import machine, outcome
from tests.ml.registry.versions import make_version, promote
from tests.serving.running import wait_for

# A minute in every stage by hand: docs/deployment.md has what was seen.
AWAY_S, AWAY_IN = 2.0, ("train", "tune", "promote")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.Server]:
    if s3.binary() is None:
        pytest.fail("no S3 server here: pip install -r requirements-dev.txt")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment().items():
            patch.setenv(name, value)
        found = s3.Server(tmp_path_factory.mktemp("s3"))
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        patch.setenv("MLFLOW_S3_ENDPOINT_URL", f"http://{found.endpoint}")
        found.start()
        yield found
        found.stop()


def on(server: s3.Server, root: Path, name: str, **more: Any) -> Settings:
    """A machine with an empty disk."""
    storage = {"url": server.address("loop"), "wait_s": 120.0}
    return machine(root, name, storage=storage, **more)


def test_a_run_through_s3_ends_as_on_one_machine_though_it_was_away(
    server: s3.Server, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It is ended when a stage has begun, and started again later: nothing fails, and nothing is another."""
    alone = machine(tmp_path_factory.mktemp("alone"), "only", storage={"url": ""})
    for name in STAGES:
        getattr(pipeline, name)(alone, "run")
        settings = on(server, tmp_path, name)
        back = threading.Thread(target=_away, args=(server, AWAY_S if name in AWAY_IN else 0.0))
        back.start()
        getattr(pipeline, name)(settings, "run")
        back.join()
    reader = on(server, tmp_path, "reader")
    assert outcome(reader, "run") == outcome(alone, "run")
    assert Workspace(reader, "run").needed(PromotionRecord).promoted


def _away(server: s3.Server, seconds: float) -> None:
    if seconds:
        server.stop()
        time.sleep(seconds)
        server.start()


def test_a_search_killed_on_one_machine_is_gone_on_with_on_another(server: s3.Server, tmp_path: Path) -> None:
    more = {"tune": {"max_evals": 12}}
    begun, other = on(server, tmp_path, "begun", **more), on(server, tmp_path, "other", **more)
    for name in ("generate", "train"):
        getattr(pipeline, name)(begun, "killed")
    store = shared.of(other)
    assert store is not None
    variables = {
        "REFIT_HOME": str(begun.home), "REFIT_DATABASE_URL": begun.database_url,
        "REFIT_STORAGE__URL": begun.storage.url,
        "REFIT_REGISTRY__TRACKING_URI": begun.registry.tracking_uri, "REFIT_REGISTRY__SIGNATURES": "off",
        "REFIT_MLFLOW_PORT": "1", "PYTHONPATH": str(CHECKOUT),
    }  # fmt: skip
    search = subprocess.Popen(
        [sys.executable, "-m", "ml", "tune", "--run", "killed"], cwd=CHECKOUT, env=os.environ | variables,
        start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(lambda: len(store.names("runs/killed/trials")) >= 3, seconds=120, what="three trials")
    finally:
        os.killpg(search.pid, signal.SIGKILL)
        search.wait()
    kept = len(store.names("runs/killed/trials"))
    record = pipeline.tune(other, "killed")
    assert 3 <= kept < 12 == record.trials
    whole = machine(tmp_path, "whole", storage={"url": ""}, **more)
    for name in ("generate", "train", "tune"):
        getattr(pipeline, name)(whole, "whole")
    expected = Workspace(whole, "whole").needed(TuningRecord)
    assert (record.best, record.best_loss) == (expected.best, expected.best_loss)
    own = {path.stem for path in (other.var / "runs" / "killed" / "tune").glob("search-*/trial-*.json")}
    assert len(own) == 12


def test_artifacts_that_are_away_are_refused_by_nobody(server: s3.Server, tmp_path: Path) -> None:
    """Neither by who registers, nor by the follower, nor in a promotion: each goes on when they are back."""
    import mlflow

    registers, serves = (on(server, tmp_path, name) for name in ("registers", "serves"))
    tracking.client(registers)
    mlflow.create_experiment(registers.registry.experiment, artifact_location=f"s3://{s3.BUCKET}/mlflow")
    one = make_version(registers, tmp_path)
    follower = Follower(serves)
    promote(registers, one)
    server.stop()
    with pytest.raises(RegistryUnavailable):
        make_version(registers, tmp_path, 2.0)
    server.start()
    other = make_version(registers, tmp_path, 2.0)
    assert follower.step()

    def silent(settings: Settings, version: str) -> Confirmation:
        server.stop()
        with pytest.raises(RegistryUnavailable):
            follower.step()
        raise PromotionError("no worker reports it in time")

    with pytest.raises(RegistryUnavailable):
        promote(registers, other, silent)
    server.start()
    assert follower.step()
    assert promote(registers, other).what == ledger.PROMOTED
    pointer = read_pointer(follower.folder)
    assert pointer is not None
    assert pointer.version == other.version
    assert read_refusals(follower.folder) == []
    assert ledger.events(registers, what=[ledger.REFUSED, ledger.NOT_SERVED, ledger.PROMOTION_FAILED]) == []


def test_a_bucket_that_is_not_there_is_told(server: s3.Server, tmp_path: Path) -> None:
    """It reads as one in which nothing is."""
    settings = from_values({"home": str(tmp_path), "storage": {"url": server.address("x", bucket="no-such-bucket")}})
    store = shared.of(settings)
    assert store is not None
    with pytest.raises(SettingsError, match="no bucket 'no-such-bucket'"):
        store.find("s")


def test_wrong_keys_are_told(server: s3.Server, tmp_path: Path) -> None:
    address = server.address("x").replace("s3://", "s3://test-key:wrong@")
    store = shared.of(from_values({"home": str(tmp_path), "storage": {"url": address}}))
    assert store is not None
    with pytest.raises(SettingsError, match="refuses") as raised:
        store.put("s", [])
    assert "wrong" not in str(raised.value)


def test_no_server_may_pass(tmp_path: Path) -> None:
    address = "s3://bucket/x?endpoint_override=127.0.0.1:9&scheme=http"
    store = shared.of(from_values({"home": str(tmp_path), "storage": {"url": address}}), wait_s=0.0)
    assert store is not None
    with pytest.raises(StorageUnavailable, match="s3://bucket/x"):
        store.find("s")
