"""Finished trials where machines share no disk: each is kept on `storage.url` while the search goes on.

A search that is killed is gone on with on another machine, from the trials that were finished.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

from ml.errors import StorageUnavailable
from ml.pipeline.workspace import Workspace
from ml.storage import shared
from ml.tuning.trial import RECORD

log = logging.getLogger("refit.pipeline")


class SharedTrials:
    """The trials of one run, in the folders of its searches (`tune/search-*`), with the searches' own records.

    Does nothing without `storage.url`.
    """

    def __init__(self, space: Workspace) -> None:
        self._folder, self._names = space.path / "tune", f"runs/{space.run_key}/trials"
        self._store = space.shared
        # While trials run nobody waits for a storage that does not answer: `finish` does.
        self._now = shared.of(space.settings, wait_s=0.0)
        self._kept: set[str] = set()

    def fetch(self) -> None:
        """Bring the trials here that other machines have finished, before the search begins."""
        if self._store is None:
            return
        names = [name for name, _ in self._store.names(self._names)]
        with ThreadPoolExecutor(shared.AT_ONCE) as pool:
            list(pool.map(self._store.fetch, names))
        self._kept.update(names)

    def keep(self) -> None:
        """Keep what has been finished since the last call; what the storage does not take now, it gets later."""
        if self._now is None:
            return
        try:
            self._put(self._now)
        except StorageUnavailable as error:
            log.warning("finished trials are kept on this machine alone for now: %s", error)

    def finish(self) -> None:
        """Keep what is left, and wait for the storage.

        Raises
        ------
        StorageUnavailable
            It does not answer. The trials are on this machine: the stage can be run again.
        """
        if self._store is not None:
            self._put(self._store)

    def _put(self, store: shared.SharedStore) -> None:
        searches, trials = (sorted(self._folder.glob(f"search-*/{file}")) for file in (RECORD, "trial-*.json"))
        for file in [*searches, *trials]:
            name = f"{self._names}/{file.parent.name}/{file.stem}"
            if name not in self._kept:
                store.put(name, [file.with_suffix(".npy"), file])
                self._kept.add(name)
