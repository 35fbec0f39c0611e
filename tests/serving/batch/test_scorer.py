"""A table of any length becomes parts, once, whatever happens on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.bundle.reader import Bundle
from ml.errors import DataError, Transient
from ml.schema.validation_errors import RowsError
from ml.settings import Settings
from serving.batch import plan as plans
from serving.batch import scorer
from serving.batch.plan import Plan
from tests.serving import tiny

ROWS, UNIT = 2_500, 400
COLUMNS = [f"f{i}" for i in range(tiny.N_FEATURES)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    return Bundle.open(folder, sha256=tiny.write_bundle(folder))


def table(rows: int = ROWS) -> pd.DataFrame:
    values = np.random.default_rng(3).normal(size=(rows, len(COLUMNS))).round(4)
    return pd.DataFrame(values, columns=COLUMNS).assign(who=[f"k{i}" for i in range(rows)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "table.parquet"
    pq.write_table(pa.Table.from_pandas(table()), place, row_group_size=700)
    return place


def plan_of(bundle: Bundle, file: Path, columns: list[str] | None = None) -> Plan:
    return Plan(
        table=plans.content(file), name=file.name, version="3", sha256=bundle.sha256,
        columns=["who"] if columns is None else columns, unit_rows=UNIT,
    )  # fmt: skip


def scored(bundle: Bundle, file: Path, folder: Path, workers: int = 1) -> pd.DataFrame:
    plan = plans.begin(folder, plan_of(bundle, file))
    rows, _ = scorer.run(Settings(), bundle, file, folder, plan, workers=workers)
    plans.finish(folder, plan, rows)
    return pq.read_table(folder).to_pandas()


def test_every_row_is_answered_in_its_place(bundle: Bundle, file: Path, tmp_path: Path) -> None:
    found, given = scored(bundle, file, tmp_path / "out"), table()
    assert found["row"].tolist() == list(range(ROWS))
    assert found["who"].tolist() == given["who"].tolist()
    probabilities = bundle.run(given[COLUMNS].to_numpy(np.float32), None)
    np.testing.assert_allclose(found[["probability_0", "probability_1"]], probabilities, atol=1e-6)
    assert found["label"].tolist() == bundle.label(probabilities).tolist()
    assert (found["probability"] == found[["probability_0", "probability_1"]].max(axis=1)).all()
    assert (found["positive_probability"] == found["probability_1"]).all()
    assert list(found.columns) == ["row", "who", "label", "probability", "positive_probability", "probability_0",
                                   "probability_1", "warnings"]  # fmt: skip


def test_two_processes_write_what_one_does(bundle: Bundle, file: Path, tmp_path: Path) -> None:
    one, two = scored(bundle, file, tmp_path / "one"), scored(bundle, file, tmp_path / "two", workers=2)
    pd.testing.assert_frame_equal(one, two)
    names = [path.name for path in sorted((tmp_path / "two").iterdir())]
    assert names == ["_scoring.json", *(f"part-{unit:05d}.parquet" for unit in range(7))], "and leave nothing else"


def test_a_csv_is_read_as_the_service_reads_it(bundle: Bundle, file: Path, tmp_path: Path) -> None:
    lines = tmp_path / "table.csv"
    table().to_csv(lines, index=False, sep=";", decimal=",")
    pd.testing.assert_frame_equal(scored(bundle, lines, tmp_path / "b"), scored(bundle, file, tmp_path / "a"))


def test_killed_anywhere_it_goes_on_and_no_row_comes_twice(
    bundle: Bundle, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, write, asked = tmp_path / "out", scorer.write, list[int]()

    def killed(bundle: Bundle, folder: Path, unit: scorer.Unit) -> int:
        asked.append(unit.number)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return write(bundle, folder, unit)

    monkeypatch.setattr(scorer, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        scored(bundle, file, folder)
    assert plans.part(folder, 2).exists()
    assert not plans.part(folder, 3).exists()
    assert scored(bundle, file, folder)["row"].tolist() == list(range(ROWS))
    assert asked == [0, 1, 2, 3, 3, 4, 5, 6]


def test_a_part_appears_when_it_is_whole(
    bundle: Bundle, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(table: pa.Table, place: Path) -> None:
        Path(place).write_bytes(b"PAR1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scorer.pq, "write_table", torn)
    with pytest.raises(OSError, match="space"):
        scored(bundle, file, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["_scoring.json"]


def test_a_process_that_is_ended_costs_a_try(bundle: Bundle, file: Path, tmp_path: Path) -> None:
    """As the kernel ends one for want of memory: here it cannot open its bundle any more."""
    folder = tmp_path / "out"
    plan = plans.begin(folder, plan_of(bundle, file))
    gone = Bundle.open(bundle.path)
    gone.path = tmp_path / "gone"
    with pytest.raises(Transient, match="goes on where it was"):
        scorer.run(Settings(), gone, file, folder, plan, workers=2)
    assert len(scored(bundle, file, folder)) == ROWS


def test_nothing_is_scored_of_a_table_that_is_wrong_somewhere(bundle: Bundle, tmp_path: Path) -> None:
    broken = table()
    broken["f1"] = broken["f1"].astype(object)
    broken.loc[2_000:2_300, "f1"] = "unknown"
    file = tmp_path / "table.csv"
    broken.to_csv(file, index=False)
    with pytest.raises(RowsError) as told:
        scored(bundle, file, tmp_path / "out")
    assert told.value.errors[0].line == 2_002
    assert not plans.part(tmp_path / "out", 0).exists()


def test_progress_counts_what_is_there(bundle: Bundle, file: Path, tmp_path: Path) -> None:
    folder, seen = tmp_path / "out", list[int]()
    plan = plans.begin(folder, plan_of(bundle, file))
    scorer.run(Settings(), bundle, file, folder, plan, workers=1, done=seen.append)
    assert seen == [0, 400, 800, 1200, 1600, 2000, 2400, 2500]
    seen.clear()
    plans.part(folder, 6).unlink()
    scorer.run(Settings(), bundle, file, folder, plan, workers=1, done=seen.append)
    assert seen == [2400, 2500]


def test_a_model_of_no_number_is_told_by_its_row(
    bundle: Bundle, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(bundle: Bundle, rows: object) -> np.ndarray:
        p = np.full((len(rows), 2), 0.5, np.float32)  # type: ignore[arg-type]
        p[7] = np.nan
        return p

    monkeypatch.setattr(scorer.score, "run", broken)
    with pytest.raises(DataError, match="7"):
        scored(bundle, file, tmp_path / "out")
