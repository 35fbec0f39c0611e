"""Which row is learned from, tuned on, and judged on."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.errors import DataError
from ml.schema.findings import Report
from ml.settings import Data

Method = Literal["stratified", "time", "group"]
PARTS = ("train", "validation", "test", "recent")
TRAIN, VALIDATION, TEST, RECENT = range(4)

# Fewer different ids than this name no individuals, and could not be dealt to three parts.
_MIN_GROUPS = 10


def assign(
    y: NDArray[np.int64],
    data: Data,
    report: Report,
    *,
    ids: Sequence[Hashable] | NDArray[np.object_] | None = None,
    time: NDArray[np.generic] | None = None,
) -> tuple[NDArray[np.int8], Method]:
    """Deal the rows to train, validation and test; the same input and seed give the same parts.

    Parameters
    ----------
    y
        (n_rows,) int64 class codes.
    ids
        (n_rows,) what a row is about; rows of one id always share a part.
    time
        (n_rows,) sortable; the newest rows become the test part, the next newest validation.

    Returns
    -------
    parts
        (n_rows,) int8, an index into `PARTS`.
    method
        "stratified", "time" or "group".

    Raises
    ------
    DataError
        Shares that leave a part empty, or a training part without one of the classes.
    """
    if data.test_share <= 0 or data.validation_share <= 0 or data.test_share + data.validation_share >= 1:
        raise DataError(
            f"data.test_share {data.test_share:g} and data.validation_share {data.validation_share:g} must be above 0 "
            "and leave something to train on"
        )
    groups = _groups(ids, y, report)
    by_what: Method = "time" if time is not None else "group" if groups is not None else "stratified"
    method = by_what if data.split == "auto" else data.split
    if method == "time":
        if time is None:
            raise DataError('data.split = "time" needs data.time_column')
        parts = _by_time(time, groups, data)
    elif method == "group" and groups is None:
        if ids is None:
            raise DataError('data.split = "group" needs data.id_columns')
        parts = _stratified(y, data)
    else:
        parts = _stratified(y, data) if groups is None else _by_group(y, groups, data)
    _check(parts, y, method, report)
    return parts, method


def _groups(
    ids: Sequence[Hashable] | NDArray[np.object_] | None, y: NDArray[np.int64], report: Report
) -> NDArray[np.int64] | None:
    """Group numbers, or None where every row stands alone."""
    if ids is None:
        return None
    groups, distinct = pd.factorize(np.asarray(ids, dtype=object))
    repeated = len(groups) - len(distinct)
    if not repeated:
        return None
    if len(distinct) < _MIN_GROUPS:
        report.warn(
            f"only {len(distinct)} different ids in {len(groups):,} rows: they are not used to keep rows together"
        )
        return None
    table = pd.DataFrame({"group": groups, "y": y}).drop_duplicates()
    opposite = int(table["group"].duplicated().sum())
    report.warn(f"{repeated:,} rows repeat an id that came before; rows of one id stay in one part")
    if opposite:
        report.warn(f"{opposite:,} ids come with more than one label: which one is right?")
    return groups.astype(np.int64)


def _stratified(y: NDArray[np.int64], data: Data) -> NDArray[np.int8]:
    from sklearn.model_selection import train_test_split  # a second to import; not every caller splits

    rows = np.arange(len(y))
    try:
        rest, test = train_test_split(rows, test_size=data.test_share, random_state=data.seed, stratify=y)
        share = data.validation_share / (1 - data.test_share)
        _, validation = train_test_split(rest, test_size=share, random_state=data.seed, stratify=y[rest])
    except ValueError as error:
        raise DataError(f"{len(y):,} rows cannot be split with these shares: {error}") from error
    parts = np.full(len(y), TRAIN, dtype=np.int8)
    parts[validation], parts[test] = VALIDATION, TEST
    return parts


def _by_group(y: NDArray[np.int64], groups: NDArray[np.int64], data: Data) -> NDArray[np.int8]:
    """Stratified over groups, each counted with its first label."""
    _, first = np.unique(groups, return_index=True)
    label = y[first]
    if np.bincount(label).min(initial=len(label), where=np.bincount(label) > 0) < 3:
        label = np.zeros_like(label)
    return _stratified(label, data)[groups]


def _by_time(time: NDArray[np.generic], groups: NDArray[np.int64] | None, data: Data) -> NDArray[np.int8]:
    """Oldest to train, newest to test. A group counts as old as its newest row, so that no group is
    cut and no training row is newer than the cut."""
    ages = pd.Series(time)
    newest = ages if groups is None else ages.groupby(groups).transform("max")
    ranked = np.sort(newest.to_numpy())
    rows = len(ranked)
    # Rows of one moment are never parted: the cut moves to where the clock moves.
    first_test = ranked[min(rows - 1, round(rows * (1 - data.test_share)))]
    first_validation = ranked[min(rows - 1, round(rows * (1 - data.test_share - data.validation_share)))]
    values = newest.to_numpy()
    parts = np.full(rows, TRAIN, dtype=np.int8)
    parts[values >= first_validation] = VALIDATION
    parts[values >= first_test] = TEST
    return parts


def _check(parts: NDArray[np.int8], y: NDArray[np.int64], method: str, report: Report) -> None:
    present = np.unique(y)
    for part in (TRAIN, VALIDATION, TEST):
        here = np.unique(y[parts == part])
        if not len(here):
            raise DataError(f"the {PARTS[part]} part of a split by {method} is empty; change the shares or data.split")
        if len(here) < len(present):
            if part == TRAIN or len(here) < 2:
                raise DataError(
                    f"the {PARTS[part]} part of a split by {method} has {len(here)} of {len(present)} classes; "
                    'bring more rows, or set data.split = "stratified"'
                )
            report.warn(f"the {PARTS[part]} part has {len(here)} of {len(present)} classes")
