"""Rows from records and columns: what is taken, what is refused by name, what is flagged."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from ml.messages import message
from ml.schema.cells import FLOAT32_LIMIT
from ml.schema.rows import RowReader, Rows
from ml.schema.schema import Column, Schema
from ml.schema.validation_errors import MAX_ERRORS, RowsError, shown

SCHEMA = Schema(
    target="y",
    classes=("no", "yes"),
    positive_label="yes",
    columns=(
        Column(name="age", kind="number", minimum=0.1, maximum=90.0),
        Column(name="plan", kind="category", categories=("free", "paid")),
        Column(name="code", kind="category", categories=("0", "1", "true")),
    ),
    ignored=("id", "y"),
    missing_markers=("", "NA", " "),
)
ROW = {"age": 30, "plan": "free", "code": "0"}


def read(*rows: dict[str, object]) -> Rows:
    return RowReader(SCHEMA).records(rows)


def test_records_become_canonical_arrays() -> None:
    """Numbers are float32, categories text, both in schema order; nothing is flagged."""
    rows = read(ROW, {"code": "1", "plan": "paid", "age": 0.5})
    assert rows.numbers.dtype == np.float32
    assert rows.numbers.tolist() == [[30.0], [0.5]]
    assert rows.categories.tolist() == [["free", "0"], ["paid", "1"]]
    assert rows.warnings == ()
    assert len(rows) == 2


@pytest.mark.parametrize("missing", [None, "", "NA", " "])
def test_missing_categories_are_empty_text(missing: str | None) -> None:
    """Null and the training table's markers mean the same; neither is an unseen category."""
    rows = read(ROW | {"plan": missing})
    assert rows.categories[0, 0] == ""
    assert rows.warnings == ()


def test_null_is_a_missing_number() -> None:
    assert math.isnan(read(ROW | {"age": None}).numbers[0, 0])


@pytest.mark.parametrize(
    ("value", "got"),
    [
        ("many", "the text 'many'"),
        ("1,234", "the text '1,234'"),
        (math.nan, "the number nan"),
        (math.inf, "the number inf"),
        (10**400, "a number too large for a double"),
        ([1], "a list"),
        ({}, "an object"),
    ],
    ids=["word", "marks", "nan", "infinite", "huge", "list", "object"],
)
def test_a_number_column_takes_finite_numbers_only(value: object, got: str) -> None:
    """The error names row and column, what was expected and what came."""
    with pytest.raises(RowsError, match=r"rows\[1\], column 'age': expected a finite number or null") as caught:
        read(ROW, ROW | {"age": value})
    told = caught.value.errors[0].to_dict()
    assert told.pop("got_code").startswith("rows.")
    assert told == {
        "row": 1, "column": "age", "expected": "a finite number or null", "got": got,
        "expected_code": "rows.finite_number",
    }  # fmt: skip


@pytest.mark.parametrize(("value", "number"), [("30", 30), (" 3e1 ", 30), ("３０", 30), (True, 1), ("NA", None)])
def test_a_text_that_spells_a_number_is_that_number(value: object, number: float | None) -> None:
    found = float(read(ROW | {"age": value}).numbers[0, 0])
    assert math.isnan(found) if number is None else found == number


def test_a_few_words_are_missing_and_flagged() -> None:
    """As in training: up to `max_bad_share` of the cells that say something, and never what is nearly a number."""
    rows = read(*[ROW] * 19, ROW | {"age": "?"})
    assert math.isnan(rows.numbers[19, 0])
    assert [warning.code for warning in rows.warnings_of(19)] == ["not_a_number"]
    assert rows.warnings_of(0) == ()
    with pytest.raises(RowsError, match="the text '\\$5'"):
        read(*[ROW] * 99, ROW | {"age": "$5"})


@pytest.mark.parametrize("value", [[], {}])
def test_a_category_column_takes_single_values_only(value: object) -> None:
    with pytest.raises(RowsError, match="column 'plan': expected a text or null"):
        read(ROW | {"plan": value})


@pytest.mark.parametrize(
    ("value", "level"), [(0, "0"), (1, "1"), (1.0, "1"), ("1.0", "1"), (True, "true"), ("TRUE", "true")]
)
def test_a_level_may_be_spelled_in_another_way(value: object, level: str) -> None:
    rows = read(ROW | {"code": value})
    assert rows.categories[0, 1] == level
    assert rows.warnings == ()


@pytest.mark.parametrize(
    ("value", "level"), [(8, "8"), ("8", "8"), (8.0, "8"), (1.5, "1.5"), (False, "False"), (10**30, "1e+30")]
)
def test_a_new_category_is_a_warning_however_it_is_written(value: object, level: str) -> None:
    rows = read(ROW | {"code": value})
    assert [warning.code for warning in rows.warnings_of(0)] == ["unseen_category"]
    assert rows.categories[0, 1] == level


def test_a_number_for_no_value_is_missing() -> None:
    """-999 and -999.0 are the marker "-999"."""
    schema = msgspec.structs.replace(SCHEMA, missing_markers=("", "-999"))
    reader = RowReader(schema)
    rows = reader.records([ROW | {"age": value, "code": value} for value in (-999, "-999.0", -999.0)])
    assert np.isnan(rows.numbers).all()
    assert rows.categories[:, 1].tolist() == ["", "", ""]
    assert math.isnan(reader.row([-999.0], ["free", -999.0]).numbers[0, 0])


