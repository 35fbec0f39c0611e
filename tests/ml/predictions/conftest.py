"""The prediction log in both databases: what is true of it is true of both."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ml.settings import Settings
from tests.ml import worlds


@pytest.fixture
def on_postgresql(postgresql_url: str, tmp_path: Path) -> Settings:
    """Settings with an empty database there."""
    return msgspec.structs.replace(worlds.settings(tmp_path), database_url=postgresql_url)


@pytest.fixture(params=["sqlite", "postgresql"])
def found(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings with an empty database, of either kind."""
    if request.param == "sqlite":
        return worlds.settings(tmp_path)
    settings: Settings = request.getfixturevalue("on_postgresql")
    return settings
