"""What each store promises after a power cut, held against a disk whose power is cut: docs/operations.md has the table.

Every step is cut before and after each of its calls that bring something to the disk, and once it has returned. What
had returned by then must be there; what had not may be, whole.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from ml import predictions
from ml.bundle import cache, signature
from ml.errors import StoreUnavailable
from ml.registry import chain, ledger
from ml.settings import Settings
from ml.storage import database, files
from ml.storage.secrets import secret
from ops import backup
from serving.model.store import Pointer, read_pointer, write_pointer
from serving.prediction_log.shipper import LogShipper
from serving.prediction_log.writer import PredictionLog
from tests import postgresql, power_cut
from tests.postgresql import Server
from tests.power_cut import Disk
from tests.serving import tiny
from tests.serving.running import wait_for

pytestmark = pytest.mark.skipif(bool(power_cut.unavailable()), reason=power_cut.unavailable())

Holds = Callable[[Settings], None]
MAX_CUTS = 40  # of a step's copies: the rest of a long step is a sample, by a seed
EACH = 6  # of PostgreSQL's, whose boot takes a second


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    yield made
    _close_databases(made.home)
    made.close()


def settings_of(home: Path, durability: str = "machine") -> Settings:
    return tiny.settings_for(home, log={"durability": durability})


def cut(disk: Disk, patch: pytest.MonkeyPatch, step: Callable[[], object], holds: Holds, *, during: bool = True) -> int:
    """Run a step, cut at each of its calls and after it, and check; `holds` is asked of the disk after each boot."""
    copies: list[Path] = []
    with power_cut.cut_at_calls(disk, patch, copies.append) if during else contextlib.nullcontext():
        step()
    chosen = copies if len(copies) <= MAX_CUTS else random.Random(7).sample(copies, MAX_CUTS)
    for image in {*copies} - {*chosen}:
        image.unlink()
    for image in [*chosen, disk.copy()]:
        with power_cut.booted(image) as home:
            try:
                holds(settings_of(home))
            finally:
                _close_databases(home)
    return len(chosen) + 1


def _close_databases(home: Path) -> None:
    """Their files must be closed before the disk goes."""
    with contextlib.suppress(sa.exc.SQLAlchemyError):
        database._engine(f"sqlite:///{home}/var/refit.db").dispose()


def stored(settings: Settings) -> set[str]:
    """Labels that are in the database once the log shipper has run, as after a boot."""
    LogShipper(settings).step()
    with database.engine(settings).connect() as connection:
        return set(connection.execute(sa.select(predictions.feedback.c.prediction_id)).scalars())


def answering(settings: Settings, log: PredictionLog, shipper: LogShipper, answered: set[str]) -> None:
    """Labels are answered, moved, and answered again."""
    for n in range(3):
        for i in range(4):
            key = f"{len(answered)}-{n}-{i}"
            log.append_feedback([(key, "1")])
            answered.add(key)
        shipper.step()


def test_answered_is_in_the_database_or_in_a_segment(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machine durability: at no call of writer or log shipper is an answered label nowhere."""
    settings, answered = settings_of(disk.home), set[str]()
    log, shipper = PredictionLog(settings), LogShipper(settings)
    moments: list[tuple[Path, set[str]]] = []
    with power_cut.cut_at_calls(disk, monkeypatch, lambda image: moments.append((image, set(answered)))):
        answering(settings, log, shipper, answered)
        log.close()
        shipper.step()
    moments.append((disk.copy(), set(answered)))
    assert len(moments) > MAX_CUTS
    kept = random.Random(7).sample(moments, MAX_CUTS)
    for image, _ in moments:
        if image not in {one for one, _ in kept}:
            image.unlink()
    for image, known in kept:
        with power_cut.booted(image) as home:
            try:
                assert known <= stored(settings_of(home))
            finally:
                _close_databases(home)


@pytest.fixture
def on_postgresql() -> Iterator[tuple[Disk, Server, Path]]:
    """A disk with the home and PostgreSQL's data on it, whose server leaves commits to its WAL writer."""
    if postgresql.binaries() is None:
        pytest.fail("needs PostgreSQL's initdb and pg_ctl: install it (Debian: apt install postgresql)")
    with postgresql.folder() as place:
        disk = Disk(place, 192)
        server = Server(
            postgresql.own(disk.home / "pg"),
            postgresql.own(place / "s"),
            f"{postgresql.OPTIONS} -c synchronous_commit=off",
        )
        try:
            server.make()
            server.start()
            disk.sync()
            yield disk, server, place
            _dispose(server.url)
            server.crash()
        finally:
            disk.close()


