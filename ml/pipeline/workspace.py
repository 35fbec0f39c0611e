"""A run's workspace `var/runs/<run_key>`: a stage is done once its result is recorded, and not before."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ml.errors import RefitError, SettingsError
from ml.settings import Settings, from_values, to_values
from ml.storage.files import write_json

STAGES = ("generate", "train", "tune", "evaluate", "register", "promote")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")


class StageMissing(RefitError):
    """Raised when a stage is asked for before the one that it builds on."""


class Workspace:
    """The folder of one run.

    Parameters
    ----------
    run_key
        Letters, digits, `.`, `_`, `+` and `-`: see `ml.pipeline.run_key`.
    """

    def __init__(self, settings: Settings, run_key: str) -> None:
        if not _SAFE.fullmatch(run_key):
            raise SettingsError(f"run key: expected letters, digits, '.', '_', '-', got {run_key!r}")
        self.settings = settings
        self.run_key = run_key
        self.path = settings.var / "runs" / run_key

    def stage(self, name: str, work: Callable[[], dict[str, Any]], *, force: bool = False) -> dict[str, Any]:
        """The recorded result of a stage; else do the work and record its result, atomically and last.

        With `force` the stage's own record and those of all later stages are forgotten first.
        """
        if force:
            self.forget(name)
        found = self.result(name)
        if found is not None:
            return found
        started = time.time()
        result = work()
        result = {"stage": name, "run_key": self.run_key, **result, "seconds": round(time.time() - started, 3)}
        write_json(self.path / f"{name}.json", result)
        return self.result(name) or {}

    def result(self, name: str) -> dict[str, Any] | None:
        """What a stage returned, or None while it is not done."""
        file = self.path / f"{name}.json"
        if not file.exists():
            return None
        found: dict[str, Any] = msgspec.json.decode(file.read_bytes())
        return found

    def needed(self, name: str) -> dict[str, Any]:
        """The result of an earlier stage.

        Raises
        ------
        StageMissing
            It is not done: says which command does it.
        """
        found = self.result(name)
        if found is None:
            raise StageMissing(
                f"run '{self.run_key}' has no {name} yet; next: python -m ml {name} --run {self.run_key}"
            )
        return found

    def drift(self) -> tuple[bool, bool]:
        """What the drift check that started the run knew: the champion is degraded, it is outdone by newer models."""
        found = (self.result("generate") or {}).get("origin", {}).get("drift") or {}
        return found.get("verdict") == "degraded", bool((found.get("signals") or {}).get("outdone"))

    def forget(self, name: str) -> None:
        """Drop the records of a stage and of all that build on it; what they made stays until it is made again."""
        for later in STAGES[STAGES.index(name) :]:
            (self.path / f"{later}.json").unlink(missing_ok=True)

    def remember_settings(self, settings: Settings) -> None:
        """Keep the settings a run was started with, for the commands that go on with it."""
        values = to_values(settings)
        values.pop("home")  # a home may be moved
        values.pop("database_url")  # may hold a password
        values["data"].pop("url")
        values["registry"].pop("tracking_uri")
        write_json(self.path / "settings.json", values)

    def recall_settings(self, base: Settings) -> Settings:
        """The settings a run was started with; places and secrets come from `base`."""
        file = self.path / "settings.json"
        if not file.exists():
            return base
        values = msgspec.json.decode(file.read_bytes())
        values |= {"home": str(base.home), "database_url": base.database_url}
        values["data"]["url"] = base.data.url
        values["registry"]["tracking_uri"] = base.registry.tracking_uri
        return from_values(values)


def new_key() -> str:
    """A fresh run key: time and four random signs.

    >>> len(new_key())
    20
    """
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + "-" + secrets.token_hex(2)


def latest(settings: Settings) -> str | None:
    """The run key whose workspace was started last, or None."""
    folder = settings.var / "runs"
    if not folder.is_dir():
        return None
    runs = [(path.stat().st_mtime, path.name) for path in folder.iterdir() if (path / "generate.json").exists()]
    return max(runs)[1] if runs else None


def place(path: Path, settings: Settings) -> str:
    """A path for people and records: relative to the home where it lies in it."""
    return str(path.relative_to(settings.home)) if path.is_relative_to(settings.home) else str(path)
