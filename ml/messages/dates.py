"""Dates of ISO 8601 as the readers of a language write them."""

from __future__ import annotations

import re

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(?:\.\d+)?)?", re.ASCII)


def told(date: str, language: str = "en") -> str:
    """A date, with its time where it is not midnight; another text as it is.

    English is read on both sides of the Atlantic, where 11/12/2026 is two different days: its months are names.

    >>> told("2026-01-05"), told("2026-01-05 09:03"), told("2026-01-05T09:03:30.250000"), told("2026-01-05T00:00:00.0")
    ('5 Jan 2026', '5 Jan 2026, 09:03', '5 Jan 2026, 09:03:30', '5 Jan 2026')
    >>> told("2026-01-05", "vi"), told("2026-01-05 09:03", "vi"), told("1.5e+06", "vi"), told("2026-13-05")
    ('05/01/2026', '05/01/2026 09:03', '1.5e+06', '2026-13-05')
    """
    found = _ISO.fullmatch(date)
    if found is None or not 1 <= int(found[2]) <= len(MONTHS):
        return date
    year, month, day, clock, seconds = found.groups()
    clock = f"{clock or '00:00'}{'' if seconds in (None, ':00') else seconds}"
    if language == "vi":
        return f"{day}/{month}/{year}" + ("" if clock == "00:00" else f" {clock}")
    return f"{int(day)} {MONTHS[int(month) - 1]} {year}" + ("" if clock == "00:00" else f", {clock}")