def stored_after_the_cut(image: Path, server: Server, place: Path) -> set[str]:
    """What a boot on the copied disk has: PostgreSQL recovers, and the log shipper moves what is in segments."""
    with power_cut.booted(image) as home:
        (home / "pg" / "postmaster.pid").unlink()
        again = Server(home / "pg", postgresql.own(place / "again"))
        again.start()
        try:
            return stored(tiny.settings_for(home, log={"durability": "machine"}, database_url=again.url))
        finally:
            _dispose(again.url)
            again.crash()


def _dispose(url: str) -> None:
    database._engine(url).dispose()
    database._engine.cache_clear()


@pytest.mark.parametrize("durable", [True, False])
def test_answered_is_in_postgresql_or_in_a_segment(
    on_postgresql: tuple[Disk, Server, Path], monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    """Cut at the calls of writer and log shipper. Without the session's own setting the cut loses: so it is one."""
    disk, server, place = on_postgresql
    if not durable:
        monkeypatch.setattr(database, "_durable_commits", lambda *_: None)
    settings = tiny.settings_for(disk.home, log={"durability": "machine"}, database_url=server.url)
    log, shipper, answered = PredictionLog(settings), LogShipper(settings), set[str]()
    shipper.step()
    disk.sync()
    moments: list[tuple[Path, set[str]]] = []
    calls, real, passed_over = itertools.count(), disk.copy, disk.home / "none"

    def some() -> Path:
        if next(calls) % EACH:
            return passed_over
        with server.frozen():
            return real()

    monkeypatch.setattr(disk, "copy", some)
    # The WAL writer would come at any moment, with what no commit had synced: then a cut would lose nothing.
    with server.frozen("walwriter"):
        with power_cut.cut_at_calls(disk, monkeypatch, lambda image: moments.append((image, set(answered)))):
            answering(settings, log, shipper, answered)
            log.close()
            shipper.step()
        with server.frozen():
            moments.append((real(), set(answered)))
    kept = [(image, known) for image, known in moments if image != passed_over]
    lost = [known - stored_after_the_cut(image, server, place) for image, known in kept[0 if durable else -1 :]]
    assert len(kept) > 5
    assert any(lost) != durable


def test_postgresql_that_is_ended_at_once_under_load_costs_nothing(
    on_postgresql: tuple[Disk, Server, Path],
) -> None:
    """Four times, while labels are answered and moved: each is there once."""
    disk, server, _ = on_postgresql
    settings = tiny.settings_for(disk.home, log={"durability": "machine"}, database_url=server.url)
    log, shipper, stop, answered = PredictionLog(settings), LogShipper(settings), threading.Event(), list[str]()

    def answer() -> None:
        while not stop.wait(0.001):
            log.append_feedback([(str(len(answered)), "1")])
            answered.append(str(len(answered)))

    failed = 0

    def move() -> None:
        nonlocal failed
        while not stop.wait(0.005):
            try:
                shipper.step()
            except StoreUnavailable:
                failed += 1

    def on_their_way(many: int) -> Callable[[], bool]:
        return lambda: shipper.moved > many

    threads = [threading.Thread(target=answer), threading.Thread(target=move)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            wait_for(on_their_way(shipper.moved + 200), what="labels on their way")
            server.crash()
            server.start()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    log.close()
    assert failed
    LogShipper(settings).step()
    with database.engine(settings).connect() as connection:
        found = connection.execute(sa.select(predictions.feedback.c.prediction_id)).scalars().all()
    assert sorted(found) == sorted(answered)


def test_the_cut_is_one_that_loses_what_is_not_synced(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With SQLite's NORMAL, which was the fault, and with process durability: else this file would prove nothing."""
    settings, answered = settings_of(disk.home, "process"), set[str]()
    log = PredictionLog(settings)
    for i in range(4):
        log.append_feedback([(str(i), "1")])
    with power_cut.booted(disk.copy()) as home:
        assert stored(settings_of(home)) == set()
        _close_databases(home)
    log.close()

    settings = settings_of(disk.home)
    log, shipper = PredictionLog(settings), LogShipper(settings)

    def normal(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    sa.event.listen(database.engine(settings), "connect", normal)
    database.engine(settings).dispose()
    answering(settings, log, shipper, answered)
    log.close()
    shipper.step()
    with power_cut.booted(disk.copy()) as home:
        assert answered - stored(settings_of(home))
        _close_databases(home)


def test_ledger_row_that_was_written_is_there_and_its_chain_is_whole(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(disk.home)
    written = 0

    def holds(found: Settings) -> None:
        rows = ledger.events(found)
        assert len(rows) in (written, written + 1)
        assert [
            violation for violation in chain.violations(found, ledger.table) if chain.HEAD not in str(violation)
        ] == []

    for _ in range(3):
        cut(disk, monkeypatch, lambda: ledger.append(settings, ledger.PROMOTED, who="ann"), holds)
        written += 1
    with power_cut.booted(disk.copy()) as home:
        found = settings_of(home)
        assert len(ledger.events(found)) == 3
        assert chain.violations(found, ledger.table) == []
        _close_databases(home)


def test_file_is_the_old_or_the_new_and_the_new_once_it_was_written(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pointer stands for all that `write_bytes` writes: records, snapshots' manifests, keys, status."""
    folder = disk.home / "var" / "serving"
    write_pointer(folder, Pointer("1", "a", "b"))

    def either(found: Settings) -> None:
        pointer = read_pointer(found.var / "serving")
        assert pointer is not None
        assert pointer.version in ("1", "2")

    assert cut(disk, monkeypatch, lambda: write_pointer(folder, Pointer("2", "a", "b")), either) > 4
    with power_cut.booted(disk.copy()) as home:
        pointer = read_pointer(home / "var" / "serving")
        assert pointer is not None
        assert pointer.version == "2"


def test_folder_is_replaced_by_one_that_is_whole(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's bundle, a saved model: never a name that leads to half of it, never neither of them."""
    space = disk.home / "var" / "runs" / "r"

    def make(name: str) -> None:
        (space / f"draft-{name}").mkdir(parents=True)
        for i in range(3):
            (space / f"draft-{name}" / str(i)).write_text(name * 10_000)
        files.replace_folder(space / f"draft-{name}", space / "bundle")

    def holds(found: Settings) -> None:
        place = found.var / "runs" / "r"
        seen = [place / "bundle"] if (place / "bundle").exists() else list(place.glob(".bundle.old.*/old"))
        assert len(seen) == 1
        content = {file.read_text()[:1] for file in seen[0].iterdir()}
        assert content in ({"a"}, {"b"})
        assert all(file.stat().st_size == 10_000 for file in seen[0].iterdir())

    files.make_folder(space)
    make("a")
    cut(disk, monkeypatch, lambda: make("b"), holds)
    with power_cut.booted(disk.copy()) as home:
        assert (home / "var" / "runs" / "r" / "bundle" / "0").read_text() == "b" * 10_000


def test_secret_that_was_used_is_there(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []
    file = disk.home / "var" / "secrets" / "key"
    files.make_folder(file.parent)

    def holds(found: Settings) -> None:
        place = found.var / "secrets" / "key"
        assert not place.exists() or len(place.read_bytes()) == 32
        assert not made or place.read_bytes() == made[0]

    cut(disk, monkeypatch, lambda: made.append(secret(file)), lambda _: None)
    cut(disk, monkeypatch, lambda: None, holds)


def test_bundle_that_a_pointer_names_is_whole(disk: Disk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = settings_of(disk.home)
    sha256 = tiny.write_bundle(tmp_path / "bundle")
    signature.sign(settings, tmp_path / "bundle")
    folder = settings.var / "serving" / "cache"

    def take() -> None:
        import shutil

        path = cache.obtain(
            settings, folder, sha256, lambda into: Path(shutil.copytree(tmp_path / "bundle", into / "copy"))
        )
        write_pointer(settings.var / "serving", Pointer("1", str(path.relative_to(settings.var / "serving")), sha256))

    def holds(found: Settings) -> None:
        pointer = read_pointer(found.var / "serving")
        if pointer is not None:
            bundle = found.var / "serving" / pointer.path
            assert cache._is_whole(bundle, sha256)
            signature.verify(found, bundle)

    cut(disk, monkeypatch, take, holds)
    with power_cut.booted(disk.copy()) as home:
        assert read_pointer(home / "var" / "serving") is not None


def test_backup_under_its_name_is_whole(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(disk.home)
    for _ in range(3):
        ledger.append(settings, ledger.PROMOTED, who="ann")

    def holds(found: Settings) -> None:
        copy = found.home / "copy"
        if copy.exists():
            kept = settings_of(copy)
            assert len(ledger.events(kept)) == 3
            assert chain.violations(kept, ledger.table) == []
            _close_databases(copy)

    cut(disk, monkeypatch, lambda: backup.backup(disk.home, disk.home / "copy"), holds)
    with power_cut.booted(disk.copy()) as home:
        assert (home / "copy" / "var" / "refit.db").exists()


def test_the_table_of_guarantees_names_this_file() -> None:
    text = (Path(__file__).parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
    assert "tests/test_power_cut.py" in text
