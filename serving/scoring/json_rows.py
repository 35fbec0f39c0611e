"""JSON rows, request bodies read strictly: JSON without duplicate keys, and the rows of `POST /predict`.

The common case takes one typed pass of msgspec. Whatever that refuses is read again, slowly, by code
that can say which row and column is wrong; both give the same rows, and a test holds them to it.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ml.messages import Text, message
from ml.schema.rows import RowReader, Rows
from ml.schema.validation_errors import RowsError, ValidationError, shown
from serving.auth.limits import check_values
from serving.problems import Problem

MAX_ID_CHARS = 200  # of a prediction's id; our choice
ID_KEY = "prediction_id"
IDS_KEY = "prediction_ids"

Ids = list[str | None]


def strict_json(body: bytes, most: int) -> Any:
    """The value of a JSON text of at most `most` values.

    Raises
    ------
    Problem
        400: not UTF-8, not JSON (NaN and Infinity are not), nested too deeply, a number beyond a double,
        or a key given twice in one object. 413: too many values.
    """
    check_values(body, most)
    if not body.strip():
        raise Problem(400, message("requests.empty"))
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise Problem(400, message("requests.no_json", error=shown(error))) from error
    except RecursionError as error:
        raise Problem(400, message("requests.too_deep")) from error
    refuse_duplicates(body)
    return msgspec.json.decode(body)  # again: a long text takes four bytes a letter, and is not held beside the other's


def once(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these keys and values, for `json.loads`; Problem (400) where a key comes twice: parsers differ in
    which value they keep."""
    members = dict(items)
    if len(members) < len(items):
        seen: set[str] = set()
        twice = next(key for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Problem(400, message("requests.key_twice", key=shown(twice)))
    return members


def refuse_duplicates(body: bytes) -> None:
    """Raise Problem (400) where one object has a key twice."""
    try:
        # Numbers are not needed here, and int() refuses more than some thousand digits.
        json.loads(body, object_pairs_hook=once, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise Problem(400, message("requests.no_json", error=shown(error))) from error


class PredictBody:
    """Reads `{"rows": [{column: value, …}, …]}` for one schema. Built once a served version.

    A row may carry its own `prediction_id`; `prediction_ids`, a list as long as `rows`, does the same.

    Parameters
    ----------
    max_rows
        More are refused with 413.
    max_values
        So is a body of more JSON values (`serving.auth.limits.check_values`).
    """

    def __init__(self, reader: RowReader, *, max_rows: int, max_values: int):
        self.reader = reader
        self.max_rows = max_rows
        self.max_values = max_values
        self._dates = [(j, c) for j, c in enumerate(reader.number_columns) if c.kind == "date"]
        self._k, self._m = len(reader.number_columns), len(reader.category_columns)
        self._ids_in_rows = all(c.name != ID_KEY for c in reader.schema.columns)
        self._decoder = self._typed_decoder()

    def read(self, body: bytes) -> tuple[Rows, Ids | None]:
        """Rows and the ids that the caller gave (None where it gave none).

        Raises
        ------
        Problem
            400 for broken JSON, 413 for too many rows, 422 for a body of another form.
        RowsError
            Rows do not fit the schema.
        """
        check_values(body, self.max_values)
        if self._decoder is not None:
            try:
                request = self._decoder.decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError):
                return self._slowly(body)  # which tells what is wrong, and where
            if not self._read_dates(request.rows):
                return self._slowly(body)
            return self._fast(request, body)
        return self._slowly(body)

    def _typed_decoder(self) -> msgspec.json.Decoder[Any] | None:
        number_names = [c.name for c in self.reader.number_columns]
        category_names = [c.name for c in self.reader.category_columns]
        optional = [name for name in self.reader.schema.ignored if name not in (*number_names, *category_names)]
        if self._ids_in_rows:
            optional = [ID_KEY, *(name for name in optional if name != ID_KEY)]
        self._who = {name: optional.index(name) for name in self.reader.schema.id_columns if name in optional}
        kinds: dict[str, Any] = {"date": str | None}
        fields: list[Any] = [
            (f"n{j}", kinds.get(column.kind, float | None)) for j, column in enumerate(self.reader.number_columns)
        ]
        fields += [(f"c{j}", str | int | float | bool | None) for j in range(self._m)]
        fields += [(f"o{j}", Any, msgspec.UNSET) for j in range(len(optional))]
        names = dict(zip((field[0] for field in fields), (*number_names, *category_names, *optional), strict=True))
        try:
            row = msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True, gc=False)
        except ValueError:  # msgspec takes no quote or backslash in a name; the slow way does
            return None
        rows: Any = list[row]  # type: ignore[valid-type]
        ids: Any = list[str | None] | None
        request = msgspec.defstruct("Request", [("rows", rows), (IDS_KEY, ids, None)], forbid_unknown_fields=True)
        return msgspec.json.Decoder(request)

    def _read_dates(self, rows: Sequence[Any]) -> bool:
        """Put each date's days in its place; whether all cells are dates or missing."""
        for j, column in self._dates:
            field = f"n{j}"
            for row in rows:
                days = self.reader.number(getattr(row, field), column)
                if days is None:
                    return False
                setattr(row, field, None if days != days else days)
        return True

    def _fast(self, request: Any, body: bytes) -> tuple[Rows, Ids | None]:
        n, k, m = len(request.rows), self._k, self._m
        given = request.prediction_ids
        if n == 1:
            values = msgspec.structs.astuple(request.rows[0])
            extra: Sequence[Any] = [(value,) for value in values[k + m :]]
        else:
            columns = list(zip(*map(msgspec.structs.astuple, request.rows), strict=True))
            extra = columns[k + m :]
        extras = sum([n - column.count(msgspec.UNSET) for column in extra])
        # One colon a key: as many colons as keys that were kept means that no key came twice.
        if _colons(body) != 1 + (given is not None) + n * (k + m) + extras:
            refuse_duplicates(body)
        self._check_count(n)
        ids: Ids | None = given
        if extras and self._ids_in_rows and given is None:
            ids = [None if value is msgspec.UNSET else value for value in extra[0]]
        rows = self.reader.row(values[:k], values[k : k + m]) if n == 1 else self._many(columns, n)
        if extras and self._who:
            rows = self.reader.identified(rows, {name: _given(extra[place]) for name, place in self._who.items()})
        return rows, self._checked(ids, n)

    def _many(self, columns: Sequence[Any], n: int) -> Rows:
        if not n:
            return self.reader.records([])
        texts = np.empty((n, self._m), object)
        for j in range(self._m):
            texts[:, j] = columns[self._k + j]
        return self.reader.arrays(_numbers(columns[: self._k], n), texts)

    def _slowly(self, body: bytes) -> tuple[Rows, Ids | None]:
        try:
            request = strict_json(body, self.max_values)
        except Problem:
            self._name_the_number(body)
            raise
        if not isinstance(request, dict) or not isinstance(request.get("rows"), list):
            raise Problem(
                422, message("requests.rows_form", expected='{"rows": [{column: value, …}, …]}', got=_form(request))
            )
        if unknown := sorted(request.keys() - {"rows", IDS_KEY}):
            raise Problem(422, message("requests.unknown_key", keys=["rows", IDS_KEY], got=shown(unknown[0])))
        rows = request["rows"]
        self._check_count(len(rows))
        ids = request.get(IDS_KEY)
        if self._ids_in_rows:
            if ids is None and any(isinstance(row, dict) and ID_KEY in row for row in rows):
                ids = [row.get(ID_KEY) if isinstance(row, dict) else None for row in rows]
            rows = [
                {key: value for key, value in row.items() if key != ID_KEY} if isinstance(row, dict) else row
                for row in rows
            ]
        read = self.reader.records(rows)
        columns = {name: [row.get(name) for row in rows] for name in self.reader.schema.id_columns}
        return self.reader.identified(read, columns), self._checked(ids, len(rows))

    def _name_the_number(self, body: bytes) -> None:
        """Raise RowsError where all that is wrong with the JSON is NaN, Infinity or a number beyond a double."""
        try:
            request = json.loads(body, parse_int=lambda digits: int(digits) if len(digits) < 300 else math.inf)
        except (ValueError, RecursionError):
            return
        if isinstance(request, dict) and isinstance(rows := request.get("rows"), list):
            self.reader.records(rows[: self.max_rows])

    def _check_count(self, n: int) -> None:
        if n > self.max_rows:
            raise Problem(413, message("requests.too_many_rows", limit=self.max_rows, got=n))

    def _checked(self, ids: Any, n: int) -> Ids | None:
        return None if ids is None else checked_ids(ids, n)


