"""A replay on a Dask cluster: the loop on one worker, and what it is held against a model at a time on the others.

The loop goes from window to window, so it is one ask. Each model of the alternatives is another: a worker fits it and
answers the windows that are its own. Models stay where they were made; what comes back is what they answered. Each
worker makes the first model for itself. With the same seed the outcomes are those of one machine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml import alerts
from ml.data import generate
from ml.engine.cluster import Cluster
from ml.errors import EngineUnavailable
from ml.messages import message
from ml.replay import report, strategies
from ml.replay.loop import FIRST, Model, Outcome, Step, Stream, fit, refit
from ml.storage import database, files

if TYPE_CHECKING:
    import pandas as pd

TABLE, SETUP = "table.parquet", "setup.json"


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What a `Stream` is made from beside its table and its home: its arguments of the same names."""

    n_windows: int
    arrives: list[int]
    data: dict[str, Any]
    families: list[str]
    values: dict[str, Any]

    def stream(self, frame: pd.DataFrame, home: Path) -> Stream:
        """The table in windows, with an empty folder for the state."""
        return Stream(
            frame, self.n_windows, home, data=self.data, families=self.families, arrives=self.arrives,
            values=self.values,
        )  # fmt: skip


class Ask(msgspec.Struct, frozen=True):
    """Scored windows, counted from 0, to be answered by the model that is there after so many of them; or the loop."""

    model: int | None  # None: the loop, which answers all of them
    windows: list[int] = []


class Answer(msgspec.Struct, frozen=True):
    """An `Outcome` as it travels. `model` is the one that answered: an earlier one where none could be made."""

    predicted: list[list[str]]
    losses: list[bytes]  # of float64, one array a window
    costs: list[float]
    retrainings: int
    steps: list[Step]
    model: int = 0

    def outcome(self) -> Outcome:
        """As it was on the worker."""
        return Outcome(
            predicted=[np.array(labels, dtype=object) for labels in self.predicted],
            losses=[np.frombuffer(window, np.float64) for window in self.losses],
            costs=self.costs,
            retrainings=self.retrainings,
            steps=self.steps,
        )


