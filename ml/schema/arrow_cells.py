"""Cells to canonical values, a column at a time: float32 with NaN, or text with "".

Light (numpy and pyarrow): the service reads uploaded files with the very code that training uses.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.schema import cells
from ml.schema.cells import FLOAT32_LIMIT

_ORIGIN_DAYS = 10_957  # 2000-01-01, of the days of Unix
_SPACE, _DELETE = 32, 127  # ASCII: white space is no larger than the one, and other scripts lie beyond the other
_SLICE = 250_000  # cells of a long column read at once, so that what is made on the way stays small; our choice
_SAMPLE = 1_000  # cells by which it is decided whether distinct ones are worth finding first; our choice

Numbers = tuple[NDArray[np.float64], NDArray[np.bool_]]  # (n_rows,): values, NaN for none; which cells are words


def to_float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Infinities become missing, and what float32 cannot hold is clipped to ±3.4e38.

    >>> to_float32(np.array([1.5, float("inf"), -1e308])).tolist()
    [1.5, nan, -3.3999999521443642e+38]
    """
    if beyond_float32(values) == (0, 0):
        return values.astype(np.float32)
    finite = np.where(np.isinf(values), np.nan, values)
    return np.clip(finite, -FLOAT32_LIMIT, FLOAT32_LIMIT).astype(np.float32)


def beyond_float32(values: NDArray[np.float64]) -> tuple[int, int]:
    """How many of the values are infinite, and how many (those among them) are beyond ±3.4e38.

    >>> beyond_float32(np.array([1.5, float("nan"), float("inf"), -1e308]))
    (1, 2)
    """
    # Two looks without an array of their own tell of nearly all columns that nothing is.
    highest, lowest = (float(end.reduce(values, initial=np.nan)) for end in (np.fmax, np.fmin))
    if not (highest > FLOAT32_LIMIT or lowest < -FLOAT32_LIMIT):
        return 0, 0
    return int(np.isinf(values).sum()), int((np.abs(values) > FLOAT32_LIMIT).sum())


def flat(column: Any) -> pa.Array:
    """One contiguous Arrow array from an array, a chunked array, a pandas Series or a sequence of cells."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        # Two chunks of more than 2 GB of text stay chunked: 64-bit offsets hold them.
        if isinstance(column, pa.ChunkedArray):
            column = column.cast(pa.large_string()).combine_chunks()
    if not isinstance(column, pa.Array):
        column = _from_cells(column)
        return flat(column)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return pc.cast(column, pa.large_string()) if pa.types.is_string_view(column.type) else column


def _from_cells(cells: Any) -> Any:
    with contextlib.suppress(pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        array = pa.array(cells, from_pandas=True)
        if not isinstance(array.type, pa.BaseExtensionType):
            return array
    # Mixed Python types in one column, or none that has an order: their text is all that they have in common.
    return pa.array([None if _is_missing(cell) else str(cell) for cell in cells], pa.string())


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


def _trimmed(array: pa.Array, markers: frozenset[str]) -> pa.Array:
    """Text without surrounding white space; empty cells and missing markers become null."""
    array = trimmed(array)
    wanted = pa.array(markers, array.type)
    return pc.if_else(pc.is_in(array, value_set=wanted), pa.scalar(None, array.type), array)


def trimmed(array: pa.Array) -> pa.Array:
    """Text without surrounding white space; itself where no byte of it could be any, which costs a fortieth to see.

    >>> trimmed(pa.array([" a", "b"])).to_pylist()
    ['a', 'b']
    """
    low, high = byte_range(array)
    return array if low > _SPACE and high < _DELETE else pc.utf8_trim_whitespace(array)


def byte_range(array: pa.Array) -> tuple[int, int]:
    """The least and the largest byte of a text array's content; those of an "a" where it has none."""
    signs = content(array)
    return (int(signs.min()), int(signs.max())) if len(signs) else (ord("a"), ord("a"))


