"""One cell: what counts as a number, what as a level, what float32 makes of it, and how a float32 is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def shortest(value: float) -> float:
    """The double with the fewest digits that is the same float32; reading it again gives the same row.

    >>> shortest(55.91999816894531)
    55.92
    """
    return float(str(np.float32(value)))


FLOAT32_LIMIT = 3.4e38  # just below the largest float32, 3.4028235e38
# What is read as a number where a number is written as text.
NUMBER = r"^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:inf|infinity|nan))$"


def as_number(value: Any) -> float | None:
    """A finite float of a JSON or NumPy number; None for everything else (booleans, texts, NaN, 1e400)."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def as_level(value: Any, levels: Mapping[Any, str]) -> str | None:
    """The text of a category value: a text itself, or a whole number or boolean that spells a known level."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return next((text for text in (str(bool(value)), str(bool(value)).lower()) if text in levels), None)
    if isinstance(value, int | np.integer) and abs(int(value)) < 1 << 63:
        return str(int(value)) if str(int(value)) in levels else None
    return None


def edge(bound: float, towards: float) -> float:
    """Last double that float32 rounds to `bound`: 0.1 sent as a double is not below a float32 minimum of 0.1."""
    rounded = np.float32(np.clip(bound, -FLOAT32_LIMIT, FLOAT32_LIMIT))
    if abs(rounded) == np.float32(FLOAT32_LIMIT):
        return float(rounded)
    return (float(rounded) + float(np.nextafter(rounded, np.float32(towards)))) / 2
