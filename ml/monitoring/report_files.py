"""The files of the checks' reports: below `var/reports`, and on `storage.url` where machines share no disk."""

from __future__ import annotations

import logging
from pathlib import Path

from ml.errors import StorageUnavailable
from ml.settings import Settings
from ml.storage import shared

log = logging.getLogger(__name__)

PAGE_WAIT_S = 5.0  # how long who looks at a report waits for the storage; our choice


def keep(settings: Settings, check_id: str) -> None:
    """Keep a report for other machines, and leave the newest `drift.keep_reports` alone."""
    store, folder = shared.of(settings), settings.var / "reports"
    if store is None:
        return
    store.put(_set(check_id), [folder / f"{check_id}.html", folder / f"{check_id}.json"])
    for name, _ in sorted(store.names("reports"), key=lambda found: found[1])[: -settings.drift.keep_reports]:
        store.delete(name)


def page(settings: Settings, check_id: str) -> Path | None:
    """The HTML of a check, from another machine where it is not here.

    None where there is none, or where the name leads out of the folder.
    """
    folder = (settings.var / "reports").resolve()
    file = (folder / f"{check_id}.html").resolve()
    if file.parent != folder:
        return None
    store = shared.of(settings, wait_s=PAGE_WAIT_S)
    if store is not None and not file.is_file():
        try:
            store.fetch(_set(check_id))
        except StorageUnavailable as error:
            log.warning("the report %s is not shown: %s", check_id, error)
    return file if file.is_file() else None


def there(settings: Settings) -> set[str]:
    """Ids of the checks that have a report, here or on another machine."""
    found = {file.stem for file in (settings.var / "reports").glob("*.html")}
    store = shared.of(settings, wait_s=PAGE_WAIT_S)
    if store is not None:
        try:
            found |= {name.rpartition("/")[2] for name, _ in store.names("reports")}
        except StorageUnavailable as error:
            log.warning("reports of other machines are not listed: %s", error)
    return found


def _set(check_id: str) -> str:
    return f"reports/{check_id}"
