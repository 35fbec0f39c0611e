"""What is told of a table: what was used and left out and why, what to look at, and the command that changes it."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from ml.data import ingestion, summary
from ml.messages import message
from ml.pipeline import progress
from ml.schema.findings import Finding
from ml.settings import Settings, from_values

ANEW = "--schema infer --policy always"


def settings(home: Path) -> Settings:
    """Of a churn table with an id with gaps, dates, and a constant, as a person brings it."""
    rng = np.random.default_rng(0)
    n = 400
    frame = pd.DataFrame(
        {
            "Mã số": rng.choice(90_000, n, replace=False) + 10_000,
            "LastContact": pd.date_range("2026-01-01", periods=n).strftime("%Y-%m-%d"),
            "tenure": rng.integers(1, 70, n),
            "charges": rng.normal(60, 20, n).round(2),
            "country": "VN",
            "Churn": np.where(np.arange(n) % 4 == 0, "Có", "Không"),
        }
    )
    frame.to_csv(home / "my churn.csv", index=False, sep=";")
    data = {"source": "file", "path": str(home / "my churn.csv"), "target": "Churn"}
    return from_values({"home": str(home), "data": data})


def test_a_table_is_told_line_by_line(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    made = ingestion.generate(chosen)
    lines = list(map(str, summary.found(made.manifest, made.schema, chosen.data)))
    assert lines[0] == "400 rows; 'Churn' is 'Không' in 300 (75.0%), 'Có' in 100 (25.0%)"
    assert lines[1] == "4 columns are learned from: Mã số, LastContact, tenure, charges"
    assert [line for line in lines if "is not used" in line] == ["'country' is not used: constant ('VN'): left out"]
    assert any(line.startswith("note on 'LastContact': dates: their days, seasons and weekdays") for line in lines)
    assert any(line.startswith("look at 'Mã số': whole numbers, all different") for line in lines)
    assert "note: the delimiter is semicolon" in lines
    table = f"--data '{tmp_path}/my churn.csv' --target Churn"
    assert lines[-2:] == [
        f"to have 'Mã số' otherwise: ./run_pipeline.sh {table} --id 'Mã số' {ANEW}",
        f"to have 'LastContact' otherwise: ./run_pipeline.sh {table} --time LastContact {ANEW}",
    ]


def test_what_is_named_is_told_as_such(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    data = {"source": "file", "path": chosen.data.path, "target": "Churn"}
    data |= {"id_columns": ["Mã số"], "time_column": "LastContact"}
    chosen = from_values({"home": str(tmp_path), "data": data})
    made = ingestion.generate(chosen)
    lines = list(map(str, summary.found(made.manifest, made.schema, chosen.data)))
    assert "not learned from, but used for what they are (id, time, weight): Mã số, LastContact" in lines
    assert not any("otherwise" in line for line in lines)


def test_the_command_reads_the_table_as_it_was_read(tmp_path: Path) -> None:
    """With every option that was given, and for dates that may be read in two ways the one that says which."""
    chosen = settings(tmp_path)
    frame, rng = pd.read_csv(chosen.data.path, sep=";"), np.random.default_rng(1)
    frame["key"] = [f"K{i:04d}" for i in rng.permutation(400)]
    frame["signed"] = [f"{i % 9 + 1:02d}/{i % 8 + 1:02d}/2025" for i in range(400)]
    frame.to_csv(chosen.data.path, index=False, sep=";")
    data = {"source": "file", "path": chosen.data.path, "target": "Churn", "decimal": ".", "positive_label": "Có"}
    chosen = from_values({"home": str(tmp_path), "data": data})
    made = ingestion.generate(chosen)
    lines = list(map(str, summary.found(made.manifest, made.schema, chosen.data)))
    table = f"--data '{tmp_path}/my churn.csv' --target Churn --positive 'Có' --decimal ."
    assert f"to have 'key' otherwise: ./run_pipeline.sh {table} --id key {ANEW}" in lines
    assert f"to have 'signed' otherwise: ./run_pipeline.sh {table} --dates day-first {ANEW}" in lines
    assert f"to have 'LastContact' otherwise: ./run_pipeline.sh {table} --time LastContact {ANEW}" in lines


def test_many_columns_classes_and_findings_are_counted(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    made = ingestion.generate(chosen)
    columns = tuple(made.schema.columns[2:3] * 30)
    classes = {f"k{i}": 10 for i in range(12)}
    report = tuple(Finding("warning", f"c{i}", "odd") for i in range(25))
    manifest = made.manifest.__class__(
        **{name: getattr(made.manifest, name) for name in made.manifest.__struct_fields__}
        | {"classes": classes, "report": report}
    )
    schema = made.schema.__class__(
        **{name: getattr(made.schema, name) for name in made.schema.__struct_fields__} | {"columns": columns}
    )
    lines = list(map(str, summary.found(manifest, schema, chosen.data)))
    assert lines[0].endswith("'k9' in 10 (8.3%), 2 more classes")
    assert lines[1].endswith("tenure and 10 more")
    assert lines[-1] == "5 more findings are in the snapshot's manifest"


def test_progress_is_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A line at once and at the end, none for each of a thousand steps between."""
    report = progress.writer(from_values({"home": str(tmp_path)}), "r")
    with caplog.at_level(logging.INFO, logger="refit.pipeline"):
        for step in range(101):
            report("tune", step, 100, "best 0.41")
    assert caplog.messages == ["tune: 0 of 100 best 0.41", "tune: 100 of 100 best 0.41"]


