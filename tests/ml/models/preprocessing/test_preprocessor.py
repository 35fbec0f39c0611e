"""What happens to a row before a model sees it."""

from __future__ import annotations

import msgspec
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.errors import SchemaError
from ml.models.onnx.graph import Graph
from ml.models.preprocessing.preprocessor import Preprocessor
from ml.models.preprocessing.state import Options, State

NAN = np.float32(np.nan)


def numbers(*values: float) -> pd.DataFrame:
    return pd.DataFrame({"a": np.array(values, dtype=np.float32)})


def texts(*values: str) -> pd.DataFrame:
    return pd.DataFrame({"c": list(values)})


def test_robust_scaling_uses_median_and_quartiles() -> None:
    """0 … 8: median 4, quartile range 4; unclipped values are (x − 4) / 4."""
    rows = Preprocessor(Options(clip="none")).fit(numbers(*range(9))).transform(numbers(0, 4, 8))
    np.testing.assert_allclose(rows.numbers.ravel(), [-1, 0, 1])


def test_a_column_of_mostly_one_value_is_scaled_by_half_its_range() -> None:
    rows = Preprocessor(Options(clip="none")).fit(numbers(*[0] * 9, 10)).transform(numbers(10))
    assert rows.numbers[0, 0] == 2.0


@pytest.mark.parametrize("order", ["as drawn", "sorted"])
def test_many_rows_are_scaled_by_quantiles_of_a_part_of_them(order: str) -> None:
    """To about a thousandth of the quartile range, also where the rows are in the order of their values."""
    values = np.random.default_rng(0).normal(size=450_000).astype(np.float32)
    values = np.sort(values) if order == "sorted" else values
    state = Preprocessor(Options()).fit(pd.DataFrame({"a": values})).fitted
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    assert state.center[0] == pytest.approx(median, abs=5e-3)
    assert state.factor[0] == pytest.approx(1 / (high - low), rel=5e-3)


def test_columns_of_other_types_are_read_as_float32() -> None:
    """Whole numbers and doubles beside float32, as a caller's own table may have them."""
    frame = pd.DataFrame({"a": np.array([0.5, 1.5], np.float32), "b": [1, 2], "c": [0.25, np.nan]})
    rows = Preprocessor(Options(scaling="none")).fit(frame).transform(frame)
    assert rows.numbers.dtype == np.float32
    np.testing.assert_array_equal(rows.numbers, np.array([[0.5, 1], [1.5, 2]], np.float32))


def test_zscores_have_mean_0_and_deviation_1() -> None:
    values = numbers(*np.random.default_rng(0).normal(5, 3, 500))
    rows = Preprocessor(Options(scaling="zscore", clip="none")).fit(values).transform(values).numbers
    assert rows.mean() == pytest.approx(0, abs=1e-5)
    assert rows.std() == pytest.approx(1, abs=1e-5)


def test_values_stay_bounded() -> None:
    """A drifting column cannot push a model far outside of where it was trained."""
    found = Preprocessor(Options(clip="smooth", clip_at=3.0)).fit(numbers(*range(9)))
    rows = found.transform(numbers(-3.4e38, -1e9, 1e9, 3.4e38)).numbers
    assert np.abs(rows).max() <= 3.0


def test_smooth_clipping_is_the_stated_formula() -> None:
    rows = Preprocessor(Options(clip="smooth", clip_at=3.0)).fit(numbers(*range(9))).transform(numbers(16)).numbers
    assert rows[0, 0] == pytest.approx(3.0 / np.sqrt(1 + (3.0 / 3.0) ** 2))


def test_missing_becomes_the_median_and_is_flagged_where_it_was_seen() -> None:
    train = pd.DataFrame({"a": numbers(1, 2, 3, NAN).a, "b": numbers(1, 2, 3, 4).a})
    found = Preprocessor(Options(clip="none")).fit(train)
    rows = found.transform(pd.DataFrame({"a": numbers(NAN).a, "b": numbers(NAN).a}))
    assert found.names == ["a", "b", "a is missing"]
    np.testing.assert_array_equal(rows.dense(), [[0, 0, 1]])


def test_constants_and_empty_columns_are_left_out() -> None:
    train = pd.DataFrame({"a": numbers(5, 5, 5).a, "b": numbers(NAN, NAN, NAN).a, "c": numbers(1, 2, 3).a})
    assert Preprocessor().fit(train).names == ["c"]


