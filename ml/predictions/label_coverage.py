"""Label coverage of the log: which of the answered rows have a label, by their score, and whether they are a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.predictions import packed, windows
from ml.settings import Settings
from ml.storage import database

if TYPE_CHECKING:
    from ml.exploration.label_coverage import Coverage


def coverage(
    settings: Settings, *, positive: str = "", version: str | None = None, sha256: str = "", until: float | None = None
) -> Coverage:
    """Labels by score over the newest `drift.window_rows` answers that are as old as the newest labelled one.

    Parameters
    ----------
    positive
        The class whose probability is the score; "": that of what was answered.
    version, sha256
        Only what this version answered; None and "": any.
    until
        Answers before this moment, seconds; None: no bound.
    """
    import numpy as np

    from ml.exploration import label_coverage

    engine = database.engine(settings)
    last = windows.window(engine, until=until, version=version, sha256=sha256, labelled_only=True, rows=1)
    if last.empty:
        return label_coverage.Coverage()
    newest = np.nextafter(last["time"].item(), np.inf)
    rows = windows.window(engine, until=newest, version=version, sha256=sha256, rows=settings.drift.window_rows).iloc[
        ::-1
    ]
    known = zip(rows["probabilities"], rows["inputs"], rows["probability"], strict=True)
    scores = [packed.probabilities_of(value, inputs).get(positive, answered) for value, inputs, answered in known]
    chances = rows["label_propensity"].to_numpy(np.float64)
    labelled = rows["actual"].notna().to_numpy(bool)
    return label_coverage.coverage(
        np.array(scores),
        labelled,
        rows["time"].to_numpy(np.float64),
        confidence=settings.drift.confidence,
        weighed=bool(((chances[labelled] > 0) & (chances[labelled] < 1)).any()),
    )
