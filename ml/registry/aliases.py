"""The names that point at versions: `champion` serves, `previous` is what it replaced, `shadow` waits to be judged."""

from __future__ import annotations

from ml import tracking
from ml.registry.catalog import VersionInfo, info_of
from ml.settings import Settings

CHAMPION = "champion"
PREVIOUS = "previous"
SHADOW = "shadow"


def champion(settings: Settings) -> VersionInfo | None:
    """The version that serves, or None."""
    return by_alias(settings, CHAMPION)


def by_alias(settings: Settings, alias: str) -> VersionInfo | None:
    """The version an alias points at, or None where there is no such alias or no model yet."""
    from mlflow.exceptions import MlflowException

    with tracking.errors(tracking.uri(settings)):
        try:
            return info_of(tracking.client(settings).get_model_version_by_alias(settings.registry.model_name, alias))
        except MlflowException as error:  # 400 for a missing alias, 404 for a missing model
            if error.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
                return None
            raise


def set_alias(settings: Settings, alias: str, number: str) -> None:
    """Point an alias at a version, or take it away (`number` ""). Without the promotion's lock this races."""
    found, name = tracking.client(settings), settings.registry.model_name
    with tracking.errors(tracking.uri(settings)):
        if number:
            found.set_registered_model_alias(name, alias, number)
        else:
            found.delete_registered_model_alias(name, alias)


def set_previous(settings: Settings, number: str) -> None:
    """Point `previous` at a version, or at none (""); nothing is sent where it is so already."""
    _point(settings, PREVIOUS, number)


def set_shadow(settings: Settings, number: str) -> None:
    """Point `shadow` at a version, or at none (""); nothing is sent where it is so already."""
    _point(settings, SHADOW, number)


def _point(settings: Settings, alias: str, number: str) -> None:
    current = by_alias(settings, alias)
    if (current.version if current else "") != number:
        set_alias(settings, alias, number)
