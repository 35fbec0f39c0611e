"""What is deleted, what never is, and that a deletion which is cut short is gone on with."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ml.data import ingestion, snapshot, snapshot_store
from ml.errors import DataError, RegistryError, RegistryUnavailable, StoreUnavailable
from ml.gate import regression_rows
from ml.pipeline import pipeline, retention
from ml.pipeline.stages.records import EvaluationRecord, SnapshotRecord
from ml.pipeline.workspace import Workspace
from ml.registry import contract
from ml.settings import Settings, from_values, to_values
from ml.storage import clock, shared
from tests.ml.pipeline.machines import machine
from tests.ml.pipeline.runs import up_to

DAY_S = 86_400.0


def with_seed(settings: Settings, seed: int) -> Settings:
    values = to_values(settings)
    values["synthetic"]["random_state"] = seed
    return from_values(values)


def age(settings: Settings, days: float) -> None:
    """As if all that is there had been made so many days before."""
    folders = [settings.var / "runs", settings.data_dir, settings.models_dir]
    if settings.storage.url:
        folders.append(Path(settings.storage.url.removeprefix("file://")))
    for folder in folders:
        for path in [folder, *folder.rglob("*")]:
            moment = path.stat().st_mtime - days * DAY_S
            os.utime(path, (moment, moment))


def snapshot_of(settings: Settings, key: str) -> str:
    return Workspace(settings, key).needed(SnapshotRecord).snapshot


@pytest.fixture(scope="module", params=["", "shared"])
def made(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> tuple[Path, dict[str, str]]:
    """A promoted run, then three that ended at their snapshot: each a week older than the next; the last today's."""
    root = tmp_path_factory.mktemp("retention")
    settings = machine(root, "one", **({} if request.param else {"storage": {"url": ""}}))
    up_to(settings, "champion", "promote")
    ids = {"champion": snapshot_of(settings, "champion")}
    for seed, key in enumerate(("old", "middle", "new"), 100):
        age(settings, 40)
        pipeline.generate(with_seed(settings, seed), key)
        ids[key] = snapshot_of(settings, key)
    return root, ids


@pytest.fixture
def home(made: tuple[Path, dict[str, str]], tmp_path: Path) -> tuple[Settings, dict[str, str]]:
    """The same, to delete from."""
    root, ids = made
    shutil.copytree(root, tmp_path / "copy")
    was_shared = (root / "storage").exists()
    return machine(tmp_path / "copy", "one", **({} if was_shared else {"storage": {"url": ""}})), ids


def runs_of(settings: Settings) -> set[str]:
    """Those whose snapshot a stage could still ask for."""
    found = {path.name for path in (settings.var / "runs").iterdir()}
    store = shared.of(settings)
    return found | ({name.split("/")[1] for name, _ in store.names("runs")} if store else set())


def test_old_runs_go_and_what_is_needed_stays(home: tuple[Settings, dict[str, str]]) -> None:
    settings, ids = home
    would = retention.clean(settings, 1, dry_run=True)
    assert (would.runs, runs_of(settings)) == (("middle", "old"), {"champion", "old", "middle", "new"})
    done = retention.clean(settings, 1)
    assert (done.runs, done.kept_runs) == (("middle", "old"), 2)
    assert runs_of(settings) == {"champion", "new"}
    assert set(done.snapshots) == {ids["old"], ids["middle"]}
    assert done.bytes >= would.bytes > 10_000
    assert set(snapshot_store.ids(settings)) == {ids["champion"], ids["new"]}
    for key in ("champion", "new"):
        assert snapshot.open(settings, ids[key]).id == ids[key]
    assert (settings.models_dir / "champion").is_dir()
    assert retention.clean(settings, 1) == retention.Cleaned(kept_runs=2, kept_snapshots=2)


