"""What the schema tells about each column's values: range, levels, missing share, an example."""

from __future__ import annotations

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.schema import arrow_cells
from ml.schema.cells import iso
from ml.schema.frames import Table
from ml.schema.schema import Column, Schema


def profile(schema: Schema, frame: Table, *, max_categories: int) -> Schema:
    """The schema with the profile of a canonical frame; of its training rows, so that nothing leaks.

    Parameters
    ----------
    frame
        Canonical: float32 with NaN, text with "" for missing.
    max_categories
        So many of a column's levels are kept, the most frequent.
    """
    columns = tuple(
        _number(column, frame[column.name].to_numpy())
        if column.kind != "category"
        else _category(column, arrow_cells.flat(frame[column.name]), max_categories)
        for column in schema.columns
    )
    return msgspec.structs.replace(schema, columns=columns)


def _number(column: Column, cells: NDArray[np.float32]) -> Column:
    present = cells[~np.isnan(cells)].astype(np.float64)
    missing = 1 - len(present) / max(1, len(cells))
    if not len(present):
        return msgspec.structs.replace(
            column, integer=False, minimum=None, maximum=None, example=None, missing_share=missing
        )
    integer = bool((present == np.rint(present)).all())
    middle = float(np.partition(present, len(present) // 2)[len(present) // 2])
    return msgspec.structs.replace(
        column,
        integer=integer,
        minimum=float(present.min()),
        maximum=float(present.max()),
        missing_share=missing,
        example=iso(middle) if column.kind == "date" else middle,
    )


def _category(column: Column, cells: pa.Array, max_categories: int) -> Column:
    counted = pc.value_counts(cells).to_pylist()
    counts = sorted(((e["counts"], e["values"]) for e in counted if e["values"]), key=lambda e: (-e[0], e[1]))
    levels = tuple(level for _, level in counts[:max_categories])
    return Column(
        name=column.name,
        kind="category",
        categories=levels,
        missing_share=1 - sum(count for count, _ in counts) / max(1, len(cells)),
        example=levels[0] if levels else "",
    )
