"""The regression rows (golden set): held out since the first promotion and never trained on.

A challenger that is better on new rows must not have forgotten the old ones; this is what shows it.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ml.schema.schema import Schema
from ml.settings import Settings
from ml.storage.files import write_bytes, write_json

if TYPE_CHECKING:
    import pandas as pd

    from ml.data.snapshot import Part, Snapshot

MOST_ROWS = 2_000  # of the first champion's test part; our choice: every later gate scores them twice
LABEL = "__refit_actual"
# More equal rows than this share are no memory of the regression rows: the table repeats itself (few, coarse columns).
MOST_EQUAL = 0.5

Hashes = npt.NDArray[np.uint64]


def row_hashes(X: pd.DataFrame, y: npt.NDArray[np.int64], schema: Schema) -> Hashes:
    """(n,) uint64, equal for rows of equal inputs and label.

    Parameters
    ----------
    X
        (n, columns) canonical; columns that are not the schema's do not count.
    y
        (n,) codes in the order of the schema's classes.
    """
    import pandas as pd

    columns = [c.name for c in schema.columns]
    frame = X[columns].copy()
    frame["__refit_label"] = np.asarray(schema.classes, dtype=object)[y].astype(str)
    return np.asarray(pd.util.hash_pandas_object(frame, index=False), dtype=np.uint64)


def load(settings: Settings, schema: Schema) -> tuple[pd.DataFrame, npt.NDArray[np.int64]] | None:
    """The regression rows and their codes in a schema; None where there are none of its contract."""
    import pandas as pd

    from ml.schema.frame_coerce import canonical

    file = _file(settings, schema)
    if not file.exists():
        return None
    raw = pd.read_parquet(file)
    codes = {label: code for code, label in enumerate(schema.classes)}
    raw = raw[raw[LABEL].isin(codes)]
    X, _ = canonical(raw.drop(columns=LABEL).reset_index(drop=True), schema.of_canonical_rows)
    return X, np.asarray(raw[LABEL].map(codes), dtype=np.int64)


def keep(settings: Settings, snapshot: Snapshot) -> bool:
    """Keep rows of the test part as the regression rows, unless there are some; True when they were kept now."""
    file = _file(settings, snapshot.schema)
    if file.exists():
        return False
    part = snapshot.part("test")
    chosen = _chosen(len(part.y))
    frame = part.X.iloc[chosen].reset_index(drop=True)
    frame[LABEL] = np.asarray(snapshot.schema.classes, dtype=object)[part.y[chosen]]
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_bytes(file, buffer.getvalue())
    write_json(file.with_suffix(".json"), {"snapshot": snapshot.id, "rows": len(frame)})
    return True


def _chosen(n: int) -> npt.NDArray[np.int64]:
    """Which of n test rows are kept."""
    return np.arange(n) if n <= MOST_ROWS else np.sort(np.random.default_rng(0).choice(n, MOST_ROWS, replace=False))


def reserved(settings: Settings, snapshot: Snapshot) -> Hashes:
    """Hashes of the regression rows of a snapshot's contract, or of those that it would give, where there are none."""
    rows = load(settings, snapshot.schema)
    if rows is None:
        part = snapshot.part("test")
        chosen = _chosen(len(part.y))
        rows = part.X.iloc[chosen], part.y[chosen]
    return np.unique(row_hashes(*rows, snapshot.schema))


class SnapshotWithoutHoldout:
    """A snapshot without the regression rows in what is trained and tuned on; otherwise the snapshot itself."""

    def __init__(self, snapshot: Snapshot, settings: Settings) -> None:
        self._snapshot = snapshot
        self.schema, self.manifest, self.path = snapshot.schema, snapshot.manifest, snapshot.path
        rows = load(settings, snapshot.schema)
        self._hashes = np.empty(0, np.uint64) if rows is None else np.unique(row_hashes(*rows, snapshot.schema))
        digest = hashlib.sha256(self._hashes.tobytes()).hexdigest()[:8] if len(self._hashes) else ""
        self.id = f"{snapshot.id}{'-' if digest else ''}{digest}"
        self.left_out = 0

    def part(self, name: str) -> Part:
        """As `Snapshot.part`; regression rows are left out of "train" and "validation"."""
        part = self._snapshot.part(name)
        if name not in ("train", "validation") or not len(self._hashes):
            return part
        equal = np.isin(row_hashes(part.X, part.y, self.schema), self._hashes)
        if not equal.any() or equal.mean() > MOST_EQUAL:
            return part
        self.left_out += int(equal.sum())
        return rows_of_part(part, ~equal)


def rows_of_part(part: Part, mask: npt.NDArray[np.bool_]) -> Part:
    """The rows (n,) of a part that a mask has."""
    return type(part)(*(_kept(values, mask) for values in part))


def _kept(values: Any, mask: npt.NDArray[np.bool_]) -> Any:
    if values is None:
        return None
    return values[mask].reset_index(drop=True) if hasattr(values, "reset_index") else values[mask]


def _file(settings: Settings, schema: Schema) -> Path:
    """One set a model and contract: another target, other columns or classes are another problem."""
    key = hashlib.sha256(f"{settings.registry.model_name}\0{schema.contract_id}".encode()).hexdigest()[:12]
    return settings.var / "golden" / f"{key}.parquet"
