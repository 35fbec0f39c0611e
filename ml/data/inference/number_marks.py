"""Number marks: the decimal mark of a table and its mark between thousands, by the evidence of its own cells.

`12,5` has a decimal comma and `1.234.567` points between thousands, whoever wrote them. `1.339` may be either: alone it
decides nothing, beside `12,5` it is a thousand. One file writes its numbers one way, so cells that contradict each
other are refused with their places. Light (pyarrow): training reads its tables and the service its uploads by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.errors import DataError
from ml.messages import Message, message
from ml.schema import arrow_cells, cells
from ml.schema.coerce import Place, shown
from ml.schema.findings import Report
from ml.settings import Data

if TYPE_CHECKING:
    from ml.schema.frames import Table  # pandas, which the service does without

_SAMPLE = 1_000  # cells by which a column of texts is told from one of numbers; our choice
_GROUP = r"[1-9]\d{0,2}"
_PLAIN = r"^[+-]?(?:\d+\.?\d*|\.\d+|\d+,\d+|,\d+)(?:[eE][+-]?\d+)?$"
_GROUPED = {mark: rf"^[+-]?{_GROUP}(?:{sign}\d{{3}})+(?:[.,]\d*)?$" for mark, sign in
            {",": ",", ".": r"\.", " ": " ", "'": "'"}.items()}  # fmt: skip
# A comma or a point before three digits: the decimal mark, or one between thousands.
_EITHER = {",": rf"^[+-]?{_GROUP},\d{{3}}$", ".": rf"^[+-]?{_GROUP}\.\d{{3}}$"}
_OTHER = {".": ",", ",": "."}
EITHER_COMMA = _EITHER[","]
EITHER_POINT = rf"^[+-]?(?:0|{_GROUP}(?:\.\d{{3}})?)$"
MARKED = "|".join((_PLAIN, *_GROUPED.values()))  # a number with whatever marks


class Marks(NamedTuple):
    """`thousands` is "" where nothing stands between thousands."""

    decimal: str = "."
    thousands: str = ""


class Cell(NamedTuple):
    """A cell and its place: `row` from 0, `line` of its file where there are lines."""

    column: str
    text: str
    row: int
    line: int | None = None

    @property
    def place(self) -> Message:
        """`line 17` in a file, else `row 15`, counted from 1."""
        return message("files.row", n=self.row + 1) if self.line is None else message("files.line", n=self.line)


class MixedMarks(DataError):
    """Raised when cells of one table contradict each other; `cells` has one of each way."""

    def __init__(self, one: Cell, other: Cell, file: str | None = None):
        known = {"cell": other.text, "at": other.place, "first": one.text, "column": one.column, "place": one.place}
        super().__init__(message("data.mixed_marks", **known), file=file, line=other.line, column=other.column)
        self.cells = one, other


class OtherMark(NamedTuple):
    """That a cell contradicts what a person says of the decimal mark, for people."""

    message: Message
    cell: Cell


class Evidence:
    """What the cells of a table's number columns say; it may come in parts.

    >>> evidence = Evidence()
    >>> evidence.add("a", pa.array(["1.339", "17"]))
    >>> evidence.add("b", pa.array(["12,5", "3"]))
    >>> evidence.marks(), evidence.decided.text
    (Marks(decimal=',', thousands='.'), '12,5')
    """

    def __init__(self) -> None:
        self._decimal: dict[str, Cell] = {}  # the mark that a cell decides → the first such cell
        self._thousands: dict[str, dict[str, Cell]] = {".": {}, ",": {}}  # by decimal mark
        self.either: dict[str, Cell] = {}  # columns with cells that may be read in two ways

    def add(self, column: str, cells: pa.Array, lines: Iterable[int] | None = None, first: int = 0) -> None:
        """Look at some cells of a column; those that are no numbers say nothing.

        Parameters
        ----------
        lines
            (n,) of the file, for messages.
        first
            Row of the first cell.
        """
        if not arrow_cells.is_text(cells):
            return
        texts = normal(cells)
        if not _has_any_mark(texts):
            return
        marked = pc.fill_null(pc.match_substring_regex(texts, r"[0-9][ ,.'][0-9]|^[+-]?[,.][0-9]|[0-9]\.$"), False)
        if not pc.any(marked).as_py():
            return
        lines = None if lines is None else np.asarray(lines)
        rows = np.flatnonzero(marked.to_numpy(zero_copy_only=False))
        encoded = pc.dictionary_encode(texts.filter(marked))
        distinct, indices = encoded.dictionary, encoded.indices.to_numpy(zero_copy_only=False)

        def note(into: dict[str, Cell], key: str, code: int) -> None:
            if key not in into:
                row = int(rows[int(np.argmax(indices == code))])
                text = shown(cells[row].as_py())
                into[key] = Cell(column, text, first + row, None if lines is None else int(lines[row]))

        grouped = {mark: _matches(distinct, pattern) for mark, pattern in _GROUPED.items()}
        either = {mark: _matches(distinct, pattern) for mark, pattern in _EITHER.items()}
        for decimal, other in _OTHER.items():
            own = pc.match_substring(distinct, decimal).to_numpy(zero_copy_only=False)
            has_other = pc.match_substring(distinct, other).to_numpy(zero_copy_only=False)
            blank = grouped[" "] | grouped["'"]
            plain = _matches(distinct, _PLAIN) & own & ~either[decimal]
            twice = pc.match_substring_regex(distinct, rf"[{other}].*[{other}]").to_numpy(zero_copy_only=False)
            ends = pc.match_substring_regex(distinct, rf"[{decimal}][0-9]*$").to_numpy(zero_copy_only=False)
            decides = plain | (grouped[other] & (twice | (own & ends & has_other))) | (blank & own)
            for code in np.flatnonzero(decides)[:1]:
                note(self._decimal, decimal, int(code))
            for mark in (other, " ", "'"):
                for code in np.flatnonzero(grouped[mark])[:1]:
                    note(self._thousands[decimal], mark, int(code))
            for code in np.flatnonzero(either[decimal])[:1]:
                note(self.either, column, int(code))

    @property
    def decided(self) -> Cell | None:
        """The cell that decides the decimal mark; None where there is none."""
        return next(iter(self._decimal.values()), None)

    def marks(self, decimal: str = "", default: Marks = Marks(), file: str | None = None) -> Marks:  # noqa: B008
        """The marks of the table.

        Parameters
        ----------
        decimal
            What a person says; "" looks for evidence.
        default
            Where there is none.

        Raises
        ------
        MixedMarks
            Cells contradict each other, and nobody said which are right.
        DataError
            All that decide it contradict what a person says.
        """
        if found_other := self.other_mark(decimal):
            place = found_other.cell
            raise DataError(found_other.message, file=file, line=place.line, column=place.column)
        if not decimal and len(self._decimal) > 1:
            one, other = sorted(self._decimal.values(), key=lambda cell: cell.row)
            raise MixedMarks(one, other, file)
        found = decimal or next(iter(self._decimal), "")
        signs = self._thousands[found or default.decimal]
        if found:
            return Marks(found, next(iter(signs), default.thousands if found == default.decimal else ""))
        return Marks(default.decimal, default.thousands or next((mark for mark in signs if mark in " '"), ""))

    def other_mark(self, decimal: str) -> OtherMark | None:
        """What shows the other decimal mark, where nothing shows the one that a person says; "" says none."""
        if not decimal or decimal in self._decimal or not self._decimal:
            return None
        [(mark, cell)] = self._decimal.items()
        return OtherMark(message("data.said_mark", said=decimal, mark=mark, cell=cell.text), cell)

    def first_of(self, marks: Marks) -> Cell | None:
        """A cell that shows these marks."""
        return self._decimal.get(marks.decimal) or self._thousands[marks.decimal].get(marks.thousands)


def settled(frame: Table, data: Data, names: Iterable[str], place: Place, report: Report,
            default: Marks = Marks()) -> Data:  # fmt: skip # noqa: B008
    """The settings with the marks that the table's own cells show, where the settings leave them open; told.

    Parameters
    ----------
    frame
        Raw.
    names
        The columns to ask: those whose cells are, but for few, numbers in some way of writing.
    default
        Where no cell decides.

    Raises
    ------
    MixedMarks
        Columns or cells contradict each other; the message names one of each way.
    DataError
        They contradict `data.decimal`.
    """
    if data.thousands:
        decimal = data.decimal or ("," if data.thousands == "." else ".")
        return msgspec.structs.replace(data, decimal=decimal)
    evidence = Evidence()
    for name in names:
        _add(evidence, name, arrow_cells.flat(frame[name]), data, place)
    if other := evidence.other_mark(data.decimal):
        as_names = message("data.category_of_names", column=other.cell.column)
        what = message("data.or_names", what=other.message, names=as_names)
        raise DataError(what, file=place.file, line=other.cell.line, column=other.cell.column)
    marks = evidence.marks(data.decimal, default, place.file)
    if marks not in (default, Marks()) and (cell := evidence.first_of(marks)) is not None:
        report.info(told(marks, cell))
    return msgspec.structs.replace(data, decimal=marks.decimal, thousands=marks.thousands)


def _add(evidence: Evidence, name: str, array: pa.Array, data: Data, place: Place) -> None:
    if _is_plain(array, data):  # a point that decides is in the first cells, or nearly none has one
        some = array.slice(0, _SAMPLE)
        evidence.add(name, some if _decides(some) else array, place.lines)
    elif _says_numbers(array, data):
        evidence.add(name, array, place.lines)


def told(marks: Marks, cell: Cell) -> Message:
    """How the numbers were read, and which cell shows it."""
    known = {"column": cell.column, "cell": cell.text, "decimal": marks.decimal}
    if marks.thousands:
        return message("findings.marks_with_thousands", thousands=marks.thousands, **known)
    return message("findings.marks", **known)


def _is_plain(array: pa.Array, data: Data) -> bool:
    """Whether Arrow reads all cells that say something as numbers: no comma, blank or apostrophe is in them."""
    if not arrow_cells.is_text(array):
        return False
    if arrow_cells.plain_numbers(array) is not None:
        return True
    texts = arrow_cells.trimmed(array)
    markers = pa.array(sorted({cells.spelled(marker) for marker in data.missing_markers} | {""}), texts.type)
    try:
        pc.cast(pc.if_else(pc.is_in(texts, value_set=markers), pa.scalar(None, texts.type), texts), pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _decides(plain: pa.Array) -> bool:
    evidence = Evidence()
    evidence.add("", plain)
    return evidence.decided is not None


def _says_numbers(array: pa.Array, data: Data) -> bool:
    """Whether all but few of the cells that say something are numbers, with whatever marks."""
    if not arrow_cells.is_text(array):
        return False
    markers = pa.array(sorted({cells.spelled(marker) for marker in data.missing_markers} | {""}), pa.large_string())
    for part in (array.slice(0, _SAMPLE), array):
        texts = pc.unique(pc.cast(normal(part), pa.large_string())) if len(part) > _SAMPLE else normal(part)
        texts = pc.drop_null(pc.cast(texts, pa.large_string()))
        texts = texts.filter(pc.invert(pc.is_in(texts, value_set=markers)))
        is_number = np.zeros(len(texts), bool)
        for pattern in (_PLAIN, *_GROUPED.values()):
            is_number |= _matches(texts, pattern)
        if not len(texts) or (~is_number).sum() > max(data.max_bad_share, 0.0) * len(texts):
            return False
    return True


def normal(array: pa.Array) -> pa.Array:
    """Trimmed, with blanks and apostrophes of all kinds as the plain ones."""
    array = arrow_cells.trimmed(array)
    if arrow_cells.byte_range(array)[1] < 128:  # ASCII alone
        return array
    for sign, alike in cells.LIKE_MARKS.items():
        for like in alike:
            array = pc.replace_substring(array, like, sign)
    return array


def _has_any_mark(texts: pa.Array) -> bool:
    """Whether any byte of the cells is a mark: a look at the bytes is many times as fast as one at the cells."""
    is_mark = np.zeros(256, bool)
    is_mark[[ord(mark) for mark in " ,.'"]] = True
    return bool(is_mark[arrow_cells.content(texts)].any())


def _matches(texts: pa.Array, pattern: str) -> np.ndarray:
    return np.asarray(pc.fill_null(pc.match_substring_regex(texts, pattern), False).to_numpy(zero_copy_only=False))
