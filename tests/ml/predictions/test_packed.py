"""Packed values are read as the JSON that SQLite has of the same row."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from ml.predictions import packed
from ml.predictions.packed import PACKED, Layout

LAYOUT = Layout(("x", "y", "z"), ("c", "d"), ("who",), ("no", "yes"))
ROWS: list[tuple[list[float], list[str]]] = [
    ([0.1, 3.0, np.nan], ["a", "", "5f"]),
    ([-2.5e-20, np.nan, np.nan], ["b", "ä", ""]),
    ([1e30, 16_777_216.0, np.nan], ["", "", "77"]),
]


def value(numbers: list[float], words: list[str], layout: Layout = LAYOUT) -> bytes:
    end = packed.words(words) if words else b""
    return PACKED + layout.key + np.array(numbers, "<f4").tobytes() + end


def as_json(numbers: list[float], words: list[str]) -> str:
    """As SQLite's way writes it (`serving/prediction_log/segments.py`)."""
    found: dict[str, Any] = {
        name: None if np.isnan(number) else float(str(np.float32(number)))
        for name, number in zip(LAYOUT.numbers, numbers, strict=True)
    }
    found |= {name: word or None for name, word in zip(("c", "d", "who"), words, strict=True)}
    return msgspec.json.encode(found).decode()


@pytest.fixture(autouse=True)
def known() -> None:
    packed.learn([LAYOUT.content])


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], ROWS[1:]], ids=["all", "first", "rest"])
def test_a_frame_is_that_of_the_json(rows: list[tuple[list[float], list[str]]]) -> None:
    """Values, types, order, and a column without any value."""
    index = pd.RangeIndex(5, 5 + len(rows))
    ours = packed.inputs_frame([value(*row) for row in rows], index)
    theirs = packed.inputs_frame([as_json(*row) for row in rows], index)
    pd.testing.assert_frame_equal(ours, theirs)


def test_rows_of_several_layouts_and_of_json_stand_in_one_frame() -> None:
    """As after a migration, or when a column was added: what a row lacks is missing."""
    other = Layout(("x", "new"), (), (), ("no", "yes"))
    packed.learn([other.content])
    values = [value(*ROWS[0]), value([1.0, 2.0], [], other), '{"x":4.0,"c":"b"}']
    frame = packed.inputs_frame(values, pd.RangeIndex(3))
    assert frame["x"].tolist() == [0.1, 1.0, 4.0]
    assert frame["new"].tolist()[1] == 2.0
    assert frame["new"].isna().tolist() == [True, False, True]
    assert frame["c"].isna().tolist() == [False, True, False]


def test_probabilities_are_by_class() -> None:
    content = PACKED + np.array([0.25, 0.75], "<f4").tobytes()
    assert packed.probabilities_of(content, value(*ROWS[0])) == {"no": 0.25, "yes": 0.75}
    assert packed.probabilities_of('{"no":0.5}', "{}") == {"no": 0.5}


def test_a_layout_that_is_not_known_is_named() -> None:
    strange = Layout(("a column that no test has learnt",), (), (), ("0", "1"))
    assert packed.unknown([value([1.0], [], strange), value(*ROWS[0]), "{}"]) == {strange.key}


@pytest.mark.parametrize("scale", [-40, -12, -3, 0, 3, 7, 30], ids=str)
def test_the_shortest_decimal_is_that_of_the_text(scale: int) -> None:
    """Over all sizes, powers of two and of ten among them: what `float(str(x))` gives."""
    rng = np.random.default_rng(scale + 100)
    some = rng.normal(size=3_000) * 10.0**scale
    edges = [0.0, -0.0, np.inf, -np.inf, 1e-45, 3.4028235e38, 1e-9, 1e5, 99_999.99, 2.0**-20, 10.0 ** max(scale, -30)]
    numbers = np.concatenate([some, np.round(some, 2), edges]).astype(np.float32)
    expected = [float(str(number)) for number in numbers]
    assert packed.shortest(numbers).tolist() == expected
