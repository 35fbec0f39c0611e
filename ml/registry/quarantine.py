"""Quarantine: a version that is not promoted again by itself."""

from __future__ import annotations

from ml import tracking
from ml.messages import Text
from ml.registry import ledger
from ml.registry.catalog import QUARANTINED
from ml.settings import Settings


def quarantine(settings: Settings, number: str, *, who: str, why: Text) -> None:
    """Keep a version from being promoted again by itself."""
    with tracking.errors(tracking.uri(settings)):
        tracking.client(settings).set_model_version_tag(
            settings.registry.model_name, number, QUARANTINED, str(why) or "yes"
        )
    ledger.append(settings, ledger.QUARANTINED, who=who, why=why, from_version=number)


def release(settings: Settings, number: str, *, who: str, why: Text) -> None:
    """Lift a quarantine."""
    with tracking.errors(tracking.uri(settings)):
        tracking.client(settings).delete_model_version_tag(settings.registry.model_name, number, QUARANTINED)
    ledger.append(settings, ledger.RELEASED, who=who, why=why, from_version=number)
