"""The report's table of section 5.2 stands beside ours, in both languages, where its numbers say something."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from ml.training.course_grid import REPORT, Grid, GridPoint
from serving.app import create_app
from serving.pages.models import course
from serving.status.version_files import VersionFiles
from tests.serving import showcase
from tests.serving.tiny import settings_for


@pytest.mark.parametrize(("lang", "heading", "accuracies"), [
    ("en", "The course report's table beside ours", ("81.0%", "84.0%")),
    ("vi", "Bảng của báo cáo môn học bên cạnh kết quả ở đây", ("81,0%", "84,0%")),
])  # fmt: skip
def test_the_reports_table_beside_ours(tmp_path: Path, lang: str, heading: str, accuracies: tuple[str, str]) -> None:
    showcase.write(tmp_path)
    app = create_app(settings_for(tmp_path))
    text = app.test_client().get(f"/models?lang={lang}").text
    app.extensions["refit"].close()
    part = text[text.index('id="course"') :].split("</section>")[0]
    assert heading in part
    rows = re.findall(r"<tr><td>(\d)</td><td>([^<]*)</td><td>(\w+)</td><td>([^<]*)</td><td>([^<]*)</td>", part)
    assert [(row[0], row[2]) for row in rows] == [(str(i), solver) for i, (_, solver, _) in enumerate(REPORT, 1)]
    assert rows[0][3:] == accuracies


@pytest.mark.parametrize(
    "content",
    [
        None,
        {"points": []},
        Grid(points=(GridPoint(C=1.0, solver="lbfgs", accuracy=0.9),), validation_rows=9, beside_report=False),
        Grid(points=(GridPoint(C=1.0, solver="lbfgs"),), validation_rows=9, beside_report=True),
    ],
)
def test_no_table_without_a_grid_or_beside_another_table(content: object, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "grid.json").write_bytes(msgspec.json.encode(content))
    assert course.of(VersionFiles("1", "a", tmp_path)) is None
