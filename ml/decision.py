"""How probabilities become a label: calibration (inside the graph) and threshold. Light: used by the service."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ml.schema import Schema


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The decision that was chosen on validation rows.

    `threshold` in (0, 1): the positive class is answered from this probability on (two classes); None:
    the likeliest class. `calibration` is what the graph applies already. `objective` names what the
    threshold was chosen for.
    """

    threshold: float | None = None
    calibration: dict[str, Any] = msgspec.field(default_factory=lambda: {"kind": "none"})
    objective: str = ""

    def codes(self, probabilities: npt.NDArray[Any], schema: Schema) -> npt.NDArray[np.int64]:
        """(n, C) probabilities → (n,) index of the decided class."""
        if self.threshold is None or len(schema.classes) != 2:
            return np.asarray(probabilities).argmax(axis=1).astype(np.int64)
        positive = schema.classes.index(schema.positive_label)
        return np.where(np.asarray(probabilities)[:, positive] >= self.threshold, positive, 1 - positive)
