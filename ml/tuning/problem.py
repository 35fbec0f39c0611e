"""The rows and folds of one search as files, so that any process that sees the folder can run a trial."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ml.schema.schema import Schema
from ml.storage.files import write_bytes
from ml.tuning.folds import Fold

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Problem:
    """What every trial of a search shares.

    Attributes
    ----------
    X
        (n_rows, n_columns) canonical rows of the training and validation parts; never of the test part.
    y
        (n_rows,) class codes.
    weight
        (n_rows,) sample weights, or None.
    stop_on_held_out
        Whether a fit may stop early by looking at the held-out rows: with one large validation part,
        where that costs nothing; not in cross-validation, whose small folds would flatter such families.
    """

    X: pd.DataFrame
    y: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64] | None
    schema: Schema
    folds: list[Fold]
    device: str = "cpu"
    stop_on_held_out: bool = False

    @property
    def held_out(self) -> npt.NDArray[np.int64]:
        """Row numbers of all folds' held-out rows, fold after fold."""
        return np.concatenate([valid for _, valid in self.folds])

    def digest(self) -> str:
        """SHA-256 of everything that a trial sees."""
        import pandas as pd

        digest = hashlib.sha256(self.schema.to_json())
        digest.update(pd.util.hash_pandas_object(self.X, index=False).to_numpy().tobytes())
        arrays = [self.y, *(rows for fold in self.folds for rows in fold)]
        for array in arrays if self.weight is None else [*arrays, self.weight]:
            digest.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        digest.update(f"{self.device} {self.stop_on_held_out}".encode())
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Write the problem into `folder`; `load` reads it back."""
        buffer = io.BytesIO()
        self.X.to_parquet(buffer, index=False)
        write_bytes(folder / "rows.parquet", buffer.getvalue())
        arrays = {"y": self.y, "device": np.array(self.device), "stop": np.array(self.stop_on_held_out)}
        if self.weight is not None:
            arrays["weight"] = self.weight
        for k, (train, valid) in enumerate(self.folds):
            arrays[f"train_{k}"], arrays[f"valid_{k}"] = train, valid
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        write_bytes(folder / "schema.json", self.schema.to_json())
        write_bytes(folder / "problem.npz", buffer.getvalue())

    @classmethod
    def load(cls, folder: Path) -> Problem:
        """Read what `save` wrote."""
        import pandas as pd

        with np.load(folder / "problem.npz", allow_pickle=False) as arrays:
            n_folds = sum(name.startswith("train_") for name in arrays.files)
            return cls(
                X=pd.read_parquet(folder / "rows.parquet"),
                y=arrays["y"],
                weight=arrays["weight"] if "weight" in arrays.files else None,
                schema=Schema.from_json((folder / "schema.json").read_bytes()),
                folds=[(arrays[f"train_{k}"], arrays[f"valid_{k}"]) for k in range(n_folds)],
                device=str(arrays["device"]),
                stop_on_held_out=bool(arrays["stop"]),
            )
