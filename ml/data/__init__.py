"""From a source to an immutable, split snapshot.

| module | what is in it |
|---|---|
| `blocks` | Tables larger than memory: columns on disk, read one at a time or a block of rows at a time |
| `contract` | The model's contract: what a later table must be, whatever file or query it comes from |
| `ingestion` | generate: read, infer or hold against the contract, split, keep |
| `inference` | Schema inference: what the columns of a raw table are |
| `manifest` | The manifest of a snapshot: where a table came from and what it holds |
| `pickle_export` | Pickle export in the course format: one pickle with X_train, X_val, X_test, y_train, y_val, y_test |
| `production` | Labelled production rows: the newest for the gate, the others for training |
| `row_metadata` | Row metadata: what belongs to a row beside its inputs: weight, id, time |
| `snapshot` | Immutable tables: `<id>.parquet`, named by the hash of its bytes, and its manifest `<id>.json` |
| `snapshot_store` | Where snapshots lie: in `data/`, and on `storage.url` |
| `sources` | The sources of raw tables, and the readers of what people bring |
| `split` | Which row is learned from, tuned on, and judged on |
| `summary` | What was found in a table, for people |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from ml.data.snapshot import Snapshot
    from ml.schema.schema import Schema
    from ml.settings import Settings


def generate(
    settings: Settings,
    *,
    contract: Schema | None = None,
    parent: str = "",
    labelled: pd.DataFrame | None = None,
    gate_since: pd.Timestamp | None = None,
    train_on_base: bool = True,
) -> Snapshot:
    """Read, validate, split and keep the configured table; see `ml.data.ingestion.generate`."""
    from ml.data.ingestion import generate as run  # pandas: not at import

    return run(
        settings, contract=contract, parent=parent, labelled=labelled, gate_since=gate_since,
        train_on_base=train_on_base,
    )  # fmt: skip
