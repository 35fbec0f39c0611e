"""Champion lookup: which version is the champion? Asked of MLflow's REST interface, twice a second.

MlflowClient takes 240 MB and seconds to import; the follower needs one small answer and, where artifacts are plain
files, one path. Everything else (another store, another artifact place, a login) goes through `ml.registry`.
"""

from __future__ import annotations

import os
import urllib.parse
from pathlib import Path
from typing import Any

import msgspec

from ml import http, tracking
from ml.errors import RegistryUnavailable
from ml.messages import message
from ml.settings import Settings

ALIAS = "champion"
SHA256 = "refit.sha256"
BUNDLE_IN_MODEL = "artifacts/bundle"
TIMEOUT_S = 5.0  # a registry that is silent for longer is out of reach; our choice
_LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_TOKEN")


class Champion(msgspec.Struct, frozen=True):
    """What the alias names: a version, and the hash that its bundle must have ("" where the tag is missing)."""

    version: str
    sha256: str


def champion(settings: Settings) -> Champion | None:
    """The champion, or None where there is none yet.

    Raises
    ------
    RegistryUnavailable
        The registry does not answer.
    """
    address = tracking.uri(settings)
    if not _plain_http(address):
        from ml import registry

        info = registry.champion(settings)
        return None if info is None else Champion(info.version, info.sha256)
    alias = get(address, "registered-models/alias", name=settings.registry.model_name, alias=ALIAS)
    if alias is None:
        return None
    version = alias["model_version"]
    tags = {tag["key"]: tag["value"] for tag in version.get("tags", ())}
    return Champion(str(version["version"]), tags.get(SHA256, ""))


def local_bundle(settings: Settings, version: str) -> Path | None:
    """The version's bundle folder where the artifact store is a folder of this machine, else None."""
    address = tracking.uri(settings)
    if not _plain_http(address):
        return None
    uri = get(address, "model-versions/get-download-uri", name=settings.registry.model_name, version=version)
    place = urllib.parse.urlsplit(str((uri or {}).get("artifact_uri", "")))
    if place.scheme not in ("", "file") or not place.path.startswith("/"):
        return None
    folder = Path(urllib.parse.unquote(place.path)) / BUNDLE_IN_MODEL
    return folder if folder.is_dir() else None


def get(address: str, call: str, **query: str) -> dict[str, Any] | None:
    """One GET of the REST interface; None where MLflow says that there is no such thing.

    Parameters
    ----------
    call
        Path below `/api/2.0/mlflow/`.
    query
        Parameters of the call.

    Raises
    ------
    RegistryUnavailable
        No answer, or not MLflow's.
    """
    url = f"{address.rstrip('/')}/api/2.0/mlflow/{call}?{urllib.parse.urlencode(query)}"
    try:
        response = http.get(url, timeout_s=TIMEOUT_S)
    except http.HttpError as error:
        if error.status in (400, 404):  # 400 for a missing alias, 404 for a missing model
            return None
        if error.status >= 300:
            raise RegistryUnavailable(
                message("connections.mlflow_status", address=address, status=error.status, call=call)
            ) from error
        raise RegistryUnavailable(message("connections.mlflow_silent", address=address, error=error.reason)) from error
    if not isinstance(response, dict):
        raise RegistryUnavailable(message("connections.no_mlflow", address=address, call=call))
    return response


def _plain_http(address: str) -> bool:
    return address.startswith(("http://", "https://")) and not any(os.environ.get(name) for name in _LOGIN)
