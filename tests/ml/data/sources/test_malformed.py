"""Every malformed table gets its answer, on both sides, and a refused one leaves nothing behind."""

from pathlib import Path

import pytest

from ml.data import generate
from ml.data.blocks import disk_table
from ml.data.sources.files import read_csv
from ml.errors import DataError
from ml.schema.coerce import shown
from ml.schema.frame_coerce import canonical
from ml.schema.schema import Schema
from ml.settings import Data, Settings, from_values
from tests.ml.data import corpus

CASES = list(corpus.cases())


def settings_for(case: corpus.Case, home: Path) -> Settings:
    """The case's file in a home of its own."""
    path = home / "in" / case.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(case.content)
    return from_values(
        {"home": str(home / "home"), "data": {**corpus.SETTINGS, **case.data, "source": "file", "path": str(path)}}
    )


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Schema]:
    """Id and schema that the clean file gives."""
    made = generate(settings_for(CASES[0], tmp_path_factory.mktemp("clean")))
    return made.id, made.schema


@pytest.mark.parametrize("in_memory", [250_000, 90], ids=["in memory", "on disk"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_training_side_answers(
    case: corpus.Case, in_memory: int, tmp_path: Path, clean: tuple[str, Schema], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same answer from a table that is read by blocks, and the same snapshot."""
    monkeypatch.setattr(disk_table, "BLOCK_ROWS", in_memory)
    settings = settings_for(case, tmp_path)
    if case.train == "reject":
        with pytest.raises(DataError) as caught:
            generate(settings)
        assert case.train_says in str(caught.value)
        assert case.file in str(caught.value)
        assert not [path for path in settings.home.rglob("*") if path.is_file()]
        return
    made = generate(settings)
    report = made.manifest.report
    said = "; ".join(f"{finding.column} {finding.message}" for finding in report)
    assert ("warn" if any(f.level == "warning" for f in report) else "accept") == case.train, said
    assert case.train_says in said
    assert not case.same or made.id == clean[0]
    assert {"train", "validation", "test"} <= {name for name, count in made.manifest.parts.items() if count}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_prediction_side_answers(case: corpus.Case, tmp_path: Path, clean: tuple[str, Schema]) -> None:
    path = tmp_path / "in"
    path.write_bytes(case.content)
    with path.open("rb") as stream:
        if case.predict == "reject":
            with pytest.raises(DataError) as caught:
                canonical(read_csv(stream, case.file, Data(max_bytes=20_000_000)), clean[1])
            assert case.predict_says in str(caught.value)
            assert case.file in str(caught.value)
            return
        raw = read_csv(stream, case.file, Data(max_bytes=20_000_000))
    rows, report = canonical(raw, clean[1])
    findings = [*raw.attrs["findings"], *report.findings]
    said = "; ".join(str(finding) for finding in findings)
    assert ("warn" if any(f.level == "warning" for f in findings) else "accept") == case.predict, said
    assert case.predict_says in said
    assert len(rows) == len(raw)
    assert list(rows) == [column.name for column in clean[1].columns]


def test_quoted_newlines_keep_every_row(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.file == "63_newline.csv")
    assert generate(settings_for(case, tmp_path)).manifest.rows == corpus.N


def test_messages_stay_on_one_line(tmp_path: Path) -> None:
    assert "\n" not in shown("a\nb\x1b[31m")
    assert len(shown("x" * 1_000)) == 60