def test_the_command_names_the_table_as_it_was_named(tmp_path: Path) -> None:
    """What was said of it goes with the change; columns change with it, so they are found anew."""
    chosen = settings(tmp_path)
    data = msgspec.structs.replace(chosen.data, positive_label="Có", id_columns=("Mã số",), exclude=("charges",))
    made = ingestion.generate(msgspec.structs.replace(chosen, data=data))
    last = str(summary.found(made.manifest, made.schema, data)[-1])
    assert last.endswith(f"--target Churn --positive 'Có' --id 'Mã số' --exclude charges --time LastContact {ANEW}")


def test_a_column_that_cannot_be_the_time_is_not_offered_as_it(tmp_path: Path) -> None:
    """Dates with gaps order no rows, and where a time is named there is nothing to choose."""
    chosen = settings(tmp_path)
    frame = pd.read_csv(chosen.data.path, sep=";")
    frame["gaps"] = frame["LastContact"].where(frame.index % 3 > 0)
    frame.to_csv(chosen.data.path, index=False, sep=";")
    for named, offered in (("", ["Mã số", "LastContact"]), ("LastContact", ["Mã số"])):
        data = msgspec.structs.replace(chosen.data, time_column=named)
        made = ingestion.generate(msgspec.structs.replace(chosen, data=data))
        lines = list(map(str, summary.found(made.manifest, made.schema, data)))
        assert [line.split("'")[1] for line in lines if "otherwise" in line] == offered
        assert any(line.startswith("note on 'gaps': dates: their days") and "--time" not in line for line in lines)


def test_a_password_in_the_address_is_not_told(tmp_path: Path) -> None:
    """The command stands in logs, on pages and in the card."""
    made = ingestion.generate(settings(tmp_path))
    data = msgspec.structs.replace(settings(tmp_path).data, path="ftp://me:secret@host/t.csv")
    told = " ".join(map(str, summary.found(made.manifest, made.schema, data)))
    assert "--data 'ftp://me:***@host/t.csv' --target Churn" in told
    assert "secret" not in told


def test_an_answer_takes_the_place_of_what_was_said(tmp_path: Path) -> None:
    """No option that is given once stands in the command twice."""
    chosen = settings(tmp_path)
    data = msgspec.structs.replace(chosen.data, dates="month-first", time_column="LastContact")
    made = ingestion.generate(msgspec.structs.replace(chosen, data=data))
    finding = Finding("warning", "signed", message("findings.dates_doubtful", cell="01/02/2025"))
    manifest = msgspec.structs.replace(made.manifest, report=(finding,))
    last = str(summary.found(manifest, made.schema, data)[-1])
    assert "--time LastContact --dates day-first --schema infer" in last
    assert "month-first" not in last
