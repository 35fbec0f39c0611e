"""A replay on a real Dask cluster: the same as here, whoever is killed."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from ml.errors import EngineUnavailable
from ml.models.base import UntrainableError
from ml.replay import comparison, on_cluster, report, strategies
from ml.replay.on_cluster import Ask, Player, Setup
from ml.replay.report import Replay
from ml.settings import Settings
from ml.storage.files import to_json
from tests.ml.engine import asks
from tests.ml.engine.clusters import LocalCluster, cluster
from tests.ml.replay.tables import ROWS, WINDOWS, settings_of, stream, turning

PLAYED = {"label_delay": "30h", "n_windows": WINDOWS}  # shorter than two windows: some end without labels
SECRET = "postgresql://me:secret@db/past"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With empty cells, and rows without a label."""
    frame = turning()
    frame.loc[frame.index[:7], "y"] = None
    frame.loc[frame.index[5:50], "z"] = None
    place = tmp_path_factory.mktemp("past") / "past.parquet"
    frame.to_parquet(place)
    return place


def settings(file: Path, **tune: str) -> Settings:
    return settings_of(file, tune={"costs": [[0, 1], [3, 0]], **tune})


def on(made: LocalCluster, file: Path) -> Settings:
    return settings(file, engine="dask", engine_address=made.address)


@pytest.fixture(scope="module")
def here(file: Path) -> Replay:
    played = comparison.run(settings(file), **PLAYED)
    assert played.strategy(report.LOOP).retrainings
    assert played.strategy(report.SCHEDULE) != played.strategy(report.EVERY)
    return played


@pytest.mark.parametrize("workers", [1, 2])
def test_a_cluster_plays_what_is_played_here(tmp_path: Path, file: Path, here: Replay, workers: int) -> None:
    """To the last bit, with as many asks told as there were."""
    seen: list[tuple[str, int, int]] = []
    with cluster(tmp_path, workers) as made:
        played = comparison.run(
            on(made, file), **PLAYED, progress=lambda stage, done, total, _: seen.append((stage, done, total))
        )
    assert to_json(played) == to_json(here)
    assert [done for _, done, _ in seen] == list(range(1, len(seen) + 1))
    assert seen[-1] == ("cluster", len(seen), len(seen))


def test_a_worker_killed_in_the_middle_changes_nothing(tmp_path: Path, file: Path, here: Replay) -> None:
    """What it was at is done by the other, which may have been the loop."""

    def kill_one(stage: str, done: int, total: int, note: str) -> None:
        if done == 2:
            made.kill(made.workers[0])

    with cluster(tmp_path, 2) as made:
        played = comparison.run(on(made, file), **PLAYED, progress=kill_one)
    assert to_json(played) == to_json(here)


def test_a_lost_scheduler_is_told_and_nothing_is_said_to_be_kept(tmp_path: Path, file: Path) -> None:
    def lose(stage: str, done: int, total: int, note: str) -> None:
        if done == 2:
            made.kill(made.scheduler)

    with cluster(tmp_path, 1) as made, pytest.raises(EngineUnavailable, match=f"{made.address} .* lost") as raised:
        comparison.run(on(made, file), **PLAYED, progress=lose)
    assert "kept" not in str(raised.value)


def test_workers_that_die_of_it_are_told_with_what_to_do(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first death here; Dask's own number is four."""
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    monkeypatch.setattr(on_cluster, "answer", asks.deadly)
    with cluster(tmp_path, 1) as made, pytest.raises(EngineUnavailable, match="--engine processes"):
        comparison.run(on(made, file), **PLAYED)


def test_neither_an_address_nor_the_cluster_goes_to_workers(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who plays asks no other cluster, posts no alert, and reads no database."""
    sent: list[Setup] = []

    def outcomes(address: str, frame: pd.DataFrame, setup: Setup, **_: object) -> dict[str, object]:
        sent.append(setup)
        raise EngineUnavailable(address)

    monkeypatch.setattr(on_cluster, "outcomes", outcomes)
    given = settings(file, engine="dask", engine_address="tcp://127.0.0.1:9")
    given = msgspec.structs.replace(
        given, data=msgspec.structs.replace(given.data, url=SECRET, query="SELECT 1"),
        drift=msgspec.structs.replace(given.drift, webhook_url="https://hooks.example/secret"),
    )  # fmt: skip
    with pytest.raises(EngineUnavailable):
        comparison.run(given, **PLAYED)
    assert "secret" not in msgspec.json.encode(sent[0]).decode()
    played = sent[0].stream(pd.DataFrame({"t": ["1"] * ROWS, "y": ["a"] * ROWS}), tmp_path).settings
    assert (played.tune.engine, played.drift.webhook_url, played.data.query) == ("processes", "", "")


def test_a_table_arrives_as_it_was(tmp_path: Path) -> None:
    """Texts stay texts, and an empty cell is what pandas makes of one in a CSV file."""
    frame = pd.DataFrame({"a": ["1", np.nan, ""], "b": [np.nan] * 3, "tên": ["x", "y", "z"]}, dtype=object)
    on_cluster.save(tmp_path, frame, Setup(n_windows=5, arrives=[], data={}, families=[], values={}))
    pd.testing.assert_frame_equal(on_cluster.from_parquet(tmp_path / on_cluster.TABLE), frame)


def test_a_worker_logs_no_alert_of_the_past(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And tells of today's again."""
    setup = Setup(
        n_windows=WINDOWS, arrives=list(range(WINDOWS)), data={"target": "y", "split": "stratified"},
        families=["logistic"], values={},
    )  # fmt: skip
    on_cluster.save(tmp_path, pd.concat(stream(tmp_path).windows), setup)
    caplog.clear()
    assert Player(tmp_path).loop().retrainings
    assert not [record for record in caplog.records if record.name == "ml.alerts"]
    assert logging.getLogger("ml.alerts").level == logging.NOTSET


def test_where_no_model_can_be_made_the_one_before_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does here; one that answers twice is one model."""
    frame = pd.concat(stream(tmp_path).windows)
    setup = Setup(
        n_windows=WINDOWS, arrives=list(range(WINDOWS)), data={"target": "y", "split": "stratified"},
        families=["logistic"], values={},
    )  # fmt: skip
    on_cluster.save(tmp_path, frame, setup)
    fit = strategies.fit

    def no_second(settings: Settings, snapshot: object, version: str):
        if version == "4":
            raise UntrainableError("one class")
        return fit(settings, snapshot, version)

    monkeypatch.setattr(strategies, "fit", no_second)
    player = Player(tmp_path)
    parts = on_cluster._Parts()
    for place in range(4):
        ask = Ask(place, [place])
        found = msgspec.msgpack.decode(on_cluster.answer(player, msgspec.msgpack.encode(ask)), type=on_cluster.Answer)
        assert found.model == [0, 1, 1, 3][place]
        parts.add(ask, found)
    assert parts.outcome([0, 1, 2, 3]).retrainings == 2
    assert parts.missing([0, 1, 1, 3]) == [Ask(1, [2])]
