"""The model store: follows the pointer, refuses what does not load, tells what it serves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ml.messages import code_of
from ml.settings import Settings
from serving.model.store import ModelStore, Pointer, WorkerReport, WorkerState, worker_states, write_pointer
from tests.serving import tiny
from tests.serving.running import wait_for


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return tiny.settings_for(tmp_path)


@pytest.fixture
def store(settings: Settings) -> Iterator[ModelStore]:
    made = ModelStore(settings.var / "serving")
    yield made
    made.close()


def version(store: ModelStore) -> str | None:
    served = store.current()
    return served and served.version


def test_store_is_empty_before_the_first_version_and_follows_on_its_own(settings: Settings, store: ModelStore) -> None:
    store.start()
    assert store.current() is None
    for number in ("1", "2"):
        tiny.publish(settings, number, bias=float(number))
        wait_for(lambda n=number: version(store) == n, what=f"version {number}")


def test_request_in_flight_keeps_its_model(settings: Settings, store: ModelStore) -> None:
    tiny.publish(settings, "1")
    store.refresh()
    held = store.current()
    assert held is not None
    rows = np.zeros((1, tiny.N_FEATURES), np.float32)
    before = held.bundle.run(rows, None)
    tiny.publish(settings, "2", bias=2.0)
    store.refresh()
    assert version(store) == "2"
    assert np.array_equal(held.bundle.run(rows, None), before)


def test_damaged_version_is_refused_with_its_reason_and_the_old_one_serves(
    settings: Settings, store: ModelStore
) -> None:
    tiny.publish(settings, "1")
    store.start()
    pointer = tiny.publish(settings, "2", bias=2.0)
    wait_for(lambda: version(store) == "2", what="version 2")
    (settings.var / "serving" / pointer.path / "model.onnx").write_bytes(b"not a model")
    write_pointer(settings.var / "serving", Pointer("3", pointer.path, pointer.sha256))
    refused = wait_for(lambda: store.refused, what="a refusal")
    assert refused.version == "3"
    assert code_of(refused.reason) == "bundle.file_size"
    assert "model.onnx" in str(refused.reason)
    assert version(store) == "2"
    told = wait_for(  # the report of the worker is written after it has noted the refusal
        lambda: [state for state in worker_states(settings.var / "serving") if state.refused],
        what="the worker's report",
    )
    assert [(state.model_version, state.refused) for state in told] == [("2", refused)]


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 3}', b"\xff\xfe"], ids=repr)
def test_unreadable_pointer_changes_nothing(settings: Settings, store: ModelStore, content: bytes) -> None:
    tiny.publish(settings, "1")
    store.refresh()
    (settings.var / "serving" / "current.json").write_bytes(content)
    store.refresh()
    assert version(store) == "1"
    assert store.refused is not None


def test_pointer_that_names_another_hash_is_refused(settings: Settings, store: ModelStore) -> None:
    pointer = tiny.publish(settings, "1")
    write_pointer(settings.var / "serving", Pointer("1", pointer.path, "0" * 64))
    store.refresh()
    assert store.current() is None
    assert store.refused is not None
    assert code_of(store.refused.reason) == "bundle.not_registered"


def test_reports_of_dead_workers_are_removed(settings: Settings) -> None:
    """Also where the pid is another process's by now, as after a restart of the machine."""
    folder = settings.var / "serving"
    pid = os.getpid()
    dead = os.fork()
    if dead == 0:
        WorkerReport(folder / "workers").write(WorkerState(pid, "0", 0.0))
        os._exit(0)
    os.waitpid(dead, 0)
    own = WorkerReport(folder / "workers")
    own.write(WorkerState(pid, "1", 0.0))
    (folder / "workers" / "torn.json").write_bytes(b"{")
    assert [state.model_version for state in worker_states(folder)] == ["1"]
    assert len(list((folder / "workers").iterdir())) == 2
    own.withdraw()
    assert list((folder / "workers").iterdir()) == []


def test_a_worker_of_another_container_lives_whatever_its_pid_means_here(settings: Settings) -> None:
    folder = settings.var / "serving"
    elsewhere = WorkerReport(folder / "workers")
    elsewhere.write(WorkerState(2**22 + 1, "1", 0.0))  # no process of this system has it
    assert [state.pid for state in worker_states(folder)] == [2**22 + 1]
    assert elsewhere.file.exists()
    elsewhere.withdraw()


def test_a_report_counts_again_after_its_folder_was_cleaned(settings: Settings) -> None:
    folder = settings.var / "serving"
    report = WorkerReport(folder / "workers")
    report.write(WorkerState(1, "1", 0.0))
    shutil.rmtree(folder / "workers")
    report.write(WorkerState(1, "2", 0.0))
    assert [state.model_version for state in worker_states(folder)] == ["2"]
    report.withdraw()


def test_report_is_withdrawn_at_the_end(settings: Settings) -> None:
    store = ModelStore(settings.var / "serving")
    tiny.publish(settings, "1")
    store.start()
    (file,) = (settings.var / "serving" / "workers").glob(f"*-{os.getpid()}-*.json")
    assert msgspec.json.decode(file.read_bytes())["model_version"] == "1"
    store.close()
    assert not file.exists()
