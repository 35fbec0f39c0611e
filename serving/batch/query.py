"""A query as a table: its rows are fetched once, as Parquet beside the parts; a run that goes on has the same ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ml.data.sources import sql
from ml.errors import DataError
from ml.messages import message
from ml.schema.schema import Schema
from ml.settings import Settings
from ml.storage import files
from serving.batch import plan as plans


def fetched(settings: Settings, schema: Schema, folder: Path) -> Path:
    """The rows of `data.query` on `data.url` as a Parquet file in `folder`.

    Fetched where they are not there yet: asked again, a database may give other rows, or in another order.

    Raises
    ------
    DataError
        The query cannot be run, or other rows than its own were scored into the folder.
    Transient
        The database cannot be reached.
    """
    told = f"{sql.without_password(settings.data.url)}\n{settings.data.query}"
    place = folder / f"{plans.QUERY}{hashlib.sha256(told.encode()).hexdigest()[:12]}.parquet"
    if place.exists():
        return place
    if (kept := plans.recorded(folder)) is not None:
        raise plans.other_scores(folder, kept)
    for torn in folder.glob(f".{plans.QUERY}*"):
        torn.unlink()
    with sql.opened(settings) as (names, batches):
        first = next(batches, [])
        columns = list(zip(*first, strict=True)) or [()] * len(names)
        kinds = [_kind(values, name in schema.numbers) for name, values in zip(names, columns, strict=True)]
        written = pa.schema(list(zip(names, kinds, strict=True)))
        with files.replacing(place) as stream, pq.ParquetWriter(stream, written) as writer:
            rows: Sequence[Any] = first
            while rows:
                columns = list(zip(*rows, strict=True))
                writer.write_table(pa.table([_array(*one) for one in zip(columns, written, strict=True)], written))
                rows = next(batches, [])
    return place


def _kind(values: Sequence[Any], is_number: bool) -> pa.DataType:
    """What a column is written as; decided by its first rows, as a file has one type a column."""
    try:
        kind = pa.array(values).type
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):  # of more kinds than one
        return pa.string()
    types = pa.types
    is_numeric = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    if is_number and (is_numeric or types.is_null(kind)):
        return pa.float64()
    if types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    plain = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_date(kind)
    return kind if plain else pa.string()


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    if field.type == pa.string():
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    try:
        return pa.array([float(value) if isinstance(value, Decimal) else value for value in values], field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(message("files.unreadable_table", error=str(error)), column=field.name) from error
