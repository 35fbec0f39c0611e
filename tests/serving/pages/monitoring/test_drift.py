"""What drifted, before and after, in the reader's words."""

from __future__ import annotations

import pytest
from flask import Flask

from ml.charts import Histogram
from ml.schema.cells import WEEKDAYS
from serving.pages.monitoring import drift


@pytest.mark.parametrize(
    ("language", "names"),
    [
        ("en", list(WEEKDAYS)),
        ("vi", ["Thứ Bảy", "Chủ Nhật", "Thứ Hai", "Thứ Ba", "Thứ Tư", "Thứ Năm", "Thứ Sáu"]),
    ],
)
def test_weekdays_are_in_the_readers_language(app: Flask, language: str, names: list[str]) -> None:
    """Those of a date; a column of texts that are called so keeps its own."""
    counts = (7, 6, 5, 4, 3, 2, 1)
    of_date = Histogram(column="signup", weekdays=True, levels=WEEKDAYS, before=counts, now=counts)
    of_text = Histogram(column="day", levels=WEEKDAYS, before=counts, now=counts)
    with app.test_request_context(headers={"Accept-Language": language}):
        panel, other = drift._panel(of_date), drift._panel(of_text)
    assert [row[0] for row in panel["rows"]] == names
    assert all(f">{name}</text>" in str(panel["svg"]) for name in names)
    assert [row[0] for row in other["rows"]] == list(WEEKDAYS)
