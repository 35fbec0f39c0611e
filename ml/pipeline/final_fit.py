"""The final fit: what is served is the recipe that was judged, with the rows that judged it.

The newest rows, which tell most of the world as it is, are held out for the gate. Once it has passed, the recipe is
fitted again on all rows, those of the gate included, and those of the test part where the source is learnt from. Its
figures stay those of the judged fit, which is the last that can be measured on rows that it has not seen, and so does
the reference of drift: scores on rows of its own training would be too good, and what comes after them look like a
fall. The fixed regression rows stay outside, so that a later gate can ask what was forgotten, and has unseen rows where
no new labels came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ml.bundle.reader import Bundle
from ml.evaluation.bounds import bound
from ml.evaluation.metrics import GATE_FLOOR, log_losses
from ml.gate import evidence, regression_rows
from ml.gate.evidence import Rows
from ml.gate.regression_rows import SnapshotWithoutHoldout
from ml.messages import Message, message
from ml.settings import Settings

if TYPE_CHECKING:
    from ml.data.snapshot import Part, Snapshot
    from ml.schema.schema import Schema


class AllRows:
    """A view of a snapshot for the final fit: "train" has the rows of the other parts too, but for "validation"."""

    def __init__(self, snapshot: Snapshot, settings: Settings) -> None:
        self.schema: Schema = snapshot.schema
        self._view = SnapshotWithoutHoldout(snapshot, settings)
        kept = regression_rows.reserved(settings, snapshot)
        # Where labelled rows alone are trained on, the source is of a world that has passed, and so is its test part.
        parts = snapshot.manifest.parts
        of_source = parts["train"] > snapshot.manifest.labelled.train
        more = [snapshot.part("recent")]
        if of_source:  # no more of the test part than is read of the training part
            share = min(1.0, settings.train.max_rows / parts["train"])
            more.insert(0, snapshot.sample("test", round(share * parts["test"])))
        self._more = [part for part in (_without(part, kept, self.schema) for part in more) if len(part.y)]
        self.added = sum(len(part.y) for part in self._more)

    def part(self, name: str) -> Part:
        """As `Snapshot.part`."""
        part = self._view.part(name)
        return _together([part, *self._more]) if name == "train" else part

    def hashes(self, fitted: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Those of the rows of the judged fit, and of these: on none of them may this version be judged."""
        rows = [regression_rows.row_hashes(part.X, part.y, self.schema) for part in self._more]
        return np.concatenate([fitted, *rows])

    def ids(self) -> npt.NDArray[np.object_]:
        """Whom the added rows are about; empty where nobody is named."""
        return np.concatenate([part.ids for part in self._more if part.ids is not None] or [np.empty(0, object)])


def _without(part: Part, kept: npt.NDArray[np.uint64], schema: Schema) -> Part:
    """Without the regression rows, and without others of whom they are about."""
    if not len(part.y):
        return part
    out = np.isin(regression_rows.row_hashes(part.X, part.y, schema), kept)
    if part.ids is not None:
        about = evidence.id_hashes(part.ids)
        out |= np.isin(about, np.setdiff1d(about[out], [0]))
    return regression_rows.rows_of_part(part, ~out)


def _together(parts: list[Part]) -> Part:
    import pandas as pd

    X = pd.concat([part.X for part in parts], ignore_index=True)
    rest: list[Any] = []
    for values in list(zip(*parts, strict=True))[1:]:
        rest.append(None if any(value is None for value in values) else np.concatenate(values))
    return type(parts[0])(X, *rest)


def objection(settings: Settings, rows: Rows, judged: Bundle, final: Bundle, *, seed: int) -> Message | None:
    """Why the judged fit is served after all; None where the final one may be.

    On the judged rows, which it has learnt by now, the final fit may not be significantly worse; on the regression
    rows, which neither has seen, not by more than `gate.golden_margin`.
    """
    problem = evidence.servability(final).problem
    if problem:
        return message("gate.final_fit_not_servable", reason=problem)
    gain = log_losses(evidence.predict(judged, rows.X), rows.y, GATE_FLOOR)
    gain -= log_losses(evidence.predict(final, rows.X), rows.y, GATE_FLOOR)
    weight = np.ones(len(rows)) if rows.weight is None else rows.weight
    for name, margin in (("recent", 0.0), ("regression", settings.gate.golden_margin)):
        mask = rows.parts[name] if name in rows.parts else np.zeros(len(rows), bool)
        part = gain[mask]
        if not len(part):
            continue
        gate = settings.gate
        found = bound(
            part, confidence=gate.confidence, n_bootstrap=gate.n_bootstrap, seed=seed, weight=weight[mask]
        )  # fmt: skip
        if found.upper < -margin:
            return message("gate.final_fit_worse", n=found.rows, loss=-found.mean)
    return None
