"""From a source to an immutable, split snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from ml.data.snapshot import Snapshot
    from ml.settings import Settings


def generate(
    settings: Settings,
    *,
    labelled: pd.DataFrame | None = None,
    gate_since: pd.Timestamp | None = None,
    train_on_base: bool = True,
) -> Snapshot:
    """Read, validate, split and keep the configured table; see `ml.data.generation.generate`."""
    from ml.data.generation import generate as run  # pandas: not at import

    return run(settings, labelled=labelled, gate_since=gate_since, train_on_base=train_on_base)