def content(array: pa.Array) -> NDArray[np.uint8]:
    """The bytes of a text array's cells: of a slice those of its own alone.

    >>> bytes(content(pa.array(["a", None, "bc", "d"]).slice(1, 2)))
    b'bc'
    """
    return spans(array)[0]


def spans(array: pa.Array) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """The bytes of a text array's cells, one behind the other, and (n + 1,) where each cell begins, and the last ends.

    >>> spans(pa.array(["a", None, "bc", "d"]).slice(1, 3))[1].tolist()
    [0, 0, 2, 3]
    """
    _, offsets, signs = array.buffers()
    if signs is None or not len(array):
        return np.empty(0, np.uint8), np.zeros(len(array) + 1, np.int64)
    kind = np.dtype(np.int32 if pa.types.is_string(array.type) else np.int64)
    ends = np.frombuffer(offsets, kind, len(array) + 1, array.offset * kind.itemsize)
    first, last = int(ends[0]), int(ends[-1])
    return np.frombuffer(signs, np.uint8, last - first, first), ends - first if first else ends


def marked(column: Any, markers: tuple[str, ...]) -> dict[str, int]:
    """How many text cells say each of the words that stand for "no value"; blank ones are not counted.

    >>> marked(pa.array(["NA", " NA", "", "x"]), ("", "NA"))
    {'NA': 2}
    """
    array = flat(column)
    if not is_text(array):
        return {}
    array = trimmed(array)
    words = pa.array(sorted({cells.spelled(marker) for marker in markers} - {""}), array.type)
    marked_cells = array.filter(pc.is_in(array, value_set=words))
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(marked_cells).to_pylist()}


def numbers(
    column: Any, *, markers: tuple[str, ...] = ("",), decimal: str = ".", thousands: str = "", unit: str = ""
) -> Numbers:
    """Read a column as numbers.

    Parameters
    ----------
    column
        A pandas series, an Arrow array or a chunked one, of text or of numbers.
    markers
        Texts that say "missing".
    decimal, thousands
        The signs in use; "" is no sign.
    unit
        What stands behind each number.

    Returns
    -------
    values
        (n_rows,) float64 with NaN where missing or not a number.
    bad
        (n_rows,) bool: the cell holds something, and that is not a number.
    """
    array = flat(column)
    if unit and is_text(array):
        array = pc.replace_substring_regex(array, rf"\s*{re.escape(unit)}\s*$", "")
    words = frozenset(map(cells.spelled, markers)) | {""}
    values, bad = _text_slices(array, words, decimal, thousands) if is_text(array) else _plain_numbers(array)
    if missing := cells.missing_numbers(words):
        values = np.where(np.isin(values, list(missing)), np.nan, values)
    return values, bad


def days(column: Any, *, markers: tuple[str, ...] = ("",), order: str = "") -> Numbers:
    """Read a column as dates: days since 2000-01-01 (UTC), and which cells are none; as `numbers`.

    Parameters
    ----------
    column
        Arrow, pandas or a sequence of cells, (n_rows,).
    markers
        Texts that mean an empty cell.
    order
        Of day and month in dates with slashes, as `Column.date_order`.

    >>> days(pa.array(["2000-01-03", "03/01/2000", "", "soon"]), order="day-first")[0].tolist()
    [2.0, 2.0, nan, nan]
    """
    array = flat(column)
    if pa.types.is_timestamp(array.type) or pa.types.is_date(array.type):
        micros = pc.cast(pc.cast(array, pa.timestamp("us"), safe=False), pa.int64())
        values = _to_numpy(pc.cast(micros, pa.float64())) / 86_400e6 - _ORIGIN_DAYS
        return values, np.zeros(len(array), bool)
    words = frozenset(map(cells.spelled, markers)) | {""}
    encoded = pc.dictionary_encode(array, null_encoding="encode")
    read = [cells.days(cell, words, order) for cell in encoded.dictionary.to_pylist()]
    indices = encoded.indices.to_numpy(zero_copy_only=False)
    values = np.array([np.nan if value is None else value for value in read], np.float64)
    return values[indices], np.array([value is None for value in read], bool)[indices]


