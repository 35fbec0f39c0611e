"""The model registry: versions, the aliases `champion` and `previous`, promotion and the way back.

The one place that talks to MLflow's registry. A version is one bundle; its SHA-256 is kept as a tag, and
nothing is used that does not hash to it. A challenger that the gate refused is registered too, so that
people can look at it: its tag `refit.verdict` says `refused`, and no alias points at it.

| module | what is in it |
|---|---|
| `catalog` | versions: register, find, list |
| `aliases` | which version serves, which served before, which waits in shadow |
| `cache` | a version's bundle on this machine, verified |
| `promotion` | promote, roll back, quarantine; finish what was cut short |
"""

from ml.registry.aliases import CHAMPION, PREVIOUS, SHADOW, by_alias, champion, set_shadow
from ml.registry.cache import download
from ml.registry.catalog import (
    QUARANTINED,
    SENTENCE,
    SHA256,
    VERDICT,
    VersionInfo,
    note_verdict,
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
    "SHADOW",
    "VERDICT",
    "Confirm",
    "VersionInfo",
    "by_alias",
    "champion",
    "download",
    "note_verdict",
    "of_run",
    "promote",
    "quarantine",
    "reconcile",
    "register",
    "release",
    "rollback",
    "set_shadow",
    "version",
    "versions",
]
