"""The random histories find a fault where there is one, and none in the code as it is."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from bench import histories
from bench.fault_disk import FaultDisk
from ml.bundle import signature
from ml.registry import aliases, contract, outside_moves, promotion
from serving.prediction_log import shipper
from serving.prediction_log.shipper import LogShipper
from serving.prediction_log.writer import PredictionLog


def play(n: int = 12, first: int = 1) -> dict[str, object]:
    """What `histories.run` gives, and under "said" what it said of each history that went wrong."""
    said: list[str] = []
    return {**histories.run(n, first, 40, said.append), "said": said}


def test_histories_go_as_the_model_says_and_a_seed_says_all_of_it() -> None:
    once, again = play(4), play(4)
    assert (once["lost"], once["doubled"], once["mixed"], once["unledgered"]) == (0, 0, 0, 0), once["said"]
    assert once["answered"] == again["answered"] != 0


def test_a_log_that_does_not_sync_loses_answers() -> None:
    def unsynced(self: PredictionLog, content: bytes) -> None:
        self._machine = False
        real(self, content)

    real = PredictionLog._append
    with mock.patch.object(PredictionLog, "_append", unsynced):
        assert play()["lost"]


def test_a_shipper_that_forgets_before_the_commit_loses_answers() -> None:
    def note_first(self: LogShipper, segment: Path, batch: Any) -> None:
        shipper._write_offset(segment, batch.end)
        real(self, segment, batch)

    real = LogShipper._commit
    with mock.patch.object(LogShipper, "_commit", note_first):
        assert play(20)["lost"]


def test_a_promotion_that_believes_a_registry_that_lags_is_found() -> None:
    steps = (histories.World.promote, 4), (histories.World.rollback, 2), (histories.World.registry_fault, 3)
    with mock.patch.object(histories, "STEPS", steps):
        found = play(6)
        assert not found["unledgered"], found["said"]
        with contextlib.ExitStack() as believing:
            for room in (promotion, contract, outside_moves):
                believing.enter_context(mock.patch.object(room, "champion_now", aliases.champion))
            assert play()["unledgered"]


def test_a_service_that_checks_no_signature_is_found_serving_the_forged_version() -> None:
    with mock.patch.object(signature, "verify", return_value=None):
        found = play()
    assert found["mixed"]


@pytest.mark.parametrize("seed", range(5))
def test_a_cut_leaves_what_was_synced_and_of_the_rest_what_chance_wills(tmp_path: Path, seed: int) -> None:
    import os
    import random

    from ml.storage.files import sync_folder, write_bytes

    disk = FaultDisk(tmp_path, random.Random(seed))
    with disk.watching():
        write_bytes(tmp_path / "whole", b"synced")
        (tmp_path / "loose").write_bytes(b"x" * 100)
        handle = os.open(tmp_path / "grows", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(handle, b"kept")
        os.fsync(handle)
        sync_folder(tmp_path)
        os.write(handle, b" or not")
        os.close(handle)
        disk.cut()
    assert (tmp_path / "whole").read_bytes() == b"synced"
    assert b"kept or not".startswith((tmp_path / "grows").read_bytes())
    assert (tmp_path / "grows").read_bytes().startswith(b"kept")
    assert (tmp_path / "loose").read_bytes().strip(b"x") == b""
