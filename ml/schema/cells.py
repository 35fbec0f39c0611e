"""One cell, one value, one spelling: what a cell says as a number, as a category, or as nothing.

Training, every entrance of the service and the model as MLflow loads it read cells by these rules: column by column in
`ml.schema.arrow_cells`, cell by cell here. It imports NumPy alone: its text is logged with every model
(`ml.bundle.mlflow_flavor`).
"""

from __future__ import annotations

import datetime
import functools
import re
import unicodedata
from typing import Any

import numpy as np

FLOAT32_LIMIT = 3.4e38  # just below the largest float32, 3.4028235e38
# What is read as a number where a number is written as text.
NUMBER = r"^[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf|infinity|nan))$"
# Texts that spell a category in another way: a boolean, a whole number with decimals.
RESPELLED = r"^(?:(?i:true|false)|-?[0-9]+\.0+)$"
# Signs that are written like a mark between thousands.
LIKE_MARKS = {" ": "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}", "'": "\N{RIGHT SINGLE QUOTATION MARK}"}

Markers = tuple[str, ...] | frozenset[str]  # words for "no value", in their one spelling

# Dates: year first as ISO 8601 has it (also with / or .), or two numbers and a year of four digits; with a time behind.
DATE = (
    r"^(?:(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})|(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}))"
    r"(?:[T ](\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?) ?(Z|[+-]\d{2}:?\d{2})?)?$"
)
WEEKDAYS = ("Saturday", "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday")  # of 2000-01-01 and after
_DATE = re.compile(DATE, re.ASCII)
_ORIGIN = datetime.date(2000, 1, 1).toordinal()
_NUMBER, _RESPELLED = re.compile(NUMBER), re.compile(RESPELLED)
_BLANKS = "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_ASCII: dict[int, int | str | None] = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},  # full-width signs
    **dict.fromkeys(map(ord, _BLANKS), " "),
    0x2212: "-",  # the minus sign
    0x200B: None,  # what nobody sees
    0xFEFF: None,
}
_AMOUNT = r"[0-9][0-9.,' ]*"
_WRITTEN = re.compile(rf"[+-]?\$? ?[+-]?{_AMOUNT}\$?%?|\(\$? ?{_AMOUNT}\$?\)")


def spelled(text: str) -> str:
    """A text in its one spelling: NFC; digits, full-width signs, blanks and the minus sign in ASCII; trimmed.

    >>> spelled(" １２ "), spelled("−5"), spelled("Cafe\\u0301") == "Caf\\u00e9"
    ('12', '-5', True)
    """
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode().translate(_ASCII)  # a lone surrogate is no character
        text = "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)
        text = unicodedata.normalize("NFC", text)
    return text.strip()


def level(value: Any) -> str | None:
    """The category that a cell says; "" for missing, None for what is no single value (a list, an object).

    >>> [level(value) for value in (True, "TRUE", 3, 3.0, "3.0", " 3", "3.50", float("nan"), [3])]
    ['True', 'True', '3', '3', '3', '3', '3.50', '', None]
    """
    if isinstance(value, np.generic):
        value = shortest(float(value)) if isinstance(value, np.float32 | np.float16) else value.item()
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, int) and not -(1 << 63) < value < 1 << 63:
        value = number(value)
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1 << 63 else repr(value)
    if not isinstance(value, str):
        return None
    text = spelled(value)
    if not _RESPELLED.match(text):
        return text
    return text.split(".")[0] if "." in text else text.capitalize()


def same_label(value: Any) -> str:
    """What the labels of one class have in common, however their case and spelling is."""
    return (level(value) or "").casefold()


def label_names(classes: tuple[str, ...]) -> dict[str, str]:
    """The class of every `same_label`; true is 1 and false is 0 where the classes do not say otherwise.

    >>> names = label_names(("0", "1"))
    >>> [names.get(same_label(value)) for value in (1, 1.0, " 1", "1.0", True, "TRUE", "2")]
    ['1', '1', '1', '1', '1', '1', None]
    """
    names = {same_label(label): label for label in classes}
    for one, other in (("true", "1"), ("false", "0")):
        for given, known in ((one, other), (other, one)):
            if known in names:
                names.setdefault(given, names[known])
    return names


def number(value: Any, markers: Markers = ("",), decimal: str = ".", thousands: str = "") -> float | None:
    """The number that a cell says; NaN for missing, infinity as it stands, None for what is no number.

    A boolean is 1 or 0.

    Parameters
    ----------
    markers
        Texts, as `spelled` writes them, that say "missing".
    decimal, thousands
        The signs in use; "" is no sign.

    >>> number("1.234,5", decimal=",", thousands="."), number("12.5", decimal=","), number("１２"), number(True)
    (1234.5, None, 12.0, 1.0)
    """
    if value is None:
        return float("nan")
    if isinstance(value, str):
        text = spelled(value)
        if text in markers:
            return float("nan")
        plain = _unmarked(text, decimal, thousands)
        parsed = float(plain) if plain is not None and _NUMBER.match(plain) else None
    elif isinstance(value, bool | int | float | np.number | np.bool_):
        try:
            parsed = float(value)
        except OverflowError:
            parsed = float("inf") if value > 0 else float("-inf")
    else:
        return None
    return float("nan") if parsed in missing_numbers(markers) else parsed


