"""`python -m ml verify` names what was altered, wherever it lies, and nothing else."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from ml import registry as registries
from ml.bundle import signature
from ml.errors import BundleError
from ml.messages import message
from ml.registry import VersionInfo, ledger
from ml.settings import Settings
from serving.integrity import checks, command
from serving.model.follower import Follower
from serving.prediction_log import segments
from serving.prediction_log.writer import PredictionLog
from tests.serving import tiny
from tests.serving.fake_registry import Registry


@pytest.fixture
def settings(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A served version, an open segment and a sealed one with ten labels each, and a ledger of three rows."""
    found = tiny.settings_for(tmp_path / "home", registry={"tracking_uri": registry.url})
    registry.register("1")
    registry.champion = "1"
    Follower(found).step()
    for sealed in (True, False):
        log = PredictionLog(found)
        for i in range(10):
            log.append_feedback([(f"p{i}", "1")])
        if sealed:
            log.close()
    for what in (ledger.REGISTERED, ledger.PROMOTING, ledger.PROMOTED):
        ledger.append(found, what, who="ann", to_version="1")
    info = VersionInfo(version="1", run_id="", source="", created=0, tags={registries.SHA256: registry.hashes["1"]})
    monkeypatch.setattr(registries, "by_alias", lambda _, alias: info if alias == registries.CHAMPION else None)
    monkeypatch.setattr(
        registries, "fetch", lambda _s, i, into: Path(shutil.copytree(registry.bundle(i.version), into / "bundle"))
    )
    return found


def violations(settings: Settings) -> list[str]:
    return list(map(str, checks.check(settings)[1]))


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 0x10
    file.write_bytes(bytes(content))


def test_nothing_is_named_where_nothing_was_altered(settings: Settings) -> None:
    assert checks.check(settings) == (message("ledger.checked", segments=2, bundles=1, versions=1), [])


@pytest.mark.parametrize("name", ["model.onnx", "schema.json", "metrics.json", "bundle.json", "bundle.sig"])
@pytest.mark.parametrize("place", ["cache", "registry"])
def test_altered_file_of_a_bundle_is_named(settings: Settings, registry: Registry, name: str, place: str) -> None:
    cached = settings.var / "serving" / "cache" / registry.hashes["1"]
    bundle = cached if place == "cache" else registry.bundle("1")
    flip(bundle / name, 200 if name == "bundle.sig" else 20)
    found = violations(settings)
    assert found
    wanted = str(cached / name) if place == "cache" else "version 1: "
    assert all(
        violation.startswith(wanted) and name in violation for violation in found if "signed by" not in violation
    ), found


def test_file_that_was_added_or_removed_is_named(settings: Settings, registry: Registry) -> None:
    (registry.bundle("1") / "extra.py").write_text("")
    (registry.bundle("1") / "metrics.json").unlink()
    assert sorted(violations(settings)) == [
        "version 1: extra.py: not listed in bundle.json",
        "version 1: metrics.json: listed in bundle.json and not there",
    ]


def test_forged_version_is_named(settings: Settings, registry: Registry, tmp_path: Path) -> None:
    signature.sign(tiny.settings_for(tmp_path / "eve"), registry.bundle("1"))
    (found,) = violations(settings)
    assert found.startswith("version 1: bundle.sig: signed by key")


def test_version_whose_artifact_is_gone_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise BundleError("its artifact is not there any more")

    monkeypatch.setattr(registries, "fetch", gone)
    assert violations(settings) == ["version 1: its artifact is not there any more"]


@pytest.mark.parametrize("of", [0, 1], ids=["sealed", "open"])
def test_altered_bytes_of_a_segment_are_named(settings: Settings, of: int) -> None:
    """Every byte: a range of at most one frame that holds it; the last frame of an open one may be under way."""
    segment = segments.segments(settings.var / "serving" / "segments")[of]
    whole = segment.read_bytes()
    for at in range(0, len(whole) - (0 if of == 0 else 120), 3):
        content = bytearray(whole)
        content[at] ^= 1
        found = segments.damaged(bytes(content), sealed=of == 0)
        assert any(first <= at < behind for first, behind in found), at
        assert sum(behind - first for first, behind in found) < len(whole) / 3
    flip(segment, 300)
    (violation,) = violations(settings)
    assert violation.startswith(f"{segment}: bytes ")


def test_altered_row_of_the_ledger_is_named(settings: Settings) -> None:
    with closing(sqlite3.connect(settings.var / "refit.db")) as connection, connection:
        connection.execute("UPDATE ledger SET who = 'eve' WHERE id = 2")
    assert violations(settings) == ["ledger row 2: altered"]


def test_command_tells_by_its_exit_code(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.options, "settings_for", lambda _: settings)
    run = CliRunner().invoke(command.command, ["--json"], standalone_mode=False)
    assert run.return_value == 0
    assert json.loads(run.output)["faults"] == []
    assert len(json.loads(run.output)["ledger_head"]) == 64
    with closing(sqlite3.connect(settings.var / "refit.db")) as connection, connection:
        connection.execute("DELETE FROM ledger WHERE id = 3")
    run = CliRunner().invoke(command.command, [], standalone_mode=False)
    assert run.return_value == command.ALTERED
    assert run.output.startswith("ledger row 3: missing\n")