def test_all_files_of_what_stays_are_there(home: tuple[Settings, dict[str, str]], tmp_path: Path) -> None:
    """Also on a machine whose disk is empty, where the storage has them; and it has none of those that went."""
    settings, ids = home
    retention.clean(settings, 1)
    other = machine(tmp_path / "copy", "empty") if settings.storage.url else settings
    Workspace(other, "champion").fill(EvaluationRecord)
    assert (other.var / "runs" / "champion" / "bundle" / "model.onnx").exists()
    assert snapshot.open(other, ids["champion"]).id == ids["champion"]
    if (store := shared.of(other)) is not None:
        kept = {file.sha256 for name, _ in store.names("") for file in (store.find(name) or pytest.fail(name)).files}
        objects = Path(settings.storage.url.removeprefix("file://")) / "objects"
        assert {path.name for path in objects.iterdir()} == kept


def test_what_was_made_within_a_day_stays_and_what_has_not_ended_for_a_month(
    home: tuple[Settings, dict[str, str]],
) -> None:
    settings, _ = home
    now = time.time()
    assert retention.clean(settings, 1, dry_run=True, now=now - 25 * DAY_S).runs == ("old",)
    assert retention.clean(settings, 1, dry_run=True, now=now - 55 * DAY_S).runs == ()
    folder = settings.var / "runs" / "middle"
    (folder / "promote.json").write_text("{}")
    for path in (folder / "promote.json", folder):
        os.utime(path, (now - 40 * DAY_S, now - 40 * DAY_S))
    assert retention.clean(settings, 1, dry_run=True, now=now - 25 * DAY_S).runs == ("middle", "old")


def test_a_clock_that_leapt_deletes_nothing(home: tuple[Settings, dict[str, str]]) -> None:
    """Ahead by a year: the log shipper's own time counts."""
    settings, _ = home
    now = time.time()
    for key, run in retention._runs(settings, shared.of(settings)).items():
        assert run.changed < now, key
    was = clock.Clock(now=now - 55 * DAY_S, ran_s=clock.ran_s(), boot=clock.boot())
    clock.file(settings).parent.mkdir(parents=True, exist_ok=True)
    clock.file(settings).write_bytes(msgspec.json.encode(was))
    assert retention.clean(settings, 1).runs == ()


