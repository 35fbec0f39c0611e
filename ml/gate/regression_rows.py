"""The regression rows (golden set): held out since the first promotion and never trained on.

A challenger that is better on new rows must not have forgotten the old ones; this is what shows it. The database notes
that they were kept, and of which snapshot: where their file is not there any more they are drawn from it again, or the
run ends. A machine with an empty disk does not judge without them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from ml.errors import DataError, RefitError
from ml.messages import message
from ml.schema.schema import Schema
from ml.settings import Settings
from ml.storage import database, shared
from ml.storage.files import write_bytes, write_json

if TYPE_CHECKING:
    import pandas as pd

    from ml.data.snapshot import Part, Snapshot

MOST_ROWS = 2_000  # of the first champion's test part; our choice: every later gate scores them twice
LABEL = "__refit_actual"
HASHED_ROWS = 100_000  # at once: hashing needs several times their memory
# More equal rows than this share are no memory of the regression rows: the table repeats itself (few, coarse columns).
MOST_EQUAL = 0.5

Hashes = npt.NDArray[np.uint64]

kept = sa.Table(
    "regression_rows",
    database.metadata,
    sa.Column("key", sa.Text, primary_key=True),  # of a model and a contract
    sa.Column("snapshot", sa.Text, nullable=False),  # that they were drawn from
    sa.Column("digest", sa.Text, nullable=False),  # of the rows' hashes
    sa.Column("kept_at", sa.Float, nullable=False),
)


class RegressionRowsLost(DataError):
    """Raised when rows were kept for a contract, and neither they nor the snapshot they came from can be read."""


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
    labels = np.asarray(schema.classes, dtype=object).astype(str)
    hashes = np.empty(len(y), np.uint64)
    for start in range(0, len(y), HASHED_ROWS):
        rows = slice(start, start + HASHED_ROWS)
        frame = X.iloc[rows][columns].assign(__refit_label=labels[y[rows]])
        hashes[rows] = pd.util.hash_pandas_object(frame, index=False)
    return hashes


def load(settings: Settings, schema: Schema) -> tuple[pd.DataFrame, npt.NDArray[np.int64]] | None:
    """The regression rows and their codes in a schema; None where none of its contract were ever kept.

    Raises
    ------
    RegressionRowsLost
        They were kept, and are neither on this machine nor in the storage nor in their snapshot any more.
    """
    import pandas as pd

    from ml.schema.frame_coerce import canonical

    file = _file(settings, schema)
    if not (_is_here(settings, file) or _drawn_again(settings, file)):
        return None
    raw = pd.read_parquet(file)
    codes = {label: code for code, label in enumerate(schema.classes)}
    raw = raw[raw[LABEL].isin(codes)]
    X, _ = canonical(raw.drop(columns=LABEL).reset_index(drop=True), schema.of_canonical_rows)
    return X, np.asarray(raw[LABEL].map(codes), dtype=np.int64)


def keep(settings: Settings, snapshot: Snapshot) -> bool:
    """Keep rows of the test part as the regression rows, unless there are some; True when they were kept now."""
    file = _file(settings, snapshot.schema)
    if _is_here(settings, file) or _drawn_again(settings, file):
        if _noted(settings, file) is None:
            _note_found(settings, file, snapshot.schema)
        return False
    _write(settings, file, snapshot)
    _note(settings, file, snapshot.id, _digest(*_of(snapshot), snapshot.schema))
    return True


def drawn_from(settings: Settings) -> set[str]:
    """Ids of the snapshots that regression rows were drawn from, and can be drawn from again."""
    with database.unavailable_as_transient(), database.engine(settings).connect() as connection:
        return set(connection.execute(sa.select(kept.c.snapshot)).scalars())


def _is_here(settings: Settings, file: Path) -> bool:
    """Whether the file is on this machine: by now, where it is in the storage that machines share."""
    store = shared.of(settings)
    if store is None or store.fetch(_set(file)):
        return file.exists()
    if file.exists():  # from before there was a storage
        store.put(_set(file), [file, file.with_suffix(".json")])
    return file.exists()


def _drawn_again(settings: Settings, file: Path) -> bool:
    """Rows whose file is lost, drawn from their snapshot once more; False where none were ever kept."""
    from ml.data import snapshot

    noted = _noted(settings, file)
    if noted is None or settings.gate.regression_rows == "renew":
        return False
    try:
        drawn_from = snapshot.open(settings, noted.snapshot)
        digest = _digest(*_of(drawn_from), drawn_from.schema)
    except RefitError as error:
        lost = message("gate.regression_rows_lost", file=str(file), snapshot=noted.snapshot, error=error.explanation)
        raise RegressionRowsLost(lost) from error
    if digest != noted.digest:
        other = message("gate.other_rows")
        lost = message("gate.regression_rows_lost", file=str(file), snapshot=noted.snapshot, error=other)
        raise RegressionRowsLost(lost)
    _write(settings, file, drawn_from)
    return True


def _noted(settings: Settings, file: Path) -> Any:
    query = sa.select(kept).where(kept.c.key == file.stem)
    with database.unavailable_as_transient(), database.engine(settings).connect() as connection:
        return connection.execute(query).one_or_none()


def _note(settings: Settings, file: Path, snapshot: str, digest: str) -> None:
    """Last, as the rows are there: a run that is killed before does it again."""
    engine = database.engine(settings)
    row = {"snapshot": snapshot, "digest": digest, "kept_at": time.time()}
    insert = database.insert(kept, engine.dialect.name).values(key=file.stem, **row)
    with database.unavailable_as_transient(), engine.begin() as connection:
        connection.execute(insert.on_conflict_do_update(index_elements=["key"], set_=row))


def _note_found(settings: Settings, file: Path, schema: Schema) -> None:
    """Rows of a version of Refit that did not note them, where they say what they were drawn from."""
    rows = load(settings, schema)
    with contextlib.suppress(OSError, msgspec.DecodeError, KeyError):
        drawn_from = msgspec.json.decode(file.with_suffix(".json").read_bytes())["snapshot"]
        if rows is not None:
            _note(settings, file, str(drawn_from), _digest(*rows, schema))


def _digest(X: pd.DataFrame, y: npt.NDArray[np.int64], schema: Schema) -> str:
    return hashlib.sha256(row_hashes(X, y, schema).tobytes()).hexdigest()


def _write(settings: Settings, file: Path, snapshot: Snapshot) -> None:
    X, y = _of(snapshot)
    frame = X.assign(**{LABEL: np.asarray(snapshot.schema.classes, dtype=object)[y]})
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_bytes(file, buffer.getvalue())
    write_json(file.with_suffix(".json"), {"snapshot": snapshot.id, "rows": len(frame)})
    if (store := shared.of(settings)) is not None:
        store.put(_set(file), [file, file.with_suffix(".json")])


def _set(file: Path) -> str:
    return f"golden/{file.stem}"


def _of(snapshot: Snapshot) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    """The rows of the test part that are kept, and their codes."""
    part = snapshot.sample("test", MOST_ROWS)
    return part.X, part.y


def reserved(settings: Settings, snapshot: Snapshot) -> Hashes:
    """Hashes of the regression rows of a snapshot's contract, or of those that it would give, where there are none."""
    rows = load(settings, snapshot.schema)
    return np.unique(row_hashes(*(rows or _of(snapshot)), snapshot.schema))


class SnapshotWithoutHoldout:
    """A snapshot as it is trained and tuned on: without the regression rows, and a sample of a very large table.

    Of more than `train.max_rows` rows of "train" or "validation", so many are drawn at random, the same for every fit.
    """

    def __init__(self, snapshot: Snapshot, settings: Settings) -> None:
        self._snapshot = snapshot
        self.schema, self.manifest, self.path = snapshot.schema, snapshot.manifest, snapshot.path
        rows = load(settings, snapshot.schema)
        self._hashes = np.empty(0, np.uint64) if rows is None else np.unique(row_hashes(*rows, snapshot.schema))
        digest = hashlib.sha256(self._hashes.tobytes()).hexdigest()[:8] if len(self._hashes) else ""
        self.id = f"{snapshot.id}{'-' if digest else ''}{digest}"
        self._most, self._seed = settings.train.max_rows, settings.train.seed
        self.left_out = 0

    def part(self, name: str) -> Part:
        """As `Snapshot.part`; regression rows are left out of "train" and "validation"."""
        if name not in ("train", "validation"):
            return self._snapshot.part(name)
        part = self._snapshot.sample(name, self._most, self._seed)
        if not len(self._hashes):
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
