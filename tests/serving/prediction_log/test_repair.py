"""Segments that the log shipper put aside come back: rows around the damage, and the damage where it was one bit."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from ml.predictions import feedback, predictions
from ml.settings import Settings
from ml.storage import database
from serving.integrity import command
from serving.model.store import ModelStore
from serving.prediction_log import repair, segments
from serving.prediction_log.records import FRAME_BYTES, HEAD, Model
from serving.prediction_log.shipper import LogShipper
from serving.prediction_log.writer import PredictionLog
from serving.scoring import score
from tests.serving import tiny

ROWS, LABELS = 6, 3


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = tiny.settings_for(tmp_path)
    tiny.publish(found, "1")
    return found


def logged(settings: Settings, start: int = 0) -> Path:
    """A sealed segment: a Model record, then rows and labels in turn."""
    store = ModelStore(settings.var / "serving")
    store.refresh()
    served = store.current()
    assert served is not None
    before = set(segments.segments(settings.var / "serving" / "segments"))
    log = PredictionLog(settings)
    for i in range(start, start + ROWS):
        log.append(served, score.score(served, score.reader(served).records([tiny.row(f0=i / 10)]), [f"p{i}"]))
        if i % 2:
            log.append_feedback([(f"p{i}", "1")])
    log.close()
    [segment] = set(segments.segments(settings.var / "serving" / "segments")) - before
    return segment


def frames(segment: Path) -> list[tuple[int, int, object]]:
    """(begin, end, record) of each."""
    content, at, found = segment.read_bytes(), HEAD.size, []
    place = segments.start(content)
    assert place is not None
    for behind, record in segments.records(content[at:], place, sealed=True):
        found.append((place.at, behind.at, record))
        place = behind
    return found


def damage(segment: Path, change: Callable[[bytearray], None]) -> None:
    content = bytearray(segment.read_bytes())
    change(content)
    segment.write_bytes(bytes(content))


def stored(settings: Settings) -> tuple[dict[str, str], int]:
    """(id → inputs, labels) in the database."""
    with database.engine(settings).connect() as connection:
        rows = connection.execute(sa.select(predictions.c.prediction_id, predictions.c.inputs)).all()
        labels = connection.execute(sa.select(sa.func.count()).select_from(feedback)).scalar()
    return {row[0]: row[1] for row in rows}, int(labels or 0)


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_bit_costs_nothing(settings: Settings, seed: int) -> None:
    """Anywhere: in the Model record without which no row has a meaning, at the end of all, in a row, in a label."""
    chance, segment = random.Random(seed), logged(settings)
    begin, end, record = frames(segment)[0 if seed < 4 else -1 if seed < 8 else chance.randrange(ROWS + LABELS)]
    assert isinstance(record, Model) or seed >= 4
    at = chance.randrange(begin, end)
    damage(segment, lambda content: content.__setitem__(at, content[at] ^ 1 << chance.randrange(8)))
    LogShipper(settings).step()
    assert [file.name for file in repair.put_aside(settings)] == [segment.name]
    found = repair.repair(settings)
    rows, labels = stored(settings)
    assert sorted(rows) == [f"p{i}" for i in range(ROWS)], found
    assert labels == LABELS
    assert rows["p5"] == '{"f0":0.5,"f1":0.1,"f2":0.2,"f3":0.3}'
    assert repair.put_aside(settings) == []


def test_a_model_record_that_is_lost_is_another_segments(settings: Settings) -> None:
    segment = logged(settings)
    begin, end, _ = frames(segment)[0]
    damage(
        segment,
        lambda content: content.__setitem__(
            slice(begin + FRAME_BYTES, end - 9), b"x" * (end - begin - FRAME_BYTES - 9)
        ),
    )
    LogShipper(settings).step()
    assert stored(settings)[0] == {}
    [one] = repair.repair(settings)
    assert (one.rows, one.left) == (0, ROWS + 1)
    later = logged(settings, start=100)
    [one] = repair.repair(settings)
    assert (one.rows, one.labels, one.left) == (ROWS, LABELS, 1)
    assert len(stored(settings)[0]) == ROWS
    assert [file.name for file in repair.put_aside(settings)] == [segment.name], "one record is not there"
    assert later.exists()


def test_the_command_repairs_and_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = logged(settings)
    begin, _, _ = frames(segment)[3]
    damage(segment, lambda content: content.__setitem__(begin + FRAME_BYTES + 5, content[begin + FRAME_BYTES + 5] ^ 4))
    LogShipper(settings).step()
    monkeypatch.setenv("REFIT_HOME", str(settings.home))
    monkeypatch.setattr("serving.integrity.checks._registered", lambda _, all_versions: (0, []))
    told = CliRunner().invoke(command.command, [])
    assert f"{segment.name}: put aside by the log shipper: python -m ml verify --repair" in told.output
    done = CliRunner().invoke(command.command, ["--repair"])
    assert f"{segment.name}: {ROWS} rows and {LABELS} labels are in the database, and it is deleted" in done.output
    assert len(stored(settings)[0]) == ROWS
