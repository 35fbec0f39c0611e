"""The model registry: versions, the aliases `champion` and `previous`, promotion and the way back.

The one place that talks to MLflow's registry. A version is one bundle; its SHA-256 is kept as a tag, and
nothing is used that does not hash to it. A challenger that the gate refused is registered too, so that
people can look at it: its tag `refit.verdict` says `refused`, and no alias points at it.

| module | what is in it |
|---|---|
| `catalog` | versions: register, find, list |
| `aliases` | which version serves, and which served before |
| `cache` | a version's bundle on this machine, verified |
| `promotion` | promote, roll back, quarantine; finish what was cut short |
"""

from ml.registry.aliases import CHAMPION, PREVIOUS, by_alias, champion
from ml.registry.cache import download
from ml.registry.catalog import (
    QUARANTINED,
    SENTENCE,
    SHA256,
    VERDICT,
    VersionInfo,
    of_run,
    register,
    version,
    versions,
)
from ml.registry.promotion import Confirm, promote, quarantine, reconcile, release, rollback

__all__ = [
    "CHAMPION",
    "PREVIOUS",
    "QUARANTINED",
    "SENTENCE",
    "SHA256",
    "VERDICT",
    "Confirm",
    "VersionInfo",
    "by_alias",
    "champion",
    "download",
    "of_run",
    "promote",
    "quarantine",
    "reconcile",
    "register",
    "release",
    "rollback",
    "version",
    "versions",
]
