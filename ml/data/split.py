"""Which row is learned from, tuned on, and judged on."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.errors import DataError
from ml.messages import message
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
        raise DataError(message("data.shares", test=data.test_share, validation=data.validation_share))
    groups = _groups(ids, y, report)
    by_what: Method = "time" if time is not None else "group" if groups is not None else "stratified"
    method = by_what if data.split == "auto" else data.split
    if method == "time":
        if time is None:
            raise DataError(message("data.time_split"))
        parts = _by_time(time, groups, data)
    elif method == "group" and groups is None:
        if ids is None:
            raise DataError(message("data.group_split"))
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
        report.warn(message("findings.few_ids", n=len(distinct), rows=len(groups)))
        return None
    table = pd.DataFrame({"group": groups, "y": y}).drop_duplicates()
    opposite = int(table["group"].duplicated().sum())
    report.warn(message("findings.repeated_ids", n=repeated))
    if opposite:
        report.warn(message("findings.opposite_labels", n=opposite))
    return groups.astype(np.int64)


def _stratified(y: NDArray[np.int64], data: Data) -> NDArray[np.int8]:
    from sklearn.model_selection import train_test_split  # a second to import; not every caller splits

    rows = np.arange(len(y))
    try:
        rest, test = train_test_split(rows, test_size=data.test_share, random_state=data.seed, stratify=y)
        share = data.validation_share / (1 - data.test_share)
        _, validation = train_test_split(rest, test_size=share, random_state=data.seed, stratify=y[rest])
    except ValueError as error:
        raise DataError(message("data.not_split", n=len(y), error=str(error))) from error
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
            raise DataError(message("data.empty_part", part=PARTS[part], method=method))
        if len(here) < len(present):
            counts = {"part": PARTS[part], "n": len(here), "all": len(present)}
            if part == TRAIN or len(here) < 2:
                raise DataError(message("data.part_lacks_classes", method=method, **counts))
            report.warn(message("findings.part_lacks_classes", **counts))
