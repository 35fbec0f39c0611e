"""Scoring on a real Dask cluster: what one process writes, whoever is killed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.bundle.reader import Bundle
from ml.errors import Transient
from ml.settings import Settings, from_values
from serving.batch import plan as plans
from serving.batch import scorer
from serving.batch.plan import Plan
from tests.ml.engine.clusters import LocalCluster, cluster
from tests.serving import tiny

ROWS, UNIT = 2_500, 200
COLUMNS = [f"f{i}" for i in range(tiny.N_FEATURES)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    return Bundle.open(folder, sha256=tiny.write_bundle(folder))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("table") / "table.parquet"
    columns = {name: [(i * (j + 1)) % 17 - 8.0 for i in range(ROWS)] for j, name in enumerate(COLUMNS)}
    pq.write_table(pa.table({**columns, "who": [f"k{i}" for i in range(ROWS)]}), place)
    return place


def on(made: LocalCluster) -> Settings:
    return from_values({"tune": {"engine": "dask", "engine_address": made.address}})


def scored(settings: Settings, bundle: Bundle, file: Path, folder: Path, **options) -> pd.DataFrame:
    plan = Plan(
        table=plans.content(file), name=file.name, version="3", sha256=bundle.sha256, columns=["who"], unit_rows=UNIT
    )
    rows, _ = scorer.run(settings, bundle, file, folder, plans.begin(folder, plan), workers=1, **options)
    plans.finish(folder, plan, rows)
    return pq.read_table(folder).to_pandas()


def test_a_cluster_writes_what_one_process_does(bundle: Bundle, file: Path, tmp_path: Path) -> None:
    """A worker killed in the middle of it."""
    here = scored(Settings(), bundle, file, tmp_path / "here")

    def kill_one(rows: int) -> None:
        if rows == 4 * UNIT:
            made.kill(made.workers[0])

    with cluster(tmp_path, 2) as made:
        there = scored(on(made), bundle, file, tmp_path / "there", done=kill_one)
    pd.testing.assert_frame_equal(here, there)
    names = [path.name for path in sorted((tmp_path / "there").iterdir())]
    assert names == ["_scoring.json", *(f"part-{unit:05d}.parquet" for unit in range(13))]


def test_a_lost_scheduler_loses_no_part_and_no_row_comes_twice(bundle: Bundle, file: Path, tmp_path: Path) -> None:
    """The same command goes on, here without a cluster."""
    folder = tmp_path / "out"

    def lose(rows: int) -> None:
        if rows == 4 * UNIT:
            made.kill(made.scheduler)

    with cluster(tmp_path, 1) as made, pytest.raises(Transient, match="goes on from it"):
        scored(on(made), bundle, file, folder, done=lose)
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("part-*")}
    assert 4 <= len(kept) < 13
    assert scored(Settings(), bundle, file, folder)["row"].tolist() == list(range(ROWS))
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items())
