"""Row metadata: what belongs to a row beside its inputs: weight, id, time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.data.inference import date_order
from ml.errors import DataError, SchemaError
from ml.messages import message
from ml.schema import arrow_cells
from ml.schema.coerce import shown
from ml.schema.frames import Table, place_of
from ml.schema.schema import Schema, identity
from ml.settings import Data

Facts = tuple[NDArray[np.float64] | None, NDArray[np.object_] | None, NDArray[Any] | None]


def read(frame: Table, schema: Schema, data: Data) -> Facts:
    """(weight, ids, time) of every row, each None where the schema names no such column.

    Parameters
    ----------
    frame
        Raw, with unique column names.

    Raises
    ------
    DataError
        A weight that is negative or missing, a time that cannot be read, a column that is absent.
    """
    for name in (*data.id_columns, schema.time_column, schema.weight_column):
        if name and name not in frame.columns:
            raise SchemaError(message("data.named_column_lacks"), file=place_of(frame).file, column=name)
    weight = weights(frame, schema) if schema.weight_column else None
    # An id that was only found, not named in the settings, may be absent from a later table.
    has_ids = schema.id_columns and all(name in frame.columns for name in schema.id_columns)
    ids = identifiers(frame, schema) if has_ids else None
    time = times(frame, schema.time_column, data) if schema.time_column else None
    return weight, ids, time


def weights(frame: Table, schema: Schema) -> NDArray[np.float64]:
    """(n_rows,) float64 ≥ 0, not all 0."""
    name = schema.weight_column
    cells, _ = arrow_cells.numbers(
        frame[name], markers=schema.missing_markers, decimal=schema.decimal, thousands=schema.thousands
    )
    wrong = ~np.isfinite(cells) | (cells < 0)
    place = place_of(frame)
    if wrong.any():
        position = int(np.argmax(wrong))
        got = shown(frame[name].iloc[position])
        raise place.error(message("data.weight", got=got, n=int(wrong.sum())), position, name)
    if not cells.any():
        raise DataError(message("data.no_weight"), file=place.file, column=name)
    return cells


def identifiers(frame: Table, schema: Schema) -> NDArray[np.object_]:
    """(n_rows,) content hashes (`identity`), as the log has them. A row without an id stands for itself."""
    joined: pa.Array = pc.binary_join_element_wise(
        *(arrow_cells.texts(frame[name], markers=schema.missing_markers) for name in schema.id_columns),
        pa.scalar("\x1f", pa.large_string()),
    )
    encoded = pc.dictionary_encode(joined)
    known = np.array([identity(text.split("\x1f")) for text in encoded.dictionary.to_pylist()], dtype=object)
    ids: NDArray[np.object_] = known[encoded.indices.to_numpy(zero_copy_only=False)]
    blank = ids == ""
    ids[blank] = [f"\x1frow {position}" for position in np.flatnonzero(blank)]
    return ids


def times(frame: Table, name: str, data: Data) -> NDArray[Any]:
    """(n_rows,) datetime64[us] in UTC, or float64 where the column holds plain numbers.

    Parameters
    ----------
    frame
        Raw.
    name
        The column with the times: numbers, or text as `data.time_format` says, else ISO 8601; without a zone it is UTC.
    """
    array = arrow_cells.flat(frame[name])
    cells, bad = arrow_cells.numbers(array, markers=data.missing_markers)
    if not bad.any() and not np.isnan(cells).any():
        return cells
    texts = array.to_pandas()
    moments = pd.to_datetime(texts, format=data.time_format or "ISO8601", utc=True, errors="coerce")
    wrong = moments.isna().to_numpy()
    order = date_order.settled(frame, [name], data).dates
    if wrong.any() and order and not data.time_format:
        days, _ = arrow_cells.days(array, order=order)
        moments = pd.Series(pd.to_datetime(days, unit="D", origin="2000-01-01", utc=True))
        wrong = moments.isna().to_numpy()
    if wrong.any():
        position, place = int(np.argmax(wrong)), place_of(frame)
        known = {"got": shown(frame[name].iloc[position]), "n": int(wrong.sum())}
        what = message("data.no_iso_time", **known)
        if data.time_format:
            what = message("data.no_time", format=data.time_format, **known)
        raise place.error(what, position, name)
    cut: NDArray[Any] = moments.dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    return cut
