"""The model registry: versions, the aliases `champion` and `previous`, promotion and the way back.

The one place that talks to MLflow's registry. A version is one bundle; its SHA-256 is kept as a tag, and
nothing is used that does not hash to it. A challenger that the gate refused is registered too, so that
people can look at it: its tag `refit.verdict` says `refused`, and no alias points at it.

| module | what is in it |
|---|---|
| `aliases` | The names that point at versions |
| `cache` | The bundles of versions on this machine, each verified against the registry's hash and its signature |
| `catalog` | The versions of the registered model: make one, find one, list them |
| `chain` | The hash chain over the ledger: each row's entry holds the hash of the entry before |
| `contract` | The contract that is in force: that of the champion, also where its bundle or its alias is lost |
| `ledger` | The ledger: every registration, verdict, promotion and rollback, with who, when and why |
| `outside_moves` | Outside moves: promotions and rollbacks that were made in MLflow's registry |
| `promotion` | Promotion and the way back: the alias moves last, and every move is in the ledger before and after |
| `quarantine` | Quarantine: a version that is not promoted again by itself |
| `rollout` | Rollout verification: has every worker taken over the new version? |
"""

from ml.registry.aliases import CHAMPION, PREVIOUS, SHADOW, by_alias, champion, set_shadow
from ml.registry.cache import download, fetch
from ml.registry.catalog import (
    CONTRACT,
    FAMILY,
    METRIC,
    QUARANTINED,
    SHA256,
    SNAPSHOT,
    VersionInfo,
    note_verdict,
    of_run,
    register,
    verdict_tags,
    version,
    versions,
)
from ml.registry.contract import serving
from ml.registry.promotion import Confirm, promote, reconcile, rollback
from ml.registry.quarantine import quarantine, release

__all__ = [
    "CHAMPION",
    "CONTRACT",
    "FAMILY",
    "METRIC",
    "PREVIOUS",
    "QUARANTINED",
    "SHA256",
    "SHADOW",
    "SNAPSHOT",
    "Confirm",
    "VersionInfo",
    "by_alias",
    "champion",
    "download",
    "fetch",
    "note_verdict",
    "of_run",
    "promote",
    "quarantine",
    "reconcile",
    "register",
    "release",
    "rollback",
    "serving",
    "set_shadow",
    "verdict_tags",
    "version",
    "versions",
]
