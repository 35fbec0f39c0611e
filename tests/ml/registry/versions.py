"""Versions of tiny bundles in an MLflow store of the test's own, and what a service answers to a promotion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ml import registry, tracking
from ml.bundle.mlflow_flavor import log_bundle
from ml.bundle.reader import Bundle
from ml.errors import PromotionError
from ml.registry import VersionInfo, ledger
from ml.registry.rollout import Confirmation
from ml.settings import Settings, from_values
from tests.ml.tiny import tiny_bundle


def make_settings(home: Path, **registry_values: Any) -> Settings:
    return from_values(
        {"home": str(home), "mlflow_port": 1, "serving_port": 1, "registry": {"confirm": "auto", **registry_values}}
    )


def make_version(own: Settings, tmp_path: Path, slope: float = 1.0) -> VersionInfo:
    run_key = f"{own.registry.model_name}-{slope}"
    folder = tmp_path / f"bundle-{slope}"
    sha256 = Bundle.open(folder).sha256 if folder.exists() else tiny_bundle(folder, slope=slope)
    run_id = tracking.run(own, run_key)
    uri = log_bundle(own, folder, run_id)
    return registry.register(own, model_uri=uri, run_id=run_id, run_key=run_key, sha256=sha256)


def agree(settings: Settings, version: str) -> Confirmation:
    return Confirmation(("fake",), 2, "confirmed by 2 workers")


def refuse(settings: Settings, version: str) -> Confirmation:
    raise PromotionError(f"the service refused version {version}: out of memory")


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the code may catch it."""


def die(settings: Settings, version: str) -> Confirmation:
    raise Killed


def aliases(own: Settings) -> tuple[str, str]:
    found = [registry.by_alias(own, alias) for alias in (registry.CHAMPION, registry.PREVIOUS)]
    return found[0].version if found[0] else "", found[1].version if found[1] else ""


def promote(own: Settings, info: VersionInfo, confirm_with: registry.Confirm = agree, **more: Any) -> ledger.Event:
    return registry.promote(own, info.version, who="test", why="because", confirm_with=confirm_with, **more)
