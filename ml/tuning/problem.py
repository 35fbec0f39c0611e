"""The problem of one search: rows and folds as files, so that any process that sees the folder can run a trial."""

from __future__ import annotations

import hashlib
import io
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ml.schema.schema import Schema
from ml.storage.files import replacing, write_bytes

if TYPE_CHECKING:
    import pandas as pd


Kind = Literal["stratified", "time", "group"]
Rows = npt.NDArray[np.int64]
Fold = tuple[Rows, Rows]  # training rows, held-out rows


def cross_validation(
    y: npt.NDArray[np.int64], *, kind: Kind, folds: int, groups: npt.NDArray[Any] | None = None, seed: int = 0
) -> list[Fold]:
    """Cross-validation folds: stratified, grouped, or forward chaining in time.

    The number of folds is lowered to what the rarest class (or the number of groups) can fill; each
    class is in the training rows of every fold of a stratified split.

    Parameters
    ----------
    y
        (n,) class codes; for `kind="time"` of rows in time order already.
    kind
        How the snapshot was split.
    folds
        Wanted.
    groups
        (n,) for `kind="group"`: a group is in one fold only.
    seed
        Of the folds; the same for every trial of a search.
    """
    if kind == "time":
        return forward_chain(len(y), folds)
    if kind == "group" and groups is not None:
        codes = np.unique(groups.astype(str), return_inverse=True)[1]
        k = max(2, min(folds, len(np.unique(codes))))
        return _from_numbers(_group_numbers(y, codes, k, seed), k)
    k = max(2, min(folds, int(np.bincount(y)[np.bincount(y) > 0].min())))
    return _from_numbers(_stratified_numbers(y, k, seed), k)


def forward_chain(n: int, folds: int) -> list[Fold]:
    """The last 60% of the rows in `folds` blocks; each is held out once, after training on all before it."""
    edges = np.linspace(round(0.4 * n), n, folds + 1).astype(np.int64)
    return [(np.arange(a), np.arange(a, b)) for a, b in itertools.pairwise(edges) if b > a > 0]


def held_out(n_train: int, n: int) -> list[Fold]:
    """One fold: the first `n_train` rows train, the rest is held out."""
    return [(np.arange(n_train), np.arange(n_train, n))]


def thin(fold: Fold, y: npt.NDArray[np.int64], max_rows: int, seed: int) -> Fold:
    """At most `max_rows` training rows of a fold, stratified by class (at least two rows of each).

    Parameters
    ----------
    fold
        (training rows, held-out rows); the held-out rows stay.
    y
        (n,) class codes of all rows.
    max_rows
        `tune.max_rows`.
    seed
        Of the choice.
    """
    train, valid = fold
    if len(train) <= max_rows:
        return fold
    rng = np.random.default_rng(seed)
    keep = []
    for c in np.unique(y[train]):
        rows = train[y[train] == c]
        wanted = min(len(rows), max(2, round(max_rows * len(rows) / len(train))))
        keep.append(rng.choice(rows, wanted, replace=False))
    return np.sort(np.concatenate(keep)), valid


def _stratified_numbers(y: npt.NDArray[np.int64], k: int, seed: int) -> Rows:
    """A fold number a row; each class is dealt round by round in a random order."""
    order = np.random.default_rng(seed).permutation(len(y))
    by_class = order[np.argsort(y[order], kind="stable")]
    numbers = np.empty(len(y), dtype=np.int64)
    numbers[by_class] = np.arange(len(y)) % k
    return numbers


def _group_numbers(y: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], k: int, seed: int) -> Rows:
    """A fold number a row; a group is in one fold only, classes as even as groups allow."""
    from sklearn.model_selection import StratifiedGroupKFold

    numbers = np.zeros(len(y), dtype=np.int64)
    splitter = StratifiedGroupKFold(n_splits=k, shuffle=True, random_state=seed)
    for number, (_, valid) in enumerate(splitter.split(np.zeros(len(y)), y, groups)):
        numbers[valid] = number
    return numbers


def _from_numbers(numbers: Rows, k: int) -> list[Fold]:
    folds = [(np.flatnonzero(numbers != i), np.flatnonzero(numbers == i)) for i in range(k)]
    return [fold for fold in folds if len(fold[1])]


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
        with replacing(folder / "numbers.npy") as stream:
            np.save(stream, self.X[list(self.schema.numbers)].to_numpy(np.float32).T)
        buffer = io.BytesIO()
        self.X[list(self.schema.categories)].to_parquet(buffer, index=False)
        write_bytes(folder / "categories.parquet", buffer.getvalue())
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
        """Read what `save` wrote; the numbers are mapped, so that all workers of a machine share them."""
        import pandas as pd

        schema = Schema.from_json((folder / "schema.json").read_bytes())
        numbers = np.load(folder / "numbers.npy", mmap_mode="r", allow_pickle=False)
        X = pd.DataFrame(numbers.T, columns=list(schema.numbers), copy=False)
        if schema.categories:  # column by column: joined frames would be copied
            texts, place = (
                pd.read_parquet(folder / "categories.parquet"),
                dict(zip(schema.numbers, numbers, strict=True)),
            )
            names = [column.name for column in schema.columns]
            X = pd.DataFrame({name: place[name] if name in place else texts[name] for name in names}, copy=False)
        with np.load(folder / "problem.npz", allow_pickle=False) as arrays:
            n_folds = sum(name.startswith("train_") for name in arrays.files)
            return cls(
                X=X,
                y=arrays["y"],
                weight=arrays["weight"] if "weight" in arrays.files else None,
                schema=schema,
                folds=[(arrays[f"train_{k}"], arrays[f"valid_{k}"]) for k in range(n_folds)],
                device=str(arrays["device"]),
                stop_on_held_out=bool(arrays["stop"]),
            )
