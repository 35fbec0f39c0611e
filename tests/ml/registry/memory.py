"""A registry in memory: MLflow's client, for the calls that `ml.registry` makes, without its seconds of waiting."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ml import registry, tracking
from ml.registry import contract, outside_moves, promotion
from ml.settings import Settings, from_values
from ml.storage import locks
from tests.ml.tiny import tiny_bundle

URI = "memory://registry"


class Registry:
    """Versions of one model, their aliases and tags. Made by `install`, filled by `add`."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.versions: dict[str, SimpleNamespace] = {}
        self.aliases: dict[str, str] = {}
        self.model_tags: dict[str, str] = {}
        self.run_tags: dict[str, dict[str, Any]] = {}

    def add(self, slope: float = 1.0, *, run_key: str = "", created: float = 0.0) -> str:
        """A version of a tiny bundle; returns its number."""
        number = str(len(self.versions) + 1)
        sha256 = tiny_bundle(self.folder / number, slope=slope)
        self.versions[number] = SimpleNamespace(
            version=number, run_id=f"run-{number}", source="", creation_timestamp=int(created * 1000),
            tags={registry.SHA256: sha256, tracking.RUN_KEY: run_key},
        )  # fmt: skip
        return number

    def damage(self, number: str) -> None:
        """The bundle is no longer what was registered."""
        (self.folder / number / "model.onnx").write_bytes(b"rotten")

    def delete(self, number: str) -> None:
        """As in MLflow, with the aliases that point at it."""
        del self.versions[number]
        self.aliases = {alias: at for alias, at in self.aliases.items() if at != number}

    def tags(self, number: str) -> dict[str, str]:
        """Of a version."""
        found: dict[str, str] = self.versions[number].tags
        return found

    def get_model_version(self, name: str, version: str) -> SimpleNamespace:
        self._mine(name)
        if version not in self.versions:
            raise refused("RESOURCE_DOES_NOT_EXIST", f"no version {version}")
        return self.versions[version]

    def get_model_version_by_alias(self, name: str, alias: str) -> SimpleNamespace:
        self._mine(name)
        if alias not in self.aliases:
            raise refused("INVALID_PARAMETER_VALUE", f"no alias {alias}")
        return self.versions[self.aliases[alias]]

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        self._mine(name)
        self.aliases[alias] = self.get_model_version(name, version).version

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        self._mine(name)
        self.aliases.pop(alias, None)

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        self._mine(name)
        self.model_tags[key] = value

    def get_registered_model(self, name: str) -> SimpleNamespace:
        self._mine(name)
        return SimpleNamespace(name=name, tags=dict(self.model_tags), aliases=dict(self.aliases))

    def set_model_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        assert isinstance(value, str)
        self.get_model_version(name, version).tags[key] = value

    def delete_model_version_tag(self, name: str, version: str, key: str) -> None:
        self.get_model_version(name, version).tags.pop(key)

    def _mine(self, name: str) -> None:
        assert name == self.name, f"another model: {name}"


def settings(home: Path) -> Settings:
    """Of a model "M" in this registry."""
    return from_values({"home": str(home), "registry": {"tracking_uri": URI, "model_name": "M"}})


def install(monkeypatch: pytest.MonkeyPatch, own: Settings, folder: Path) -> Registry:
    """Put a registry in the place of MLflow's, for settings whose tracking URI is `URI`."""
    made = Registry(own.registry.model_name, folder)

    def client(settings: Settings) -> Registry:
        assert settings.registry.tracking_uri == URI
        return made

    @contextlib.contextmanager
    def errors(address: str) -> Iterator[None]:
        assert address == URI
        with whole(address):
            yield

    def download(settings: Settings, info: registry.VersionInfo) -> Path:
        assert settings.registry.tracking_uri == URI
        return folder / info.version

    def log(settings: Settings, run_id: str, *, tags: dict[str, Any]) -> None:
        assert settings.registry.tracking_uri == URI
        made.run_tags.setdefault(run_id, {}).update(tags)

    whole = tracking.errors
    monkeypatch.setattr(tracking, "client", client)
    monkeypatch.setattr(tracking, "errors", errors)
    monkeypatch.setattr(tracking, "log", log)
    monkeypatch.setattr(registry, "download", download)
    monkeypatch.setattr(promotion, "download", download)
    monkeypatch.setattr(promotion, "fetch", lambda settings, info, _into: download(settings, info))
    monkeypatch.setattr(contract, "download", download)
    monkeypatch.setattr(outside_moves, "download", download)
    return made


def watch_locks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the locks that are held at this moment, outermost first."""
    held: list[str] = []
    whole = locks.exclusive

    @contextlib.contextmanager
    def exclusive(settings: Settings, name: str, **more: Any) -> Iterator[None]:
        with whole(settings, name, **more):
            held.append(name)
            try:
                yield
            finally:
                held.remove(name)

    monkeypatch.setattr(locks, "exclusive", exclusive)
    return held


def refused(code: str, message: str) -> Exception:
    """As MLflow refuses."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos import databricks_pb2

    return MlflowException(message, error_code=getattr(databricks_pb2, code))
