"""What is kept beside the parts, so that another run does not mix in."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ml.errors import DataError
from serving.batch import plan as plans
from serving.batch.plan import Plan

PLAN = Plan(table="9:ab", name="t.csv", version="3", sha256="cd", columns=["id"])


def test_the_same_again_goes_on(tmp_path: Path) -> None:
    assert plans.begin(tmp_path / "out", PLAN) == PLAN
    assert plans.begin(tmp_path / "out", PLAN) == PLAN
    done = plans.finish(tmp_path / "out", PLAN, 12)
    assert plans.begin(tmp_path / "out", PLAN) == done
    assert done.rows == 12


@pytest.mark.parametrize(
    "change", [{"table": "9:ac"}, {"sha256": "ce"}, {"columns": []}, {"unit_rows": 5}, {"version": "4"}]
)
def test_another_table_version_or_choice_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    plans.begin(tmp_path / "out", PLAN)
    with pytest.raises(DataError, match=r"t.csv was scored into this folder by version 3, with the columns \[id\]"):
        plans.begin(tmp_path / "out", msgspec.structs.replace(PLAN, **change))


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="name a new one"):
        plans.begin(tmp_path, PLAN)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_content_tells_tables_apart(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"x" * 3_000_000)
    b.write_bytes(b"x" * 2_999_999 + b"y")
    assert plans.content(a) != plans.content(b)
    assert plans.content(a) == plans.content(a)
    assert plans.content(a).startswith("3000000:")
    b.write_bytes(b"")
    assert plans.content(b).startswith("0:")
