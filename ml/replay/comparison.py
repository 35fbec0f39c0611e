"""One replay from the settings: the loop and its alternatives over the configured table."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.data import generate
from ml.errors import DataError
from ml.messages import message
from ml.replay import history, on_cluster, report, strategies
from ml.replay.loop import FIRST, OFF, Outcome, Stream, fit, refit
from ml.settings import Settings, to_values

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[str, int, int, str], None]  # stage, done, total, note
LEAST_ROWS = 100  # of a window: fewer say nothing of a model
OF_THE_SOURCE = ("delimiter", "encoding", "url", "query")  # of `data`: the rows are at hand, and an address is a secret
HERE = {"engine": "processes", "engine_address": ""}  # where what is played is done: a worker asks no other


def run(settings: Settings, *, label_delay: str, n_windows: int, progress: Progress = lambda *_: None) -> report.Replay:
    """Play the configured table.

    Parameters
    ----------
    settings
        With a table whose rows have moments (`data.time_column`) and labels; its gate, drift rule, families and costs
        are those of the replay. Its home is neither read nor written. Where `tune.engine` is dask, it is played there.
    label_delay
        How long after its row a label comes: `30d`, or a number where the moments are numbers.
    n_windows
        Of nearly equal size; the model is first made from the oldest three.

    Raises
    ------
    DataError, SettingsError
        The table cannot be read, has no such columns or too few rows, or the delay is of another kind.
    EngineUnavailable
        The cluster cannot be reached, was lost, or ended its workers.
    """
    past = history.read(settings)
    frame, moments = _labelled(past, settings)
    if len(frame) < LEAST_ROWS * n_windows:
        few = message("replay.too_few_rows", n=len(frame), windows=n_windows, least=LEAST_ROWS)
        raise DataError(few, file=settings.data.path)
    edges = history.bounds(len(frame), n_windows)
    arrives = history.arrivals(moments, edges, history.delay(label_delay, moments))
    values = to_values(settings)
    setup = on_cluster.Setup(
        n_windows=n_windows,
        arrives=arrives,
        data={key: value for key, value in values["data"].items() if key not in OF_THE_SOURCE},
        families=list(settings.train.families),
        values={
            **{name: values[name] for name in ("gate", "retrain")},
            "drift": {**values["drift"], **OFF},
            "tune": {**values["tune"], **HERE},
        },
    )
    with tempfile.TemporaryDirectory() as home:
        stream = setup.stream(frame, Path(home))
        if settings.tune.engine == "dask":
            outcomes = on_cluster.outcomes(
                settings.tune.engine_address, frame, setup,
                done=lambda done, total: progress("cluster", done, total, ""),
            )  # fmt: skip
        else:
            outcomes = _outcomes(stream, progress)
    ends = _shown(moments[edges[FIRST + 1 :] - 1])
    return report.Replay(
        table=Path(settings.data.path).name,
        rows=len(frame),
        first_rows=int(edges[FIRST]),
        unlabelled=len(past.frame) - len(frame),
        windows=ends,
        delay=label_delay,
        families=list(settings.train.families),
        strategies=[_strategy(name, outcome, stream) for name, outcome in outcomes.items()],
        decisions=[
            report.Decision(
                window=step.window - FIRST, until=ends[step.window - FIRST], verdict=step.verdict,
                sentence=step.sentence, promoted=step.promoted,
            )
            for step in outcomes[report.LOOP].steps
        ],
    )  # fmt: skip


def _labelled(past: history.History, settings: Settings) -> tuple[pd.DataFrame, Any]:
    """The rows that have a label, with every cell as a CSV file would have it, and their moments."""
    import pandas as pd

    text = io.StringIO(past.frame.to_csv(index=False))
    markers = list(settings.data.missing_markers)
    frame = pd.read_csv(text, dtype=object, keep_default_na=False, na_values=markers)
    known = frame[settings.data.target].notna().to_numpy()
    return frame[known].reset_index(drop=True), past.moments[known]


def _outcomes(stream: Stream, progress: Progress) -> dict[str, Outcome]:
    scored = len(stream.windows) - FIRST

    def say(stage: str) -> Callable[[int], None]:
        return lambda done: progress(stage, done, scored, "")

    first = fit(stream.settings, generate(stream.settings), "1")
    loop = refit(stream, first, say("loop"))
    every = strategies.always(stream, first, done=say("every"))
    due = strategies.schedule(scored, loop.retrainings)
    return {
        report.NEVER: strategies.follow(stream, [first] * scored),
        report.SCHEDULE: strategies.follow(stream, strategies.on_schedule(every, due)),
        report.EVERY: strategies.follow(stream, every),
        report.LOOP: loop,
    }


def _strategy(name: str, outcome: Outcome, stream: Stream) -> report.Strategy:
    windows = range(FIRST, len(stream.windows))
    right = [answered == stream.labels(window) for answered, window in zip(outcome.predicted, windows, strict=True)]
    return report.Strategy(
        name=name,
        retrainings=outcome.retrainings,
        accuracy=float(np.concatenate(right).mean()),
        log_loss=float(np.concatenate(outcome.losses).mean()),
        cost=sum(outcome.costs) if outcome.costs else None,
        accuracy_by_window=[float(part.mean()) for part in right],
        log_loss_by_window=[float(part.mean()) for part in outcome.losses],
        cost_by_window=list(outcome.costs) or None,
    )


def _shown(moments: Any) -> list[str]:
    """Days, and minutes where two ends fall on one day."""
    if moments.dtype.kind != "M":
        return [f"{moment:g}" for moment in moments]
    days = moments.astype("datetime64[D]")
    ends = days if len(set(days)) == len(days) else moments.astype("datetime64[m]")
    return [str(end).replace("T", " ") for end in ends]