def _text_slices(array: pa.Array, markers: frozenset[str], decimal: str, thousands: str) -> Numbers:
    """As `_text_numbers`, some cells after others."""
    if len(array) <= _SLICE:
        return _text_numbers(array, markers, decimal, thousands)
    values, bad = np.empty(len(array)), np.empty(len(array), bool)
    for start in range(0, len(array), _SLICE):
        here = slice(start, start + _SLICE)
        values[here], bad[here] = _text_numbers(array[here], markers, decimal, thousands)
    return values, bad


def _text_numbers(array: pa.Array, markers: frozenset[str], decimal: str, thousands: str) -> Numbers:
    if len(array) > _SAMPLE and len(pc.unique(array.slice(0, _SAMPLE))) < _SAMPLE / 4:
        # Few different texts: read each of them once. A category column would fail to cast, slowly.
        encoded = pc.dictionary_encode(array, null_encoding="encode")
        values, bad = _text_numbers(encoded.dictionary, markers, decimal, thousands)
        indices = encoded.indices.to_numpy(zero_copy_only=False)
        return values[indices], bad[indices]
    if decimal == "." and not thousands and (read := plain_numbers(array)) is not None:
        return read, np.zeros(len(array), bool)
    present = _trimmed(array, markers)
    plain = _unmarked(present, decimal, thousands) if thousands or decimal != "." else present
    try:
        return _to_numpy(pc.cast(plain, pa.float64())), np.zeros(len(array), bool)
    except pa.ArrowInvalid:
        return _odd_numbers(plain, present, lambda cell: cells.number(cell, markers, decimal, thousands))


def plain_numbers(array: pa.Array) -> NDArray[np.float64] | None:
    """(n_rows,) the numbers of text cells of which each is one; None where any is missing or none, or says "nan"."""
    try:
        values = _to_numpy(pc.cast(array, pa.float64()))
    except pa.ArrowInvalid:
        return None
    return None if np.isnan(values).any() else values


def _unmarked(array: pa.Array, decimal: str, thousands: str) -> pa.Array:
    """Numbers as Python writes them; a cell with a mark where it cannot stand becomes a word."""
    for like in cells.LIKE_MARKS.get(thousands, ""):
        array = pc.replace_substring(array, like, thousands)
    wrong = None
    if decimal != "." and thousands != ".":
        wrong = pc.match_substring(array, ".")
    if thousands:
        marked = pc.match_substring(array, thousands)
        misplaced = pc.and_not(marked, pc.match_substring_regex(array, cells.grouped(decimal, thousands)))
        wrong = misplaced if wrong is None else pc.or_(wrong, misplaced)
        array = pc.replace_substring(array, thousands, "")
    if decimal != ".":
        array = swapped(array, decimal, ".")
    return pc.if_else(wrong, pa.scalar("?", array.type), array) if pc.any(wrong).as_py() else array


def swapped(array: pa.Array, old: str, new: str) -> pa.Array:
    """The cells with one ASCII sign for another; ten times as fast as `replace_substring` (measured).

    Parameters
    ----------
    array
        Text, without nulls that hold content.
    old, new
        One ASCII character each.
    """
    valid, offsets, content = array.buffers()
    if content is None:
        return array
    signs = np.frombuffer(content, np.uint8).copy()
    signs[signs == ord(old)] = ord(new)
    buffers = [valid, offsets, pa.py_buffer(signs)]
    return pa.Array.from_buffers(array.type, len(array), buffers, array.null_count, array.offset)


def _plain_numbers(array: pa.Array) -> Numbers:
    if is_number(array) or pa.types.is_boolean(array.type):
        if pa.types.is_boolean(array.type):
            array = pc.cast(array, pa.uint8())
        return _to_numpy(pc.cast(array, pa.float64(), safe=False)), np.zeros(len(array), bool)
    present = _to_numpy(array.is_valid()).astype(bool)
    return np.full(len(array), np.nan), present


