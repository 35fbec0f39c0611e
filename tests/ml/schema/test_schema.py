"""Schema: the order of columns, its file, and what inference decides."""

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.data.inference.infer import infer
from ml.errors import DataError, SchemaError
from ml.messages import code_of
from ml.schema.frame_coerce import canonical
from ml.schema.schema import Column, Schema
from ml.settings import Data

ROWS = 60


def table(**columns: object) -> pd.DataFrame:
    """A usable table of 60 rows with these columns beside it."""
    rng = np.random.default_rng(0)
    base = {"x": rng.normal(size=ROWS), "target": np.tile(["a", "b"], ROWS // 2)}
    return pd.DataFrame({**base, **columns})


def test_schema_survives_its_file() -> None:
    schema, _ = infer(table(c=["é\n", "", '"'] * 20), Data())
    assert Schema.from_json(schema.to_json()) == schema


def test_names_by_kind_keep_the_order() -> None:
    columns = tuple(Column(name=n, kind=k) for n, k in [("b", "number"), ("a", "category"), ("c", "number")])
    schema = Schema(target="y", classes=("0", "1"), positive_label="1", columns=columns)
    assert (schema.numbers, schema.categories) == (("b", "c"), ("a",))
    assert schema.column("a") is columns[1]
    with pytest.raises(KeyError):
        schema.column("z")


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (np.arange(ROWS) % 7, "number"),
        (np.arange(ROWS) % 2 == 0, "category"),
        (["1.5", "2", "NA"] * 20, "number"),
        (["007", "012", "100"] * 20, "category"),
        (["a", "b", ""] * 20, "category"),
        (["1", "2", "b"] * 20, "category"),
        (["1"] * 58 + ["b", "2"], "number"),
        (pd.Categorical(["a", "b"] * 30), "category"),
        (["2024-01-01", "2024-02-01"] * 30, "date"),
        (pd.date_range("2024-01-01", periods=ROWS), "date"),
        ([f"text {i}" for i in range(ROWS)], None),
        (np.arange(ROWS) + 100, None),
        (np.zeros(ROWS), None),
        (["same"] * ROWS, None),
        ([None] * ROWS, None),
        ([1.0, None] * 30, "number"),
    ],
    ids=str,
)
def test_kinds(column: object, kind: str | None) -> None:
    schema, report = infer(table(c=column), Data())
    assert {c.name: c.kind for c in schema.columns}.get("c") == kind
    assert (kind is None) == ("c" in schema.ignored)
    assert kind is not None or any(f.column == "c" and f.level == "warning" for f in report.findings)


def test_an_override_wins_and_a_wrong_one_says_so() -> None:
    codes = table(c=np.arange(ROWS) % 3)
    schema, _ = infer(codes, Data(kinds={"c": "category"}))
    assert schema.column("c").categories == ("0", "1", "2")
    with pytest.raises(DataError, match=r'column \'c\': .*must be "number", "category" or "date"'):
        infer(codes, Data(kinds={"c": "text"}))
    with pytest.raises(DataError, match=r"column 'c': .*no numbers"):
        infer(table(c=["a", "1"] * 30), Data(kinds={"c": "number"}))


def test_named_columns_that_are_absent_get_a_hint() -> None:
    with pytest.raises(DataError, match=r"data\.target names the column 'Targt'.*did you mean 'target'"):
        infer(table(), Data(target="Targt"))
    with pytest.raises(DataError, match=r"data\.id_columns names the column 'id'"):
        infer(table(), Data(id_columns=("id",)))


def test_profile_tells_ranges_levels_and_examples() -> None:
    schema, _ = infer(table(c=["b", "b", "a"] * 20, n=[1, 2, 3, None] * 15), Data())
    number, category = schema.column("n"), schema.column("c")
    assert (number.minimum, number.maximum, number.integer, number.missing_share) == (1.0, 3.0, True, 0.25)
    assert (category.categories, category.example) == (("b", "a"), "b")


def test_leaks_are_warned_of_left_out_or_refused() -> None:
    frame = pd.concat([table()] * 3, ignore_index=True)
    frame["x"] = np.random.default_rng(2).normal(size=len(frame))
    frame["answer"] = np.where(frame["target"] == "b", 3.2, -1.0) + np.random.default_rng(1).normal(0, 0.1, len(frame))
    kept, report = infer(frame, Data())
    assert "answer" in kept.numbers
    assert ("answer", "findings.leak_kept") in [(f.column, code_of(f.message)) for f in report.warnings]
    assert not any(f.column == "x" for f in report.findings)
    assert infer(frame, Data(leaks="exclude"))[0].numbers == ("x",)
    with pytest.raises(DataError, match="'answer'"):
        infer(frame, Data(leaks="reject"))


def test_a_leak_of_many_classes_in_any_order_is_found() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 400)
    frame = pd.DataFrame({"target": y, "code": np.array([3, 0, 2, 1])[y], "noise": rng.normal(size=400)})
    _, report = infer(frame, Data())
    assert [f.column for f in report.warnings] == ["code"]


def test_an_undeclared_id_with_repeats_groups_rows() -> None:
    ids = [f"C{i // 2 if i < 10 else i}" for i in range(ROWS)]
    schema, report = infer(table(customerID=ids), Data())
    assert schema.id_columns == ("customerID",)
    assert "findings.kept_together" in [code_of(f.message) for f in report.warnings]


def test_canonical_is_strict_about_columns_and_words() -> None:
    schema, _ = infer(table(c=["a", "b"] * 30), Data())
    with pytest.raises(SchemaError, match="lacks 'c'"):
        canonical(table(), schema)
    with pytest.raises(SchemaError, match="column 'x': expected a number, got 'word' in row 1"):
        canonical(table(c="a", x="word"), schema)
    rows, report = canonical(table(c="new", more=1), schema)
    assert list(rows) == ["x", "c"]
    assert {f.column for f in report.warnings} == {"", "c"}


@given(
    numbers=st.lists(
        st.one_of(st.none(), st.floats(allow_infinity=True, allow_nan=True), st.integers(-(10**30), 10**30)),
        min_size=ROWS,
        max_size=ROWS,
    ),
    texts=st.lists(st.one_of(st.none(), st.text(max_size=5)), min_size=ROWS, max_size=ROWS),
)
@settings(deadline=None, max_examples=20)
def test_canonical_of_any_table_has_its_form(numbers: list[object], texts: list[object]) -> None:
    frame = table(n=pd.Series(numbers, dtype=object), t=pd.Series(texts, dtype=object))
    schema, _ = infer(frame, Data(kinds={"n": "number", "t": "category"}))
    rows, _ = canonical(frame, schema)
    for column in schema.columns:  # an empty one is left out
        if column.kind == "number":
            assert rows[column.name].dtype == np.float32
            assert not np.isinf(rows[column.name]).any()
        else:
            assert rows[column.name].map(type).eq(str).all()
    again, _ = canonical(rows, schema)
    pd.testing.assert_frame_equal(again, rows)


def test_a_schema_from_before_dates_and_units_is_read() -> None:
    """Bundles of then go on serving."""
    written = msgspec.json.decode(infer(table(x=np.arange(ROWS) % 7 + 0.5), Data())[0].to_json())
    for column in written["columns"]:
        del column["unit"], column["date_order"]
    found = Schema.from_json(msgspec.json.encode(written))
    assert (found.dates, found.numbers) == ((), ("x",))
    assert found.columns[-1].unit == ""
