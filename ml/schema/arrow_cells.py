"""Cells to canonical values, a column at a time: float32 with NaN, or text with "".

Light (numpy and pyarrow): the service reads uploaded files with the very code that training uses.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.schema.cells import FLOAT32_LIMIT, NUMBER

_SAMPLE = 1_000
_LIKE = {" ": "[\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}]", "'": "\N{RIGHT SINGLE QUOTATION MARK}"}


def to_float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Infinities become missing, and what float32 cannot hold is clipped to ±3.4e38.

    >>> to_float32(np.array([1.5, float("inf"), -1e308])).tolist()
    [1.5, nan, -3.3999999521443642e+38]
    """
    finite = np.where(np.isinf(values), np.nan, values)
    return np.clip(finite, -FLOAT32_LIMIT, FLOAT32_LIMIT).astype(np.float32)


def flat(column: Any) -> pa.Array:
    """One contiguous Arrow array from an array, a chunked array or a pandas Series."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        # Two chunks of more than 2 GB of text stay chunked: 64-bit offsets hold them.
        if isinstance(column, pa.ChunkedArray):
            column = column.cast(pa.large_string()).combine_chunks()
    if not isinstance(column, pa.Array):
        column = _from_pandas(column)
        return flat(column)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column


def _from_pandas(series: Any) -> Any:
    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        # Mixed Python types in one column: their text is all that they have in common.
        return pa.array([None if _is_missing(cell) else str(cell) for cell in series], pa.string())


def _is_missing(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and cell != cell) or type(cell).__name__ in ("NAType", "NaTType")


def is_text(array: pa.Array) -> bool:
    """Whether the cells are text, so that markers, decimal marks and words can occur."""
    kind = array.type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_number(array: pa.Array) -> bool:
    """Whether the cells are numbers already; booleans are not: they are categories."""
    kind = array.type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def trimmed(array: pa.Array, markers: tuple[str, ...]) -> pa.Array:
    """Text without surrounding white space; empty cells and missing markers become null."""
    array = pc.utf8_trim_whitespace(array)
    wanted = pa.array({marker.strip() for marker in markers} | {""}, array.type)
    return pc.if_else(pc.is_in(array, value_set=wanted), pa.scalar(None, array.type), array)


def marked(column: Any, markers: tuple[str, ...]) -> dict[str, int]:
    """How many text cells say each of the words that stand for "no value"; blank ones are not counted.

    >>> marked(pa.array(["NA", " NA", "", "x"]), ("", "NA"))
    {'NA': 2}
    """
    array = flat(column)
    if not is_text(array):
        return {}
    array = pc.utf8_trim_whitespace(array)
    words = pa.array(sorted({marker.strip() for marker in markers} - {""}), array.type)
    said = array.filter(pc.is_in(array, value_set=words))
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(said).to_pylist()}


def numbers(
    column: Any, *, markers: tuple[str, ...] = ("",), decimal: str = ".", thousands: str = ""
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Read a column as numbers.

    Returns
    -------
    values
        (n_rows,) float64 with NaN where missing or not a number.
    bad
        (n_rows,) bool: the cell holds something, and that is not a number.
    """
    array = flat(column)
    if not is_text(array):
        return _plain_numbers(array)
    if len(array) > _SAMPLE and len(pc.unique(array.slice(0, _SAMPLE))) < _SAMPLE / 4:
        # Few different texts: read each of them once. A category column would fail to cast, slowly.
        encoded = pc.dictionary_encode(array, null_encoding="encode")
        values, bad = numbers(encoded.dictionary, markers=markers, decimal=decimal, thousands=thousands)
        indices = encoded.indices.to_numpy(zero_copy_only=False)
        return values[indices], bad[indices]
    array = trimmed(array, markers)
    if thousands or decimal != ".":
        array = _unmarked(array, decimal, thousands)
    try:
        return _to_numpy(pc.cast(array, pa.float64())), np.zeros(len(array), bool)
    except pa.ArrowInvalid:
        return _odd_numbers(array)


def _unmarked(array: pa.Array, decimal: str, thousands: str) -> pa.Array:
    """Numbers as Python writes them; a cell with a mark where it cannot stand becomes a word.

    Thousands come in groups of three, and the first does not begin with 0; a point is no decimal mark beside another.
    """
    for mark, likes in _LIKE.items():
        if thousands == mark:
            array = pc.replace_substring_regex(array, likes, mark)
    wrong = pa.repeat(pa.scalar(False), len(array))
    if decimal != "." and thousands != ".":
        wrong = pc.match_substring(array, ".")
    if thousands:
        grouped = rf"^[+-]?[1-9]\d{{0,2}}(?:{re.escape(thousands)}\d{{3}})+(?:{re.escape(decimal)}\d*)?$"
        marked = pc.match_substring(array, thousands)
        wrong = pc.or_(wrong, pc.and_not(marked, pc.match_substring_regex(array, grouped)))
        array = pc.replace_substring(array, thousands, "")
    if decimal != ".":
        array = pc.replace_substring(array, decimal, ".")
    return pc.if_else(wrong, pa.scalar("?", array.type), array) if pc.any(wrong).as_py() else array


def _plain_numbers(array: pa.Array) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    if is_number(array) or pa.types.is_boolean(array.type):
        if pa.types.is_boolean(array.type):
            array = pc.cast(array, pa.uint8())
        return _to_numpy(pc.cast(array, pa.float64(), safe=False)), np.zeros(len(array), bool)
    present = _to_numpy(array.is_valid()).astype(bool)
    return np.full(len(array), np.nan), present


def _odd_numbers(array: pa.Array) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The slow way, for columns with a word, a leading plus or an overflow somewhere."""
    good = pc.fill_null(pc.match_substring_regex(array, NUMBER), False)
    mask = _to_numpy(good).astype(bool)
    values = np.full(len(array), np.nan)
    values[mask] = np.array(array.filter(good).to_pylist(), dtype=object).astype(np.float64)
    return values, _to_numpy(array.is_valid()).astype(bool) & ~mask


def _to_numpy(array: pa.Array) -> NDArray[Any]:
    result: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return result.astype(np.float64) if result.dtype == object else result


def texts(column: Any, *, markers: tuple[str, ...] = ("",)) -> pa.Array:
    """Read a column as categories: an Arrow large_string array with "" for missing.

    Whole numbers have no decimals ("1", also where a missing cell made the column floating) and
    booleans are "True" and "False".
    """
    array = flat(column)
    if pa.types.is_boolean(array.type):
        array = pc.if_else(array, "True", "False")
    elif pa.types.is_floating(array.type):
        array = _float_texts(array)
    elif not is_text(array):
        array = (
            pa.array([None if cell is None else str(cell) for cell in array.to_pylist()], pa.string())
            if (pa.types.is_nested(array.type) or pa.types.is_binary(array.type) or pa.types.is_null(array.type))
            else pc.cast(array, pa.string())
        )
    return pc.fill_null(trimmed(pc.cast(array, pa.large_string()), markers), "")


def _float_texts(array: pa.Array) -> pa.Array:
    values = array.to_pylist()
    return pa.array(
        [
            None if value is None or value != value else str(int(value)) if value.is_integer() else repr(value)
            for value in values
        ],
        pa.string(),
    )
