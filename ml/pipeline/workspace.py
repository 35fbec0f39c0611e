"""A run's workspace `var/runs/<run_key>`: a stage is done once its result is recorded, and not before.

With `storage.url`, the record of a stage is on that storage, in one step with the list of the files that it made; a
stage begins by fetching those of the stages before. So each may be another machine's, whose disk is empty.
"""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from ml.errors import DiskFull, Permanent, RefitError, SettingsError
from ml.messages import message
from ml.origin import Origin
from ml.pipeline.stages.records import RECORDS, SnapshotRecord, StageRecord
from ml.settings import Settings, from_values, to_values
from ml.storage import shared
from ml.storage.files import is_full, to_json, write_bytes, write_json

STAGES = tuple(record.stage_name() for record in RECORDS)
R = TypeVar("R", bound=StageRecord)
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")


class StageMissing(RefitError):
    """Raised when a stage is asked for before the one that it builds on."""


class RecordError(Permanent):
    """Raised when a stage's record is of another format: another version of Refit wrote it."""


class Workspace:
    """The folder of one run.

    Parameters
    ----------
    run_key
        Letters, digits, `.`, `_`, `+` and `-`: see `ml.pipeline.run_key`.
    """

    def __init__(self, settings: Settings, run_key: str) -> None:
        if not is_key(run_key):
            raise SettingsError(message("training.run_key", got=repr(run_key)))
        self.settings = settings
        self.run_key = run_key
        self.path = settings.var / "runs" / run_key
        self.shared = shared.of(settings)

    def stage(self, kind: type[R], work: Callable[[], R], *, force: bool = False) -> R:
        """The record of a stage; else do the work and keep its record, atomically and last.

        With `force` the stage's own record and those of all later stages are forgotten first.

        Parameters
        ----------
        kind
            Class of the stage's record, which names the file.
        work
            Makes the record; called only where there is none.

        Raises
        ------
        RecordError
            There is a record of another format.
        DiskFull
            There is no room; the stage is not done, and can be done again.
        """
        if force:
            self.forget(kind)
        result = self.result(kind)
        if result is not None:
            return result
        started = time.time()
        try:
            self.fill(kind)
            done = work()
            seconds = round(time.time() - started, 3)
            self._keep(kind, msgspec.structs.replace(done, run_key=self.run_key, seconds=seconds))
        except Exception as error:
            # Bad data stays bad data also where the disk happens to be full.
            if not is_full(error, None if isinstance(error, Permanent) else self.settings.home):
                raise
            known = {"stage": kind.stage_name(), "error": str(error), "folder": str(self.settings.home)}
            raise DiskFull(message("training.disk_full", **known)) from error
        return self.needed(kind)

    def result(self, kind: type[R]) -> R | None:
        """The record of a stage, or None while it is not done.

        Raises
        ------
        RecordError
            It is of another format.
        """
        file = self._file(kind)
        try:
            content = self._content(kind)
            return None if content is None else msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError as error:
            known = {"file": str(file), "stage": kind.stage_name(), "error": str(error), "run": self.run_key}
            raise RecordError(message("training.other_record", **known)) from error

    def needed(self, kind: type[R]) -> R:
        """The record of an earlier stage.

        Raises
        ------
        StageMissing
            It is not done: says which command does it.
        """
        found = self.result(kind)
        if found is None:
            raise StageMissing(message("training.no_stage", run=self.run_key, stage=kind.stage_name()))
        return found

    def origin(self) -> Origin:
        """What started the run, as its first stage was told."""
        generated = self.result(SnapshotRecord)
        return generated.origin if generated else Origin()

    def forget(self, kind: type[StageRecord]) -> None:
        """Drop the records of a stage and of all that build on it; what they made stays until it is made again."""
        for later in RECORDS[RECORDS.index(kind) :]:
            self._file(later).unlink(missing_ok=True)
            kept = self.shared.find(self._name(later)) if self.shared else None
            if self.shared and kept:  # the files stay in it: what is done again may need them, as that did
                self.shared.write(self._name(later), msgspec.structs.replace(kept, record=shared.NO_RECORD))

    def fill(self, kind: type[StageRecord]) -> None:
        """Fetch what the stages up to this one have made, where machines share no disk; an earlier try of its own too.

        Raises
        ------
        StorageDamaged
            A file that a stage has made is not there any more, or is another one.
        """
        if self.shared is None:
            return
        for stage in RECORDS[: RECORDS.index(kind) + 1]:
            found = self.shared.find(self._name(stage))
            if found is not None:
                self.shared.fill(found.files)
                self._leave_only(stage, {file.path for file in found.files})

    def _leave_only(self, stage: type[StageRecord], listed: set[str]) -> None:
        """Remove what a try on this machine left that is not what the stage made in the end, elsewhere."""
        for path in self._made(stage):
            files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
            for file in files:
                if file.relative_to(self.settings.home).as_posix() not in listed:
                    file.unlink()
            if path.is_dir() and not any(file.is_file() for file in path.rglob("*")):
                shutil.rmtree(path)  # that it is there says something

    def _made(self, stage: type[StageRecord]) -> list[Path]:
        """The files and folders of a stage that are here."""
        home = self.settings.home
        return sorted(path for pattern in stage.made for path in home.glob(pattern.format(run=self.run_key)))

    def _keep(self, kind: type[R], record: R) -> None:
        content = to_json(record)
        if self.shared is not None:
            self.shared.put(self._name(kind), self._made(kind), msgspec.Raw(content))
        write_bytes(self._file(kind), content)

    def _content(self, kind: type[StageRecord]) -> bytes | None:
        if self.shared is not None:
            found = self.shared.find(self._name(kind))
            return None if found is None or found.record == shared.NO_RECORD else bytes(found.record)
        try:
            return self._file(kind).read_bytes()
        except FileNotFoundError:
            return None

    def _name(self, kind: type[StageRecord]) -> str:
        return f"runs/{self.run_key}/{kind.stage_name()}"

    def _file(self, kind: type[StageRecord]) -> Path:
        return self.path / f"{kind.stage_name()}.json"

    def remember_settings(self, settings: Settings) -> None:
        """Keep the settings a run was started with, for the commands that go on with it."""
        values = to_values(settings)
        values.pop("home")  # a home may be moved
        values.pop("database_url")  # may hold a password
        values["data"].pop("url")
        values["registry"].pop("tracking_uri")
        values["registry"].pop("signing_key")
        values.pop("storage")
        write_json(self.path / "settings.json", values)

    def recall_settings(self, base: Settings) -> Settings:
        """The settings a run was started with; places and secrets come from `base`."""
        file = self.path / "settings.json"
        self.fill(SnapshotRecord)
        if not file.exists():
            return base
        values = msgspec.json.decode(file.read_bytes())
        values |= {"home": str(base.home), "database_url": base.database_url}
        values["data"]["url"] = base.data.url
        values["registry"] |= {name: getattr(base.registry, name) for name in ("tracking_uri", "signing_key")}
        values["storage"] = to_values(base)["storage"]
        return from_values(values)


def is_key(text: str) -> bool:
    """Whether a text may be the key of a run, which becomes a folder's name."""
    return _SAFE.fullmatch(text) is not None


def new_key() -> str:
    """A fresh run key: time and four random signs.

    >>> len(new_key())
    20
    """
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + "-" + secrets.token_hex(2)


def latest(settings: Settings) -> str | None:
    """The run key whose workspace was started last, or None."""
    if (store := shared.of(settings)) is not None:
        started = [(moment, name.split("/")[1]) for name, moment in store.names("runs") if name.endswith("/generate")]
        return max(started)[1] if started else None
    folder = settings.var / "runs"
    if not folder.is_dir():
        return None
    runs = [(path.stat().st_mtime, path.name) for path in folder.iterdir() if (path / "generate.json").exists()]
    return max(runs)[1] if runs else None


def place(path: Path, settings: Settings) -> str:
    """A path for people and records: relative to the home where it lies in it."""
    return str(path.relative_to(settings.home)) if path.is_relative_to(settings.home) else str(path)
