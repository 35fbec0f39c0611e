"""Is this column an identifier, a date, or a code?"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.schema import arrow_cells
from ml.schema.cells import FLOAT32_LIMIT

_ID_NAME = re.compile(
    r"""(?:^|[\W_])(?i:id|ids|uuid|guid|index|key|row_?(?:no|num|number)|rownum(?:ber)?)$  # customer_id, row_id
    |^(?i:id|uuid|guid|index)(?:[\W_]|$)                                                 # id_customer
    |[a-z](?:ID|Id)$                                                                     # customerID
    |^(?:(?i:row_?names?)|Unnamed:\ 0)$                                                  # R's and pandas' row names""",
    re.VERBOSE,
)
_NUMBER_NAME = re.compile(
    r"""(?:^|[\W_])(?i:number|num|no|nr|code|ref|serial|mã|số)$  # account_no
    |[a-z](?:Number|Num|No|Nr|Code|Ref|Serial)$                  # EmployeeNumber""",
    re.VERBOSE,
)
_DATE = re.compile(
    r"""^(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2}))
    (?:[T\ ]\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s*(?:Z|[+-]\d{2}:?\d{2}|[AaPp][Mm])?)?$""",
    re.VERBOSE,
)
_MEASURE = re.compile(r"^[+-]?\d+(?:[.,:_]\d+)*\s?[^\W\d_]{1,12}\.?$|^[+-]?\d+(?:[:_]\d+)+$")  # 32 kg, 13:25, 3_200
_UNIT = r"^[+-]?[0-9]+(?:[.,][0-9]+)? ?(?P<unit>\pL{1,12}\.?)$"
_COARSE = 0.01  # of the spread: what float32 may round away without a word; our choice
_SAMPLE = 1_000  # cells that are looked at before all of a column are; our choice
_FEW = 20  # so few different values are levels, whatever they look like


def named_like_id(name: str) -> bool:
    """Whether people give such a name to identifiers.

    >>> [named_like_id(name) for name in ("customerID", "row_id", "rownames", "paid", "valid", "key")]
    [True, True, True, False, False, True]
    """
    return bool(_ID_NAME.search(name))


def is_row_number(name: str, present: NDArray[np.float64]) -> bool:
    """Whether whole numbers identify rows: consecutive and all different, or named so and mostly different."""
    if len(present) <= _FEW or not _are_whole(present):
        return False
    distinct = len(np.unique(present))
    if named_like_id(name):
        return distinct > max(_FEW, 0.5 * len(present))
    return bool(distinct == len(present) == present.max() - present.min() + 1)


def _are_whole(present: NDArray[np.float64]) -> bool:
    return not any((some != np.rint(some)).any() for some in (present[:_SAMPLE], present[_SAMPLE:]))


def may_be_row_number(name: str, present: NDArray[np.float64]) -> bool:
    """Whether whole numbers with gaps, all different, have a name that numbers of rows often have, and amounts too.

    >>> may_be_row_number("EmployeeNumber", np.arange(0.0, 60, 2)), may_be_row_number("Salary", np.arange(0.0, 60, 2))
    (True, False)
    """
    if len(present) <= _FEW or not _NUMBER_NAME.search(name) or not _are_whole(present):
        return False
    return len(np.unique(present)) == len(present)


def is_free_text(levels: int, present: int) -> bool:
    """Whether a text column has so many different values that they name rows rather than kinds."""
    return levels > max(_FEW, 0.5 * present)


def is_dates(array: pa.Array, levels: Iterable[str]) -> bool:
    """Whether a column is of a date type, or nearly all of its first 1,000 levels are written dates."""
    if pa.types.is_temporal(array.type):
        return True
    sample = list(itertools.islice(levels, 1_000))
    return sum(bool(_DATE.match(level)) for level in sample) > 0.9 * len(sample)


def are_measures(levels: Iterable[str]) -> bool:
    """Whether many levels are, nearly all, numbers with a unit, or times of day: they would have an order.

    >>> are_measures(f"{n} kg" for n in range(30)), are_measures(f"{n}G" for n in range(3, 6))
    (True, False)
    """
    sample = list(itertools.islice(levels, 1_000))
    return len(sample) > _FEW and sum(bool(_MEASURE.match(level)) for level in sample) > 0.9 * len(sample)


def unit_of(array: pa.Array, markers: Iterable[str]) -> str:
    """The unit that stands behind the number in every cell that says something; "" where that is not so.

    Without a space before it, as in 4G, so few different ones are names.

    >>> unit_of(pa.array(["12 months", "1.5 months", ""]), ("",)), unit_of(pa.array(["3G", "4G"]), ("",))
    ('months', '')
    """
    if not pa.types.is_string(array.type) and not pa.types.is_large_string(array.type):
        return ""
    texts = pc.unique(pc.utf8_trim_whitespace(pc.drop_null(array)))
    texts = texts.filter(pc.invert(pc.is_in(texts, value_set=pa.array({*markers, ""}, texts.type))))
    found = {match["unit"] for match in pc.extract_regex(texts, _UNIT).to_pylist() if match}
    apart = pc.all(pc.match_substring(texts, " ")).as_py()
    fits = len(found) == 1 and pc.all(pc.match_substring_regex(texts, _UNIT)).as_py()
    return str(found.pop()) if fits and (apart or len(texts) > _FEW) else ""


def case_variants(levels: Iterable[str]) -> list[list[str]]:
    """Levels that differ in upper and lower case alone.

    >>> case_variants(["Basic", "pro", "basic"])
    [['Basic', 'basic']]
    """
    spelled: dict[str, list[str]] = {}
    for level in levels:
        spelled.setdefault(level.casefold(), []).append(level)
    return [variants for variants in spelled.values() if len(variants) > 1]


def is_too_close(present: NDArray[np.float64]) -> bool:
    """Whether the values lie so close together for their size that float32, which models take, blurs them.

    >>> is_too_close(1e9 + np.arange(100.0)), is_too_close(1.7e9 + 86_400.0 * np.arange(100.0))
    (True, False)
    """
    if not len(present):
        return False
    lowest, highest = (float(np.clip(end, -FLOAT32_LIMIT, FLOAT32_LIMIT)) for end in (present.min(), present.max()))
    step = float(np.spacing(np.float32(max(abs(lowest), abs(highest)))))
    # The spread of n values is at least what it is where all but the two ends lie in the middle between them.
    if step <= _COARSE * (highest - lowest) / np.sqrt(2 * len(present)):
        return False
    held = np.clip(present, -FLOAT32_LIMIT, FLOAT32_LIMIT)
    spread = float(held.std())
    return spread > 0.0 and step > _COARSE * spread


def leading_zeros(array: pa.Array) -> NDArray[np.bool_]:
    """(n_rows,) whether a cell is digits that begin with a zero, `01234`: a code, which as a number would lose it."""
    result = np.zeros(len(array), bool)
    signs, ends = arrow_cells.spans(array)
    # By the first two bytes few cells are left for the regular expression, or a column of codes; 0.25 is none.
    rows = np.flatnonzero(np.diff(ends) > 1)
    rows = rows[signs[ends[rows]] == ord("0")]
    second = signs[ends[rows] + 1]
    rows = rows[(second >= ord("0")) & (second <= ord("9"))]
    if len(rows):
        found = pc.match_substring_regex(array.take(pa.array(rows)), r"^0\d+\s*$")
        result[rows] = found.fill_null(False).to_numpy(zero_copy_only=False)
    return result
