"""Quarantine: a version that is not promoted again by itself."""

from __future__ import annotations

import msgspec

from ml import tracking
from ml.messages import Message, Text
from ml.registry import ledger
from ml.registry.catalog import QUARANTINE_MESSAGE, QUARANTINED, version
from ml.settings import Settings


def quarantine(settings: Settings, number: str, *, who: str, why: Text) -> None:
    """Keep a version from being promoted again by itself."""
    tags = {QUARANTINED: str(why) or "yes"}
    if isinstance(why, Message):
        tags = {QUARANTINE_MESSAGE: msgspec.json.encode(why).decode(), **tags}
    info = version(settings, number)
    with tracking.errors(tracking.uri(settings)):
        for key, text in tags.items():
            tracking.client(settings).set_model_version_tag(settings.registry.model_name, number, key, text)
    ledger.append(settings, ledger.QUARANTINED, who=who, why=why, from_version=number, from_sha256=info.sha256)


def release(settings: Settings, number: str, *, who: str, why: Text) -> None:
    """Lift a quarantine."""
    info = version(settings, number)
    with tracking.errors(tracking.uri(settings)):
        for key in (QUARANTINED, QUARANTINE_MESSAGE):
            if key in info.tags:
                tracking.client(settings).delete_model_version_tag(settings.registry.model_name, number, key)
    ledger.append(settings, ledger.RELEASED, who=who, why=why, from_version=number, from_sha256=info.sha256)