def test_a_snapshot_that_regression_rows_were_drawn_from_stays(
    home: tuple[Settings, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, ids = home
    assert regression_rows.drawn_from(settings) == {ids["champion"]}
    monkeypatch.setattr(contract, "serving", lambda _: None)
    age(settings, 2)
    done = retention.clean(settings, 1)
    assert "champion" in done.runs
    assert set(done.snapshots) == {ids["old"], ids["middle"]}


def test_another_registry_deletes_nothing(home: tuple[Settings, dict[str, str]], tmp_path: Path) -> None:
    """One that knows no champion, while the ledger does."""
    values = to_values(home[0])
    values["registry"]["tracking_uri"] = f"sqlite:///{tmp_path / 'other.db'}"
    with pytest.raises(RegistryError, match="version 1"):
        retention.clean(from_values(values), 1)
    assert runs_of(home[0]) == {"champion", "old", "middle", "new"}


def test_a_name_on_the_storage_leads_to_no_other_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object store takes any name; what is not a run's key or a snapshot's id is left alone."""
    settings = machine(tmp_path, "one")
    sets = Path(settings.storage.url.removeprefix("file://")) / "sets"
    listed = [
        (f"{folder}/{name}", 0.0)
        for folder, name in (("runs", "../generate"), ("runs", "../../generate"), ("runs", ".x/generate"))
    ] + [("snapshots/../../one", 0.0), ("snapshots/../0123456789abcdef", 0.0)]
    monkeypatch.setattr(
        shared.SharedStore, "names", lambda _, folder: [one for one in listed if one[0].startswith(folder)]
    )
    settings.data_dir.mkdir(parents=True)
    settings.models_dir.mkdir()
    sets.mkdir(parents=True)
    beside = settings.home / "one.parquet"
    beside.write_text("")
    (settings.var / "runs" / "real").mkdir(parents=True)
    assert retention.clean(settings, 1) == retention.Cleaned(kept_runs=1)
    assert beside.exists()
    assert settings.models_dir.exists()


def test_a_silent_registry_deletes_nothing(home: tuple[Settings, dict[str, str]], monkeypatch: Any) -> None:
    settings, _ = home

    def silent(*_: Any) -> None:
        raise RegistryUnavailable("it does not answer")

    monkeypatch.setattr(contract, "serving", silent)
    with pytest.raises(RegistryUnavailable):
        retention.clean(settings, 1)
    assert runs_of(settings) == {"champion", "old", "middle", "new"}


@pytest.mark.parametrize("calls", [1, 2, 3, 4, 6, 9])
def test_a_deletion_that_was_cut_short_is_gone_on_with(
    home: tuple[Settings, dict[str, str]], monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """At no moment is there a record of a stage whose files are not there; the next call ends as one alone does."""
    settings, ids = home

    class Killed(BaseException):
        pass

    left = [calls]

    def counted(real: Any) -> Any:
        def call(*given: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return real(*given, **more)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", counted(shutil.rmtree))
        patch.setattr(Path, "unlink", counted(Path.unlink))
        patch.setattr(shared.SharedStore, "_delete", counted(shared.SharedStore._delete))
        with pytest.raises(Killed):
            retention.clean(settings, 1)
    for key in ("old", "middle"):
        if Workspace(settings, key).result(SnapshotRecord) is not None:
            snapshot.open(settings, ids[key])
    retention.clean(settings, 1)
    assert runs_of(settings) == {"champion", "new"}
    assert set(snapshot_store.ids(settings)) == {ids["champion"], ids["new"]}


def test_a_table_that_is_made_anew_is_young_again(home: tuple[Settings, dict[str, str]], tmp_path: Path) -> None:
    """A run that has begun and not yet recorded its snapshot does not lose it."""
    settings, ids = home
    known = contract.in_force(settings)
    assert known is not None
    assert ingestion.generate(with_seed(settings, 100), contract=known.schema, parent=known.snapshot).id == ids["old"]
    pipeline.generate(with_seed(settings, 500), "newest")
    cleans = machine(tmp_path / "copy", "another") if settings.storage.url else settings
    assert ids["old"] not in retention.clean(cleans, 1).snapshots
    assert snapshot.open(settings, ids["old"]).id == ids["old"]


def test_a_run_makes_room_by_the_setting_and_tells_it(home: tuple[Settings, dict[str, str]]) -> None:
    settings, ids = home
    values = to_values(settings)
    values["storage"]["keep_runs"] = 1
    record = pipeline.generate(with_seed(from_values(values), 300), "next")
    assert runs_of(settings) == {"champion", "new", "next"}
    told = "\n".join(map(str, record.found))
    assert "storage.keep_runs: 2 old runs and 2 snapshots were deleted, 0." in told
    assert "2 runs are kept" in told
    assert "keep_runs" not in str(pipeline.generate(with_seed(settings, 301), "without").found)
    assert ids["new"] in snapshot_store.ids(settings)


def test_a_run_does_not_fail_where_old_ones_cannot_be_deleted(
    home: tuple[Settings, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = to_values(home[0])
    values["storage"]["keep_runs"] = 1

    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError("read only")

    monkeypatch.setattr(retention, "_delete_run", refused)
    found = pipeline.generate(with_seed(from_values(values), 300), "next").found
    assert str(found[-1]) == "storage.keep_runs: old runs were not deleted: read only"


def test_keeping_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        retention.clean(machine(tmp_path, "one"), 0)


def test_runs_go_before_the_database_is_asked(
    home: tuple[Settings, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk SQLite does not open; what no answer was had of stays."""
    settings, ids = home

    def silent(_: Settings) -> set[str]:
        raise StoreUnavailable("disk I/O error")

    monkeypatch.setattr(regression_rows, "drawn_from", silent)
    with pytest.raises(StoreUnavailable):
        retention.clean(settings, 1)
    assert runs_of(settings) == {"champion", "new"}
    assert set(snapshot_store.ids(settings)) == set(ids.values())


def test_a_snapshot_whose_manifest_is_damaged_is_not_given_to_others(tmp_path: Path) -> None:
    alone = machine(tmp_path, "one", storage={"url": ""})
    made = ingestion.generate(alone).id
    (alone.data_dir / f"{made}.json").write_text("{}")
    with pytest.raises(DataError):
        snapshot.open(machine(tmp_path, "one"), made)
    store = shared.of(machine(tmp_path, "one"))
    assert store is not None
    assert store.names("snapshots") == []