def test_unknown_and_absent_columns_are_named_with_near_matches() -> None:
    with pytest.raises(RowsError) as caught:
        read({"agee": 3, "plan": "free", "code": "0"})
    absent, unknown = caught.value.errors
    assert (absent.row, absent.column) == (0, "age")
    assert (unknown.column, unknown.expected) == ("agee", message("rows.model_column_near", columns=["'age'"]))


def test_ignored_columns_may_come() -> None:
    assert read(ROW | {"id": 7, "y": "yes"}).warnings == ()


def test_a_row_that_is_no_object_is_refused() -> None:
    with pytest.raises(RowsError, match=r"rows\[0\]: expected an object of column: value, got the number 1"):
        RowReader(SCHEMA).records([1])  # type: ignore[list-item]


def test_unseen_and_out_of_range_values_are_flagged_and_kept() -> None:
    rows = read(ROW, ROW | {"age": 1000, "plan": "gold"})
    assert rows.warnings_of(0) == ()
    assert [(warning.column, warning.code) for warning in rows.warnings_of(1)] == [
        ("age", "out_of_range"),
        ("plan", "unseen_category"),
    ]
    assert rows.numbers[1, 0] == 1000
    assert rows.categories[1, 0] == "gold"


def test_the_edge_of_the_range_is_inside_of_it() -> None:
    """0.1 as a double is below 0.1 as float32, which is what training saw."""
    assert read(ROW | {"age": 0.1}).warnings == ()
    assert read(ROW | {"age": float(np.float32(0.1))}).warnings == ()
    assert read(ROW | {"age": 0.0999}).warnings != ()


def test_a_range_is_told_with_the_digits_that_the_table_had() -> None:
    """Bounds are float32, and so is a value that came as one: 41881.54 as a double is 41881.5390625."""
    low, high, beyond = (float(np.float32(value)) for value in (80.48, 41881.54, 52368.56))
    column = Column(name="x", kind="number", minimum=low, maximum=high)
    reader = RowReader(Schema(target="y", classes=("a", "b"), positive_label="b", columns=(column,)))
    (warning,) = reader.records([{"x": beyond}]).warnings_of(0)
    assert str(warning.message) == "52368.56 is outside of 80.48 to 41881.54, the range in training"


def test_what_float32_cannot_hold_is_clipped_and_flagged() -> None:
    rows = read(ROW | {"age": 1e308})
    assert rows.numbers[0, 0] == np.float32(FLOAT32_LIMIT)
    assert rows.warnings_of(0)[0].code == "out_of_range"


def test_white_space_around_a_level_does_not_make_another() -> None:
    """Training trims text, so serving does."""
    rows = read(ROW | {"plan": " free "})
    assert rows.categories[0, 0] == "free"
    assert rows.warnings == ()


def test_encoded_gives_the_rows_that_arrays_gives() -> None:
    """The way of files, with each distinct text looked at once."""
    reader, n = RowReader(SCHEMA), 40
    rng = np.random.default_rng(0)
    numbers = rng.normal(scale=80, size=(n, 1))
    distinct = ["free", " paid", "NA", "gold", ""]
    codes = rng.integers(0, len(distinct), size=(2, n))
    texts = np.array(distinct, object)[codes].T
    one = reader.arrays(numbers.copy(), texts.copy())
    other = reader.encoded(numbers.copy(), [(distinct, codes[0]), (distinct, codes[1])])
    np.testing.assert_array_equal(one.numbers, other.numbers)
    assert one.categories.tolist() == other.categories.tolist()
    assert one.warnings == other.warnings


def test_faults_are_counted_but_not_all_listed() -> None:
    with pytest.raises(RowsError, match=r"and \d+ more") as caught:
        read(*([{"age": "x", "plan": "free", "code": "0"}] * 100))
    assert len(caught.value.errors) == MAX_ERRORS


def test_messages_show_long_and_unprintable_values_readably() -> None:
    assert shown("a\nb\x00" + "c" * 500).startswith("a�b�ccc")
    assert len(shown("c" * 500)) == 80


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ((1.0, 2.0), ("red",)),
        ((0.1, -0.0), (None,)),
        ((None, 2.0), ("red",)),
        ((1.0, 1e300), ("red",)),
        ((-1e9, 2.0), (" red ",)),
        ((1.0, 2.0), ("blue",)),
        ((float(np.nextafter(np.float32(90), np.float32(91))), 90.0), ("green",)),
    ],
    ids=["usual", "zero and null text", "null", "beyond float32", "spaces", "unseen", "just out of range"],
)
def test_one_row_is_read_as_among_others(numbers: tuple[float | None, ...], texts: tuple[str | None, ...]) -> None:
    """Single rows go without arrays; the same values, texts and flags come out."""
    number = [Column(name=name, kind="number", minimum=-5.0, maximum=90.0) for name in ("a", "b")]
    category = Column(name="c", kind="category", categories=("red", "green"))
    schema = Schema(target="y", classes=("0", "1"), positive_label="1", columns=(*number, category))
    reader = RowReader(schema)
    among = reader.records([dict(zip("abc", (*numbers, *texts), strict=True))] * 2)
    alone = reader.row(numbers, texts)
    np.testing.assert_array_equal(alone.numbers, among.numbers[:1])
    assert alone.numbers.dtype == np.float32
    assert alone.categories.tolist() == among.categories[:1].tolist()
    assert alone.warnings_of(0) == among.warnings_of(0)
