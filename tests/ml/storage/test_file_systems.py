"""Addresses of Arrow's file systems."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.errors import SettingsError
from ml.storage import file_systems


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://{}/"])
def test_a_folder_and_its_address_are_one_place(tmp_path: Path, form: str) -> None:
    found = file_systems.place(form.format(tmp_path))
    assert found.folder == str(tmp_path)
    assert found.is_local


@pytest.mark.parametrize("address", ["nothing://bucket/prefix", "s3://"])
def test_an_address_that_arrow_does_not_know_is_told(address: str) -> None:
    with pytest.raises(SettingsError, match="no file system that Arrow knows"):
        file_systems.place(address)


def test_what_fails_half_way_is_not_seen(tmp_path: Path) -> None:
    where = file_systems.place(str(tmp_path))
    with pytest.raises(TypeError), file_systems.replacing(where, str(tmp_path / "x")) as put:
        put([put(b"half")])  # type: ignore[arg-type,list-item]
    assert list(tmp_path.iterdir()) == []
