"""Sends finished trials to MLflow behind the search: nested runs, one batch each, in a thread of their own."""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml import tracking
from ml.errors import Transient
from ml.settings import Settings

TRIAL = "refit.trial"


class TrialLog:
    """Logs each named trial once for a parent run, also over restarts: what is there already is passed over.

    Use as a context manager; leaving it waits for what is queued.

    Parameters
    ----------
    parent
        Id of MLflow's run below which the trials are logged.
    stage
        "train" or "tune": the tag that tells their trials apart.

    Raises
    ------
    RegistryUnavailable
        On leaving, when a trial could not be logged. The trials themselves are on disk: the stage can be run
        again and only logs what is missing.
    """

    def __init__(self, settings: Settings, parent: str, stage: str) -> None:
        self._settings, self._parent, self._stage = settings, parent, stage
        self._queue: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="trial-log", daemon=True)

    def __enter__(self) -> TrialLog:
        self._known = tracking.children(self._settings, self._parent, TRIAL)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._error is not None and kind is None:
            raise self._error

    def trial(self, trial: Any) -> None:
        """A trial of the search: `ml.tuning.Trial`."""
        # "accuracy" alone is the curve of the training rows.
        metrics = {f"validation_{name}": value for name, value in trial.scores.items()}
        if trial.loss is not None:
            metrics["validation_log_loss"] = trial.loss
        self.add(
            f"{trial.number:03d} {trial.family}",
            key=f"{self._stage}-{trial.number}",
            params={"family": trial.family, "seed": trial.seed, **trial.params},
            metrics=metrics | {"seconds": trial.seconds},
            history=trial.history,
            tags={"refit.status": trial.status, **({"refit.error": trial.error} if trial.error else {})},
            failed=trial.status == "failed",
            seconds=trial.seconds,
        )

    def add(
        self,
        name: str,
        *,
        key: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        history: Sequence[Mapping[str, Any]] = (),
        tags: Mapping[str, Any] | None = None,
        failed: bool = False,
        seconds: float = 0.0,
        model: Path | None = None,
    ) -> None:
        """Queue one finished nested run.

        Parameters
        ----------
        name
            As MLflow's pages show it.
        key
            Its name within the parent: one that is there already is passed over.
        params, metrics, history, tags, failed, model
            As `tracking.child`.
        seconds
            How long it ran; it ended now.
        """
        if key in self._known or self._error is not None:
            return
        self._known.add(key)
        labels = {TRIAL: key, "refit.stage": self._stage, **(tags or {})}
        send = functools.partial(
            tracking.child, self._settings, self._parent, name, params=params, metrics=metrics, history=history,
            tags=labels, failed=failed, started=time.time() - seconds, model=model,
        )  # fmt: skip
        self._queue.put(send)

    def _work(self) -> None:
        while (send := self._queue.get()) is not None:
            if self._error is None:
                try:
                    send()
                except Transient as error:
                    self._error = error
                except Exception as error:  # told to the caller on leaving
                    self._error = error