def without_unit(text: str, unit: str) -> str:
    """A number's text without its unit.

    >>> without_unit("12 months", "months"), without_unit("12", "months"), without_unit("12 kg", "months")
    ('12', '12', '12 kg')
    """
    return text.removesuffix(unit).rstrip() if unit else text


def days(value: Any, markers: Markers = ("",), order: str = "") -> float | None:
    """The days since 2000-01-01 (UTC) that a date is; NaN for missing, None for what is no date.

    Parameters
    ----------
    markers
        Texts, as `spelled` writes them, that say "missing".
    order
        "day-first" and "month-first" read 03/04/2024 beside ISO 8601; "days": numbers of days are such.

    >>> days("2000-01-31"), days("2000-01-02T12:00Z"), days("31/01/2000", order="day-first"), days("31/01/2000")
    (30.0, 1.5, 30.0, None)
    """
    if value is None or type(value).__name__ == "NaTType":
        return float("nan")
    if isinstance(value, datetime.date):
        value = value.isoformat()
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        plain = float(value)
        return plain if order == "days" or plain != plain else None
    if not isinstance(value, str):
        return None
    text = spelled(value)
    if text in markers:
        return float("nan")
    found = _DATE.match(text)
    if not found:
        return None
    year, month, day, one, other, late_year, clock, zone = found.groups()
    if year is None:
        if order not in ("day-first", "month-first"):
            return None
        year, (day, month) = late_year, (one, other) if order == "day-first" else (other, one)
    try:
        moment = datetime.date(int(year), int(month), int(day))
    except ValueError:
        return None
    return moment.toordinal() - _ORIGIN + _part_of_day(clock, zone)


def _part_of_day(clock: str | None, zone: str | None) -> float:
    if not clock:
        return 0.0
    hour, minute, *second = clock.replace(",", ".").split(":")
    minutes = int(hour) * 60 + int(minute) + float(second[0] if second else 0) / 60
    if zone and zone != "Z":
        sign, digits = (-1 if zone[0] == "+" else 1), zone[1:].replace(":", "")
        minutes += sign * (int(digits[:2]) * 60 + int(digits[2:]))
    return minutes / 1440


def iso(days_since: float) -> str:
    """A date as ISO 8601 has it, with its time where it is not midnight.

    >>> iso(30.0), iso(1.5), iso(-1.0)
    ('2000-01-31', '2000-01-02T12:00', '1999-12-31')
    """
    seconds = round(days_since * 86_400)
    moment = datetime.datetime(2000, 1, 1) + datetime.timedelta(seconds=seconds)
    if seconds % 86_400 == 0:
        return moment.date().isoformat()
    return moment.isoformat(timespec="seconds" if moment.second else "minutes")


def _unmarked(text: str, decimal: str, thousands: str) -> str | None:
    """A number as Python writes it, or None where a mark stands where it cannot; see `grouped`."""
    for like in LIKE_MARKS.get(thousands, ""):
        text = text.replace(like, thousands)
    if decimal != "." and thousands != "." and "." in text:
        return None
    if thousands and thousands in text:
        if not re.match(grouped(decimal, thousands), text):
            return None
        text = text.replace(thousands, "")
    return text.replace(decimal, ".")


def grouped(decimal: str, thousands: str) -> str:
    """The pattern of a number with marks: groups of three, the first without a leading zero, one decimal mark."""
    return rf"^[+-]?[1-9][0-9]{{0,2}}(?:{re.escape(thousands)}[0-9]{{3}})+(?:{re.escape(decimal)}[0-9]*)?$"


@functools.lru_cache(maxsize=64)
def missing_numbers(markers: Markers) -> frozenset[float]:
    """Numbers among the words for "no value", such as -999: they are missing however they are written."""
    return frozenset(float(marker) for marker in markers if _NUMBER.match(marker) and float(marker) == float(marker))


def is_written_number(text: str, kind: str = "number") -> bool:
    """Whether a word is a number with signs that were not read: a mark, a currency sign, a per cent sign, brackets.

    In a column of the kind "date", whether it is a date that was not read. It says something, so it is never taken as
    missing.

    >>> [is_written_number(text) for text in ("1,234", "€ 5", "12 %", "(12.50)", "?", "n/a", "2024-01-31")]
    [True, True, True, True, False, False, False]
    """
    text = spelled(text)
    if kind == "date" and _DATE.match(text):
        return True
    for like in LIKE_MARKS["'"]:
        text = text.replace(like, "'")
    text = "".join("$" if unicodedata.category(char) == "Sc" else char for char in text).replace(" $", "$")
    return bool(_WRITTEN.fullmatch(text.replace(" %", "%")))


def shortest(value: float) -> float:
    """The double with the fewest digits that is the same float32; reading it again gives the same row.

    >>> shortest(55.91999816894531)
    55.92
    """
    return float(str(np.float32(value)))


def edge(bound: float, towards: float) -> float:
    """Last double that float32 rounds to `bound`: 0.1 sent as a double is not below a float32 minimum of 0.1."""
    rounded = np.float32(np.clip(bound, -FLOAT32_LIMIT, FLOAT32_LIMIT))
    if abs(rounded) == np.float32(FLOAT32_LIMIT):
        return float(rounded)
    return (float(rounded) + float(np.nextafter(rounded, np.float32(towards)))) / 2