def test_rare_and_unseen_levels_share_the_other_column() -> None:
    found = Preprocessor(Options(rare=2)).fit(texts("x", "x", "y", "y", "z", ""))
    assert found.names == ["c=x", "c=y", "c=other"]
    np.testing.assert_array_equal(
        found.transform(texts("x", "z", "", "new")).dense(), [[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]]
    )


def test_an_unseen_level_is_all_zeros_where_none_was_rare() -> None:
    """No column whose weight nobody trained."""
    found = Preprocessor(Options(rare=1)).fit(texts("x", "y", ""))
    assert found.names == ["c=", "c=x", "c=y"]
    np.testing.assert_array_equal(found.transform(texts("new", "")).dense(), [[0, 0, 0], [1, 0, 0]])


def test_the_commonest_levels_are_kept() -> None:
    found = Preprocessor(Options(rare=1, max_levels=2)).fit(texts("a", "b", "b", "c", "c", "c"))
    assert found.names == ["c=c", "c=b", "c=other"]


def test_row_order_does_not_matter() -> None:
    values = ["b", "a", "b", "a", "c"]
    first, second = (Preprocessor(Options(rare=1)).fit(texts(*v)).state for v in (values, values[::-1]))
    assert first == second


def test_trees_get_numbers_as_they_are() -> None:
    train = numbers(1, 2, NAN)
    np.testing.assert_array_equal(Preprocessor(Options(scaling="none")).fit(train).transform(train).dense(), train)


def test_transform_leaves_its_input_alone() -> None:
    train = numbers(1, 2, NAN)
    before = train.copy()
    Preprocessor().fit(train).transform(train)
    pd.testing.assert_frame_equal(train, before)


def test_the_state_survives_json() -> None:
    train = pd.DataFrame({"a": numbers(0.1, 1e-30, 3e38, NAN).a, "c": ["x", "ü", "␟", ""]})
    found = Preprocessor(Options(rare=1)).fit(train)
    state = msgspec.json.decode(msgspec.json.encode(found.fitted), type=State)
    np.testing.assert_array_equal(
        Preprocessor(state.options, state).transform(train).dense(), found.transform(train).dense()
    )


def test_an_absent_column_is_named() -> None:
    with pytest.raises(SchemaError, match="column 'a'"):
        Preprocessor().fit(numbers(1, 2)).transform(texts("x"))


def test_using_it_unfitted_says_so() -> None:
    with pytest.raises(ValueError, match="not fitted"):
        Preprocessor().transform(numbers(1))


cells = st.one_of(st.just(float("nan")), st.floats(width=32, allow_nan=False, allow_infinity=False))
words = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    train=st.lists(st.tuples(cells, cells, words), min_size=2, max_size=12),
    later=st.lists(st.tuples(cells, cells, words), min_size=1, max_size=6),
    scaling=st.sampled_from(["robust", "zscore", "none"]),
    clip=st.sampled_from(["smooth", "none"]),
    rare=st.integers(1, 3),
)
def test_the_graph_does_what_transform_does(train: list, later: list, scaling: str, clip: str, rare: int) -> None:
    """On any float32 cells and any text: the same dense columns, bit for bit, and finite where scaled."""

    def frame(rows: list) -> pd.DataFrame:
        columns = list(zip(*rows, strict=True))
        data = {name: np.array(columns[i], dtype=np.float32) for i, name in enumerate("ab")}
        return pd.DataFrame({**data, "c": pd.Series(columns[2], dtype=object)})

    found = Preprocessor(Options(scaling=scaling, clip=clip, rare=rare)).fit(frame(train))  # type: ignore[arg-type]
    X = frame(later)
    expected = found.transform(X).dense()
    graph = Graph()
    model = graph.model(graph.concat(found.emit(graph)), n_numbers=2, n_categories=1, n_classes=found.width)
    feeds = {"numbers": X[["a", "b"]].to_numpy(np.float32), "categories": X[["c"]].to_numpy(object)}
    session = onnxruntime.InferenceSession(model.SerializeToString())
    got = session.run(None, feeds)[0]
    np.testing.assert_array_equal(got, expected)
    if scaling != "none":
        assert np.isfinite(expected).all()
