"""The names that point at versions: `champion` serves, `previous` is what it replaced, `shadow` waits to be judged."""

from __future__ import annotations

import secrets
import time

from ml import tracking
from ml.errors import RegistryUnavailable
from ml.messages import message
from ml.registry.catalog import VersionInfo, info_of, version
from ml.settings import Settings

CHAMPION = "champion"
PREVIOUS = "previous"
SHADOW = "shadow"
MARK = "refit.mark"  # tag of the model: tells a present answer from an old one
WAITS_S = (0.0, 0.2, 0.5, 1.0)  # before each look for the mark; our choice


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


def champion_now(settings: Settings) -> VersionInfo | None:
    """The version that serves at this moment, or None: for whoever moves the alias.

    A cache or a replica in front of MLflow may answer what was true before. So a mark is written first, and an answer
    counts when the mark is in it: MLflow tells a model's tags and aliases in one answer.

    Raises
    ------
    RegistryUnavailable
        The answers stay old: nothing may be moved by them, and the call may be made again.
    """
    from mlflow.exceptions import MlflowException

    found, name, mark = tracking.client(settings), settings.registry.model_name, secrets.token_hex(8)
    with tracking.errors(tracking.uri(settings)):
        try:
            found.set_registered_model_tag(name, MARK, mark)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":  # no model yet
                return None
            raise
        for wait in WAITS_S:
            time.sleep(wait)
            model = found.get_registered_model(name)
            if model.tags.get(MARK) == mark:
                number = str(model.aliases.get(CHAMPION, ""))
                return version(settings, number) if number else None
    raise RegistryUnavailable(message("release.registry_stale", seconds=sum(WAITS_S)))


def set_alias(settings: Settings, alias: str, number: str) -> None:
    """Point an alias at a version, or take it away (`number` ""). Without the promotion's lock this races."""
    found, name = tracking.client(settings), settings.registry.model_name
    with tracking.errors(tracking.uri(settings)):
        if number:
            found.set_registered_model_alias(name, alias, number)
        else:
            found.delete_registered_model_alias(name, alias)


def set_previous(settings: Settings, number: str) -> None:
    """Point `previous` at a version, or at none ("")."""
    set_alias(settings, PREVIOUS, number)


def set_shadow(settings: Settings, number: str) -> None:
    """Point `shadow` at a version, or at none (""); nothing is sent where it is so already."""
    current = by_alias(settings, SHADOW)
    if (current.version if current else "") != number:
        set_alias(settings, SHADOW, number)
