"""A Dask cluster as its user sees it: asks go out, answers come back in any order.

What Dask does by itself: an ask whose worker died is given to another one, and the files are sent anew. What is added
here: errors that pass are told from those that do not, and a cluster that is gone is noticed instead of waited for.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ml.engine import remote
from ml.errors import EngineError, EngineUnavailable, RefitError, SettingsError
from ml.messages import message

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_S = 20.0  # to a scheduler; our choice
WORKERS_S = 60.0  # to the first worker, and without any in between: a node that is replaced needs that; our choice
ANSWER_S = 60.0  # for an answer's way to here, or until it is done again where its worker died; our choice
LOOK_S = 2.0  # between two looks whether the cluster still lives, while nothing comes; our choice

Tag = TypeVar("Tag")


class Cluster(Generic[Tag]):
    """A connection to a cluster, with the files that all asks are to.

    Parameters
    ----------
    address
        Of the scheduler: `tcp://HOST:8786`, or `tls://…` with the keys in Dask's own configuration.
    folder
        Its files are sent, once.
    opened_by, work
        As in `remote.call`; named functions of this library, since a worker imports them by their names.
    resumable
        Whether who asks keeps what was answered, which the error of a lost cluster then tells.

    Raises
    ------
    SettingsError
        Dask is not installed.
    EngineUnavailable
        No scheduler there, or no worker came.
    """

    def __init__(
        self,
        address: str,
        folder: Path,
        opened_by: Callable[[Path], Any],
        work: Callable[[Any, Any], bytes],
        *,
        resumable: bool = True,
    ) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise SettingsError(message("engine.no_package")) from error
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # what it logs is told by our errors
        self._address, self._opened_by, self._work = address, opened_by, work
        self._lost = "engine.unavailable" if resumable else "engine.lost"
        self._name = uuid.uuid4().hex
        self._finished: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._asked: dict[str, tuple[Future, Tag]] = {}
        self._since = time.monotonic()  # when a worker was seen last
        # In hand before it connects: one that did not is closed here, and not by the collector at any later time, which
        # Dask answers by waiting for ever where it comes while a client of the same process starts or stops.
        self._client: Client = Client.__new__(Client)
        try:
            self._client.__init__(address, timeout=CONNECT_S, set_as_default=False, name="refit")
        except (OSError, ValueError) as error:  # TimeoutError is one of the first
            self._leave()
            raise self._unavailable(error) from error
        try:
            with self._passing():
                self._wait_for_workers()
                self._files = self._send(_files_of(folder))
        except BaseException:
            self.close()
            raise

    @property
    def workers(self) -> int:
        """Worker processes that there are now."""
        with self._passing():
            return len(self._client.nthreads())

    def submit(self, tag: Tag, ask: Any) -> None:
        """Take an ask, which comes back from `wait` under its tag; does not block."""
        with self._passing(), _as_large_as_it_is():
            future = self._client.submit(
                remote.call, self._files, self._name, self._opened_by, self._work, ask, remote.identity(),
                key=f"refit-{uuid.uuid4().hex}", pure=False,
            )  # fmt: skip
        self._asked[future.key] = future, tag
        future.add_done_callback(self._finished.put)

    def wait(self) -> tuple[Tag, bytes | None]:
        """The next answer, whichever comes; None where every worker that tried died of it.

        Raises
        ------
        EngineUnavailable
            The scheduler was lost, or all workers were.
        EngineError
            The workers run other code, or none of ours.
        """
        future = self._next()
        _, tag = self._asked.pop(future.key)
        return tag, self._answer(future)

    def close(self) -> None:
        """Take back what was not answered, and leave; the cluster stays."""
        with contextlib.suppress(Exception):  # of a cluster that is gone
            self._client.cancel([future for future, _ in self._asked.values()], force=True)
        self._asked.clear()
        self._files = None
        self._leave()

    def _leave(self) -> None:
        with contextlib.suppress(Exception):
            self._client.close(timeout=LOOK_S)
        self._client.status = "closed"  # also where that failed: nothing is tried again when it is collected

    def _send(self, files: remote.Files) -> Any:
        """Files to all workers that there are; one that comes later gets them from another."""
        with _as_large_as_it_is():
            held = self._client.submit(remote.hold, files, key=f"refit-files-{self._name}", pure=False)
        while held.status == "pending":
            self._look()
            time.sleep(0.05)
        if held.status != "finished":
            self._answer(held)  # raises what is wrong
        with contextlib.suppress(Exception):  # a worker that goes meanwhile; who has no copy gets one later
            self._client.replicate([held])
        return held

    def _next(self) -> Future:
        while True:
            try:
                return self._finished.get(timeout=LOOK_S)
            except queue.Empty:
                self._look()

    def _answer(self, future: Future) -> bytes | None:
        from distributed import KilledWorker

        while True:
            try:
                with self._passing():
                    answer: bytes = future.result(timeout=ANSWER_S)
                return answer
            except KilledWorker:
                return None
            except RefitError:
                raise
            except remote.OtherCode as error:
                raise EngineError(message("engine.other_code", differs=str(error))) from error
            except TimeoutError:  # its worker died after the work was done: it is done again; or a slow network
                self._look()
            except Exception as error:
                if (absent := _import_error(error)) is None:
                    raise
                raise EngineError(message("engine.no_code", error=str(absent))) from error

    def _look(self) -> None:
        """Whether there is still somebody who may answer."""
        now = time.monotonic()
        if self.workers:
            self._since = now
        elif now - self._since > WORKERS_S:
            raise EngineUnavailable(message("engine.no_workers", address=self._address, seconds=round(WORKERS_S)))

    def _wait_for_workers(self) -> None:
        while not self.workers:
            self._look()
            time.sleep(0.1)

    @contextlib.contextmanager
    def _passing(self) -> Iterator[None]:
        """What Dask raises where the scheduler is gone, as an error that may pass."""
        from distributed import CancelledError
        from distributed.comm.core import CommClosedError

        try:
            if self._client.status != "running":
                raise self._unavailable(self._client.status)
            yield
        except TimeoutError:
            if self._client.status != "running":
                raise self._unavailable(self._client.status) from None
            raise
        except (CancelledError, CommClosedError, OSError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: object) -> EngineUnavailable:
        said = str(error) or type(error).__name__
        return EngineUnavailable(message(self._lost, address=self._address, error=said))


def _files_of(folder: Path) -> remote.Files:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@contextlib.contextmanager
def _as_large_as_it_is() -> Iterator[None]:
    """Without Dask's warning of what is sent: files and asks are bytes that the scheduler only passes on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")
        yield


def _import_error(error: BaseException | None) -> ImportError | None:
    """What a scheduler or a worker could not import, if that is what it stumbled over."""
    while error is not None and not isinstance(error, ImportError):
        error = error.__cause__
    return error
