"""Reports are seen on machines that did not make them, for as long as they are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.monitoring import report_files
from ml.settings import Settings, from_values


def machine(root: Path, name: str, *, url: str = "") -> Settings:
    storage = {"url": url or (root / "storage").as_uri(), "wait_s": 0.0}
    return from_values({"home": str(root / name), "storage": storage, "drift": {"keep_reports": 2}})


def write(settings: Settings, check_id: str) -> None:
    folder = settings.var / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    for ending in ("html", "json"):
        (folder / f"{check_id}.{ending}").write_text(f"{check_id} {ending}")
    report_files.keep(settings, check_id)


def test_another_machine_shows_the_newest_reports(tmp_path: Path) -> None:
    one, two = machine(tmp_path, "one"), machine(tmp_path, "two")
    for check_id in ("a", "b", "c"):
        write(one, check_id)
    assert report_files.there(two) == {"b", "c"}
    assert report_files.page(two, "a") is None
    found = report_files.page(two, "c")
    assert found is not None
    assert found.read_text() == "c html"
    assert len(list((tmp_path / "storage" / "objects").iterdir())) == 4


@pytest.mark.parametrize("name", ["../settings", "/etc/passwd", "x/../../c"])
def test_a_name_that_leads_out_of_the_folder_is_none(tmp_path: Path, name: str) -> None:
    one = machine(tmp_path, "one")
    write(one, "c")
    for file in ("settings.html", "c.html"):
        (one.var / file).write_text("secret")
    assert report_files.page(one, name) is None


def test_without_a_storage_only_this_machine_has_them(tmp_path: Path) -> None:
    alone = from_values({"home": str(tmp_path / "one")})
    assert report_files.there(alone) == set()
    write(alone, "a")
    assert report_files.there(alone) == {"a"}
    assert report_files.page(alone, "b") is None
    assert report_files.page(alone, "a") is not None