class Player:
    """What a worker has of a replay: the table, and the first model once it was asked for another.

    Parameters
    ----------
    folder
        With the files of `save`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._frame = folder, from_parquet(folder / TABLE)
        self._setup = msgspec.json.decode((folder / SETUP).read_bytes(), type=Setup)
        self._every: strategies.Every | None = None

    def loop(self) -> Outcome:
        """The loop over all windows, in a home of its own: it goes by what it finds there."""
        with tempfile.TemporaryDirectory(dir=self._folder) as home, alerts.unlogged():
            stream = self._setup.stream(self._frame, Path(home))
            try:
                return refit(stream, _first(stream))
            finally:
                database.engine(stream.settings).dispose()

    def answered(self, place: int, windows: Sequence[int]) -> tuple[Outcome, int]:
        """What the model of a place answers to scored windows, and the place of the one that it was."""
        if self._every is None:
            stream = self._setup.stream(self._frame, Path(tempfile.mkdtemp(dir=self._folder)))
            self._every = strategies.Every(stream, _first(stream))
        place, model = _model(self._every, place)
        outcome, stream = Outcome(), self._every.stream
        for window in windows:
            strategies.answer(stream, outcome, model, FIRST + window)
        return outcome, place


def _first(stream: Stream) -> Model:
    return fit(stream.settings, generate(stream.settings), "1")


def _model(every: strategies.Every, place: int) -> tuple[int, Model]:
    for earlier in range(place, 0, -1):
        if (model := every.model(FIRST + earlier - 1)) is not None:
            return earlier, model
    return 0, every.first


def answer(player: Player, ask: bytes) -> bytes:
    """Do what an `Ask` says; the `Answer`."""
    asked, place = msgspec.msgpack.decode(ask, type=Ask), 0
    if asked.model is None:
        outcome = player.loop()
    else:
        outcome, place = player.answered(asked.model, asked.windows)
    return msgspec.msgpack.encode(
        Answer(
            predicted=[labels.tolist() for labels in outcome.predicted],
            losses=[np.asarray(window, np.float64).tobytes() for window in outcome.losses],
            costs=outcome.costs, retrainings=outcome.retrainings, steps=outcome.steps, model=place,
        )
    )  # fmt: skip


def save(folder: Path, frame: pd.DataFrame, setup: Setup) -> None:
    """What a `Player` needs, as files in `folder`; `frame` as `outcomes` takes it."""
    columns = {name: pa.array(frame[name].to_numpy(object), pa.string(), from_pandas=True) for name in frame}
    pq.write_table(pa.table(columns), folder / TABLE)
    files.write_bytes(folder / SETUP, msgspec.json.encode(setup))


def from_parquet(file: Path) -> pd.DataFrame:
    """The table that was sent: texts, and NaN where a cell is empty, as it was."""
    import pandas as pd

    table = pq.read_table(file)
    cells = {name: table[name].to_numpy().astype(object) for name in table.column_names}
    for name, column in cells.items():
        column[table[name].is_null().to_numpy()] = np.nan
    return pd.DataFrame(cells, dtype=object)


def outcomes(
    address: str, frame: pd.DataFrame, setup: Setup, *, done: Callable[[int, int], None] = lambda *_: None
) -> dict[str, Outcome]:
    """Of the loop and of what it is held against, by the names of `report`.

    Parameters
    ----------
    address
        Of the cluster's scheduler.
    frame
        (n_rows, columns) texts and NaN, oldest first.
    done
        Called with the numbers of asks that are answered, and of all that are known of yet.

    Raises
    ------
    EngineUnavailable
        The cluster was lost, or a part of the replay ended every worker that tried it.
    """
    with tempfile.TemporaryDirectory(prefix="refit-replay-") as folder:
        save(Path(folder), frame, setup)
        cluster: Cluster[Ask] = Cluster(address, Path(folder), Player, answer, resumable=False)
    try:
        return _outcomes(cluster, address, setup, done)
    finally:
        cluster.close()


def _outcomes(
    cluster: Cluster[Ask], address: str, setup: Setup, done: Callable[[int, int], None]
) -> dict[str, Outcome]:
    made = _made(setup)
    parts = _Parts()
    asks = [Ask(None), Ask(0, list(range(len(made)))), *parts.missing(made, but=0)]
    answered = 0
    for ask, found in _answers(cluster, address, asks):
        parts.add(ask, found)
        answered += 1
        done(answered, len(asks))
    loop = parts.loop
    scheduled = strategies.on_schedule(made, strategies.schedule(len(made), loop.retrainings))
    more = parts.missing(scheduled)
    for ask, found in _answers(cluster, address, more):
        parts.add(ask, found)
        answered += 1
        done(answered, len(asks) + len(more))
    return {
        report.NEVER: parts.outcome([0] * len(made)),
        report.SCHEDULE: parts.outcome(scheduled),
        report.EVERY: parts.outcome(made),
        report.LOOP: loop,
    }


def _made(setup: Setup) -> list[int]:
    """Of each scored window, the place of the newest model that may be there: none is made where no labels came.

    >>> _made(Setup(n_windows=7, arrives=[0, 1, 2, 4, 4, 6, 7], data={}, families=[], values={}))
    [0, 0, 2, 2]
    """
    made = [0]
    for window in range(FIRST, setup.n_windows - 1):
        made.append(window - FIRST + 1 if strategies.came(setup.arrives, window) else made[-1])
    return made


def _answers(cluster: Cluster[Ask], address: str, asks: Sequence[Ask]) -> Iterator[tuple[Ask, Answer]]:
    """Of all asks, as they come. No worker has two at a time: one could wait behind the loop."""
    under_way, waiting = 0, list(asks)
    while waiting or under_way:
        while waiting and under_way < max(1, cluster.workers):
            ask = waiting.pop(0)
            cluster.submit(ask, msgspec.msgpack.encode(ask))
            under_way += 1
        ask, said = cluster.wait()
        if said is None:
            raise EngineUnavailable(message("replay.workers_ended", address=address))
        under_way -= 1
        yield ask, msgspec.msgpack.decode(said, type=Answer)


class _Parts:
    """What came back: the loop, and what each model answered to each window."""

    def __init__(self) -> None:
        self.loop = Outcome()
        self._of: dict[tuple[int, int], tuple[Outcome, int, int]] = {}  # … → outcome, place in it, model that it was

    def add(self, ask: Ask, found: Answer) -> None:
        outcome = found.outcome()
        if ask.model is None:
            self.loop = outcome
            return
        for i, window in enumerate(ask.windows):
            self._of[ask.model, window] = outcome, i, found.model

    def missing(self, models: Sequence[int], but: int | None = None) -> list[Ask]:
        """Asks for what `models[i]` answers to scored window i, where that is not known; the dearest fits first."""
        asked: Mapping[int, list[int]] = {model: [] for model in sorted(set(models) - {but}, reverse=True)}
        for window, model in enumerate(models):
            if model in asked and (model, window) not in self._of:
                asked[model].append(window)
        return [Ask(model, windows) for model, windows in asked.items() if windows]

    def outcome(self, models: Sequence[int]) -> Outcome:
        """Where scored window i is answered by `models[i]`."""
        whole, used = Outcome(), set()
        for window, model in enumerate(models):
            outcome, i, was = self._of[model, window]
            whole.predicted.append(outcome.predicted[i])
            whole.losses.append(outcome.losses[i])
            whole.costs += outcome.costs[i : i + 1]
            used.add(was)
        whole.retrainings = len(used) - 1
        return whole
