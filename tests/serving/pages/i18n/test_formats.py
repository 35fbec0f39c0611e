"""Times on the pages are written as dates elsewhere are: no year of two digits, no order that may be another."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ml.messages import dates
from serving.app import create_app
from serving.pages.i18n import formats
from tests.serving.tiny import settings_for

AT = datetime(2026, 11, 3, 14, 5, tzinfo=UTC)


@pytest.mark.parametrize(("language", "told"), [("en", "3 Nov 2026, 14:05"), ("vi", "03/11/2026 14:05")])
def test_a_time_is_written_as_a_date_of_the_table_is(language: str, told: str, tmp_path: Path) -> None:
    app = create_app(settings_for(tmp_path))
    try:
        with app.test_request_context(f"/?lang={language}"):
            assert formats.when(AT.timestamp()) == told == dates.told("2026-11-03 14:05", language)
            assert formats.when(0.0) == ""
    finally:
        app.extensions["refit"].close()
