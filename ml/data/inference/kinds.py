"""The kind of one raw column: number, category, or left out with a reason."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.data.inference import column_heuristics, number_marks
from ml.errors import DataError
from ml.messages import message
from ml.schema import arrow_cells
from ml.schema.cells import days
from ml.schema.coerce import Place, listing, shown, written_numbers
from ml.schema.findings import Report
from ml.schema.schema import DateOrder, Kind
from ml.settings import Data

_SAMPLE = 1_000  # cells that are looked at before all of a column are; our choice
_AMOUNT = r"\d[\d.,' \x{00a0}\x{202f}]*"
# The same with signs that no setting reads.
_DECORATED = {
    rf"^[+-]?(?:\p{{Sc}} ?[+-]?{_AMOUNT}|{_AMOUNT}\p{{Sc}})$": "findings.currency",
    rf"^[+-]?{_AMOUNT}%$": "findings.percentages",
    rf"^\({_AMOUNT}\)$": "findings.brackets",
}


class Found(NamedTuple):
    """`kind` is None where the column is left out; `groups`: it looks like an id with repeats.

    `unit` stands behind each number; `date_order` is how dates are written. `numbers` are the cells where they were
    read as the schema will read them, as `arrow_cells.numbers` gives them.
    """

    kind: Kind | None
    groups: bool = False
    unit: str = ""
    date_order: DateOrder = ""
    numbers: arrow_cells.Numbers | None = None


_OUT = Found(None)


def find_kind(series: pd.Series, data: Data, place: Place, report: Report) -> Found:
    """Decide on one column; what is decided against it is reported.

    Raises
    ------
    DataError
        An override that is not a kind or does not fit, a column of one repeated missing marker, or
        numbers written with marks that were not declared.
    """
    name, array = str(series.name), arrow_cells.flat(series)
    override = data.kinds.get(name)
    if override not in (None, "number", "category", "date"):
        raise DataError(message("data.unknown_kind", kind=override), column=name)
    if override == "category":
        return _category(name, array, True, data, report)
    if override == "date":
        return _date(name, array, data, report) or _OUT
    if not (override == "number" or arrow_cells.is_number(array) or arrow_cells.is_text(array)):
        return _category(name, array, False, data, report)
    cells, bad = arrow_cells.numbers(
        array, markers=data.missing_markers, decimal=data.decimal, thousands=data.thousands
    )
    present = int((~np.isnan(cells)).sum() + bad.sum())
    if not np.isfinite(cells).any() and not bad.any():
        return _nothing(name, array, data, place, report)
    coded = override is None and arrow_cells.is_text(array)
    zeros = column_heuristics.leading_zeros(array) if coded else np.zeros(len(array), bool)
    if zeros.sum() > data.max_bad_share * present:
        report.info(message("findings.leading_zeros"), name)
        return _category(name, array, False, data, report)
    if bad.sum() <= data.max_bad_share * present:
        _check_written(name, array, bad, data, place)
        _report_words(name, array, bad, place, report)
        _report_either_mark(name, array, data, report)
        _report_zeros(name, array, zeros, place, report)
        return _number(name, cells, override is not None, report)._replace(numbers=(cells, bad))
    if override == "number":
        raise _too_many_words(name, array, bad, data, place)
    _check_marks(name, array, bad, data, place)
    if _is_decorated(name, array, bad, data, report):
        return _OUT
    if unit := column_heuristics.unit_of(array, data.missing_markers):
        cell = shown(_odd_cells(array, bad)[0].as_py())
        report.info(message("findings.unit", cell=cell, unit=unit, column=name), name)
        return Found("number", unit=unit)
    if arrow_cells.is_text(array) and 2 * bad.sum() <= present:
        _report_category_of_numbers(name, array, bad, place, report)
    return _category(name, array, False, data, report)


def tell_markers(series: pd.Series, kind: Kind, data: Data, report: Report) -> None:
    """Tell of words that are taken as missing in more than `data.max_bad_share` of the rows.

    In a category column that is a warning: NA is a country, too.
    """
    markers_seen = arrow_cells.marked(series, data.missing_markers)
    if sum(markers_seen.values()) <= data.max_bad_share * len(series):
        return
    counts = {"n": sum(markers_seen.values()), "rows": len(series)}
    if kind != "category":
        report.info(message("findings.markers", words=listing(markers_seen), **counts), str(series.name))
    else:
        report.warn(message("findings.markers_in_category", words=listing(markers_seen), **counts), str(series.name))


def _number(name: str, cells: NDArray[np.float64], forced: bool, report: Report) -> Found:
    present = cells[np.isfinite(cells)]
    infinite = int(np.isinf(cells).sum())
    if infinite:
        report.warn(message("findings.infinite", n=infinite), name)
    if forced:
        return Found("number")
    if len(present) == len(cells) and present.min() == present.max():
        report.warn(message("findings.constant", value=present[0]), name)
        return _OUT
    if column_heuristics.is_row_number(name, present):
        report.warn(message("findings.row_numbers"), name)
        return Found(None, groups=len(np.unique(present)) < len(present))
    if column_heuristics.may_be_row_number(name, present):
        report.warn(message("findings.maybe_row_numbers", column=name), name)
    if column_heuristics.is_too_close(present):
        seen, there = len(np.unique(present.astype(np.float32))), len(np.unique(present))
        report.warn(message("findings.too_close", seen=seen, there=there, column=name), name)
    return Found("number")


def _category(name: str, array: pa.Array, forced: bool, data: Data, report: Report) -> Found:
    counts = {
        e["values"]: e["counts"]
        for e in pc.value_counts(arrow_cells.texts(array, markers=data.missing_markers)).to_pylist()
    }
    missing = counts.pop("", 0)
    present = len(array) - missing
    if not counts:
        report.warn(message("findings.no_value_left_out"), name)
        return _OUT
    if forced:
        return Found("category")
    if len(counts) == 1 and not missing:
        report.warn(message("findings.constant_text", value=shown(next(iter(counts)))), name)
        return _OUT
    if column_heuristics.is_dates(array, counts):
        return _date(name, array, data, report) or _OUT
    if column_heuristics.is_free_text(len(counts), present):
        report.warn(message("findings.free_text", n=len(counts), rows=present), name)
        return Found(None, groups=len(counts) < present and column_heuristics.named_like_id(name))
    if len(counts) > data.max_categories:
        report.warn(message("findings.many_levels", n=len(counts), kept=data.max_categories), name)
    if column_heuristics.are_measures(counts):
        report.warn(message("findings.measures", cell=shown(next(iter(counts))), column=name), name)
    if variants := column_heuristics.case_variants(counts):
        report.warn(message("findings.case_variants", n=len(variants), levels=listing(variants[0])), name)
    return Found("category")


def _date(name: str, array: pa.Array, data: Data, report: Report) -> Found | None:
    """A column of dates, if nearly all of its cells can be read in one way."""
    if pa.types.is_temporal(array.type) and not (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
        report.warn(message("findings.times"), name)
        return None
    values, bad = arrow_cells.days(array, markers=data.missing_markers, order=data.dates)
    present = int((~np.isnan(values)).sum() + bad.sum())
    if bad.sum() > data.max_bad_share * present:
        cell = shown(array[int(np.argmax(bad))].as_py())
        doubtful = not data.dates and days(cell, order="day-first") is not None
        report.warn(message("findings.dates_doubtful" if doubtful else "findings.dates_unread", cell=cell), name)
        return None
    # Only a column with a moment in every row can order them, and only one does.
    may_be_time = not data.time_column and present == len(array)
    report.info(message("findings.dates" if may_be_time else "findings.dates_learned"), name)
    return Found("date", date_order=data.dates)


def _nothing(name: str, array: pa.Array, data: Data, place: Place, report: Report) -> Found:
    """An empty column is left out; one that says a missing marker in every row is a broken export."""
    if arrow_cells.is_text(array):
        markers = {marker.strip() for marker in data.missing_markers} - {""}
        written = pc.unique(pc.utf8_trim_whitespace(pc.fill_null(array, ""))).to_pylist()
        if all(word in markers for word in written) and not all(word.casefold() == "nan" for word in written):
            raise DataError(message("data.only_markers", words=listing(written)), file=place.file, column=name)
    report.warn(message("findings.no_value_left_out"), name)
    return _OUT


def _check_written(name: str, array: pa.Array, bad: NDArray[np.bool_], data: Data, place: Place) -> None:
    """A few numbers with signs in them, beside plain ones, are not missing: 1,234 beside 950 is the larger one."""
    written = written_numbers(array, bad)
    if not written.any():
        return
    _check_marks(name, array, written, data, place)
    position = int(np.argmax(written))
    cell = shown(array[position].as_py())
    raise place.error(message("data.signs", n=int(written.sum()), cell=cell), position, name)


def _report_either_mark(name: str, array: pa.Array, data: Data, report: Report) -> None:
    """Where every point stands before three digits, as in 8.423, it may be the mark between thousands; who knows?"""
    if not arrow_cells.is_text(array) or data.decimal != "." or data.thousands:
        return
    # Most columns have another cell among their first ones: then no look at all of them is needed.
    for some in (array.slice(0, _SAMPLE), array)[len(array) <= _SAMPLE :]:
        texts = pc.drop_null(arrow_cells.trimmed(some))
        markers = pa.array([marker.strip() for marker in data.missing_markers], texts.type)
        texts = texts.filter(pc.invert(pc.is_in(texts, value_set=markers)))
        if not pc.all(pc.match_substring_regex(texts, number_marks.EITHER_POINT), min_count=0).as_py():
            return
    pointed = texts.filter(pc.match_substring(texts, "."))
    if len(pointed) > 1:
        cell = pointed[0].as_py()
        report.warn(message("findings.points_before_three", cell=cell, other=cell.replace(".", "")), name)


def _report_words(name: str, array: pa.Array, bad: NDArray[np.bool_], place: Place, report: Report) -> None:
    if bad.any():
        position = int(np.argmax(bad))
        first = {"cell": shown(array[position].as_py()), "place": place.words(position)}
        report.warn(message("findings.words", n=int(bad.sum()), **first), name)


def _report_zeros(name: str, array: pa.Array, zeros: NDArray[np.bool_], place: Place, report: Report) -> None:
    if zeros.any():
        position = int(np.argmax(zeros))
        first = {"cell": shown(array[position].as_py()), "place": place.words(position)}
        report.warn(message("findings.zeros", n=int(zeros.sum()), column=name, **first), name)


def _report_category_of_numbers(
    name: str, array: pa.Array, bad: NDArray[np.bool_], place: Place, report: Report
) -> None:
    words = pc.unique(_odd_cells(array, bad)).to_pylist()
    known = {"words": listing(words, 3), "place": place.words(int(np.argmax(bad)))}
    report.warn(message("findings.category_of_numbers", n=int(bad.sum()), rows=len(array), **known), name)


def _too_many_words(name: str, array: pa.Array, bad: NDArray[np.bool_], data: Data, place: Place) -> DataError:
    position = int(np.argmax(bad))
    counts = {"n": int(bad.sum()), "rows": len(array), "share": data.max_bad_share}
    return place.error(message("data.too_many_words", cell=shown(array[position].as_py()), **counts), position, name)


def _check_marks(name: str, array: pa.Array, bad: NDArray[np.bool_], data: Data, place: Place) -> None:
    """Numbers with marks that the table's own do not read, or that may be read in two ways, are no categories."""
    if not arrow_cells.is_text(array):
        return
    odd = number_marks.normal(_odd_cells(array, bad))
    plain = int(len(array) - array.null_count - bad.sum())
    like = _count(odd, number_marks.MARKED)
    if not like or like + plain < (1 - data.max_bad_share) * (len(odd) + plain):
        return
    position = int(np.argmax(bad))
    cell = shown(array[position].as_py())
    if _count(odd, number_marks.EITHER_COMMA) and not data.thousands and data.decimal == ".":
        meanings = {"one": re.sub(r"\D", "", cell), "other": cell.replace(",", ".")}
        remedy = message("data.either_mark", cell=cell, **meanings)
    else:
        signs = [f"'{sign}'" for sign in (data.decimal, data.thousands) if sign]
        remedy = message("data.other_marks", marks=signs)
    remedies = [remedy, message("data.category_of_names", column=name)]
    raise place.error(message("data.marks", n=like, cell=cell, remedies=remedies), position, name)


def _is_decorated(name: str, array: pa.Array, bad: NDArray[np.bool_], data: Data, report: Report) -> bool:
    """Whether the cells are numbers with signs that no setting reads; told."""
    if not arrow_cells.is_text(array):
        return False
    odd = _odd_cells(array, bad)
    plain = int(len(array) - array.null_count - bad.sum())
    for pattern, what in _DECORATED.items():
        like = _count(odd, pattern)
        if like and like + plain >= (1 - data.max_bad_share) * (len(odd) + plain):
            known = {"cell": shown(odd[0].as_py()), "what": message(what), "column": name}
            report.warn(message("findings.decorated", n=like, **known), name)
            return True
    return False


def _odd_cells(array: pa.Array, bad: NDArray[np.bool_]) -> pa.Array:
    return pc.utf8_trim_whitespace(array).filter(pa.array(bad))


def _count(cells: pa.Array, pattern: str) -> int:
    return int(pc.sum(pc.match_substring_regex(cells, pattern)).as_py() or 0)