def _numbers(columns: Sequence[tuple[float | None, ...]], n: int) -> npt.NDArray[np.float64]:
    """(n, K) float64 of K columns; None becomes NaN."""
    try:
        # Half of the time that np.array takes with a list of lists.
        packed = struct.pack(f"{n * len(columns)}d", *chain.from_iterable(columns))
        return np.frombuffer(packed).reshape(len(columns), n).T
    except struct.error:  # a None
        return np.array(columns, np.float64).reshape(len(columns), n).T


def _given(cells: Sequence[Any]) -> list[Any]:
    return [None if cell is msgspec.UNSET else cell for cell in cells]


def _colons(body: bytes) -> int:
    if len(body) < 4_000:
        return body.count(b":")
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == ord(":")))


def as_id(value: Any) -> Any:
    """An id as it is kept: a whole number is its decimal text, as a table's ids are numbers in JSON and text in CSV.

    >>> as_id(7), as_id("7"), as_id(7.0), as_id(True)
    ('7', '7', 7.0, True)
    """
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**MAX_ID_CHARS
    return str(value) if whole else value


def checked_ids(ids: Any, n: int) -> Ids:
    """`n` ids as a caller may send them: printable text of 1 to MAX_ID_CHARS characters (`as_id`), or None.

    Raises
    ------
    Problem
        422: not a list of `n`.
    RowsError
        An id that is not such a text.
    """
    if not isinstance(ids, list) or len(ids) != n:
        came = message("requests.a_list_of", n=len(ids)) if isinstance(ids, list) else _form(ids)
        raise Problem(422, message("requests.ids", key=IDS_KEY, n=n, got=came))
    known: Ids = [as_id(value) for value in ids]
    errors = [
        ValidationError(i, ID_KEY, message("rows.printable", limit=MAX_ID_CHARS), f"'{shown(value)}'")
        for i, value in enumerate(known)
        if value is not None and not (isinstance(value, str) and 0 < len(value) <= MAX_ID_CHARS and value.isprintable())
    ]
    if errors:
        raise RowsError(errors)
    return known


def _form(value: object) -> Text:
    """The form of a JSON value."""
    if isinstance(value, Mapping):
        keys = [shown(key) for key in list(value)[:5]]
        return message("requests.object_with_keys", keys=keys) if keys else message("requests.empty_object")
    if isinstance(value, str):
        return message("requests.a_text")
    if isinstance(value, Sequence):
        return message("rows.a_list")
    return shown(json.dumps(value))