def _odd_numbers(plain: pa.Array, trimmed: pa.Array, number: Callable[[str], float | None]) -> Numbers:
    """The slow way, for columns with a word, a leading plus, an overflow or a full-width digit somewhere."""
    good = pc.fill_null(pc.match_substring_regex(plain, cells.NUMBER), False)
    mask = _to_numpy(good).astype(bool)
    values = np.full(len(plain), np.nan)
    values[mask] = np.array(plain.filter(good).to_pylist(), dtype=object).astype(np.float64)
    bad = _to_numpy(plain.is_valid()).astype(bool) & ~mask
    foreign = bad & ~_to_numpy(pc.fill_null(pc.string_is_ascii(trimmed), True)).astype(bool)
    if foreign.any():
        encoded = pc.dictionary_encode(trimmed.filter(pa.array(foreign)))
        parsed = [number(text) for text in encoded.dictionary.to_pylist()]
        indices = encoded.indices.to_numpy()
        values[foreign] = np.array([np.nan if value is None else value for value in parsed])[indices]
        bad[foreign] = np.array([value is None for value in parsed])[indices]
    return values, bad


def _to_numpy(array: pa.Array) -> NDArray[Any]:
    result: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return result.astype(np.float64) if result.dtype == object else result


def texts(column: Any, *, markers: tuple[str, ...] = ("",)) -> pa.Array:
    """Read a column as categories: an Arrow large_string array, each value in its one spelling and "" for missing.

    >>> texts(pa.array([3.0, None])).to_pylist(), texts(pa.array(["TRUE", "3.0", " NA"]), markers=("NA",)).to_pylist()
    (['3', ''], ['True', '3', ''])
    """
    dictionary, indices = coded(column, markers=markers)
    return dictionary.take(indices)


def coded(column: Any, *, markers: tuple[str, ...] = ("",)) -> tuple[pa.Array, pa.Array]:
    """As `texts`: the values of its distinct cells, of which several may be alike, and (n_rows,) indices into them."""
    array = flat(column)
    if pa.types.is_floating(array.type):
        encoded = pc.dictionary_encode(array, null_encoding="encode")
        levels = pa.array([cells.level(value) for value in _exact(encoded.dictionary)], pa.large_string())
    else:
        encoded = pc.dictionary_encode(pc.cast(_as_text(array), pa.large_string()), null_encoding="encode")
        levels = _one_spelling(encoded.dictionary)
    missing = pa.array({cells.level(marker) for marker in markers}, levels.type)
    levels = pc.if_else(pc.or_kleene(pc.is_null(levels), pc.is_in(levels, value_set=missing)), "", levels)
    return levels, encoded.indices


def _exact(array: pa.Array) -> list[Any]:
    """Floats as Python has them, those of 32 bits with the digits that were written."""
    if pa.types.is_float64(array.type):
        values: list[Any] = array.to_pylist()
        return values
    return [None if cell is None or cell != cell else cells.shortest(cell) for cell in array.to_pylist()]


def _as_text(array: pa.Array) -> pa.Array:
    if is_text(array):
        return array
    if pa.types.is_boolean(array.type):
        return pc.if_else(array, "True", "False")
    if pa.types.is_nested(array.type) or pa.types.is_binary(array.type) or pa.types.is_null(array.type):
        return pa.array([None if cell is None else str(cell) for cell in array.to_pylist()], pa.string())
    return pc.cast(array, pa.string())


def _one_spelling(texts: pa.Array) -> pa.Array:
    texts = pc.utf8_trim_whitespace(texts)
    odd = pc.or_(pc.invert(pc.string_is_ascii(texts)), pc.match_substring_regex(texts, cells.RESPELLED))
    odd = pc.fill_null(odd, False)
    mended = [cells.level(text) for text in texts.filter(odd).to_pylist()]
    return pc.replace_with_mask(texts, odd, pa.array(mended, texts.type)) if mended else texts
