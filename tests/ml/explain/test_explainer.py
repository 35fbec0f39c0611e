"""Attributions add up, agree with the shap library's exact values, are seeded, and state their error honestly."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.explain.counterfactuals import counterfactuals
from ml.explain.explainer import Explainer, Explanation, importance
from ml.explain.shapley import log_odds
from ml.schema.rows import Rows
from ml.schema.schema import Column, Schema
from tests.ml.explain.models import CASES, LEVELS, Model, linear, rows, wide


@pytest.mark.parametrize("case", CASES)
def test_attributions_add_up_to_the_score(case: str) -> None:
    """To 1e-5, whatever the method; and the score is the log-odds that the model gives."""
    score, numbers, category, classes = CASES[case]
    model = Model(score, numbers=numbers, category=category, classes=classes)
    explainer = Explainer(model, rows(60, numbers, category=category))
    some = rows(6, numbers, category=category, seed=1)
    probabilities = model.run(some.numbers, some.categories)
    for i, one in enumerate(explainer.explain(some)):
        assert one.baseline + one.attributions.sum() == pytest.approx(one.score, abs=1e-5)
        target = classes.index(one.explained_class)
        assert one.score == pytest.approx(log_odds(probabilities[i : i + 1], target)[0])
        assert target == (1 if len(classes) == 2 else probabilities[i].argmax())
        probability, usual = (1 / (1 + np.exp(-odds)) for odds in (one.score, one.baseline))
        assert one.probability_shares.sum() == pytest.approx(probability - usual, abs=1e-5)


def test_shares_of_the_probability_of_a_row_that_is_as_usual() -> None:
    """What cancels out in log-odds cancels out in points, by the slope where they are taken."""
    one = Explanation(
        explained_class="yes", score=0.0, baseline=0.0, method="exact", background_rows=1,
        attributions=np.array([1.0, -1.0]), standard_errors=np.zeros(2),
    )  # fmt: skip
    assert one.probability_shares.tolist() == [0.25, -0.25]


@pytest.mark.parametrize("case", CASES)
def test_the_baseline_is_the_mean_score_of_all_background_rows(case: str) -> None:
    """Of all, although few of them are walked from."""
    score, numbers, category, classes = CASES[case]
    model = Model(score, numbers=numbers, category=category, classes=classes)
    background = rows(60, numbers, category=category)
    (one,) = Explainer(model, background).explain(rows(1, numbers, category=category, seed=1))
    scores = log_odds(model.run(background.numbers, background.categories), classes.index(one.explained_class))
    assert one.baseline == pytest.approx(scores.mean(), abs=1e-6)
    assert one.background_rows == 60


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_attributions_add_up_whatever_the_table(data: st.DataObject) -> None:
    """Any number of columns and classes, few background rows, missing values, levels never seen."""
    numbers, category = data.draw(st.integers(1, 14)), data.draw(st.booleans())
    classes = data.draw(st.sampled_from([("no", "yes"), ("yes", "no"), ("a", "b", "c"), ("a", "b", "c", "d")]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    first, second = rng.normal(size=(2, numbers, len(classes)))
    shift = rng.normal(size=(len(LEVELS) + 1, len(classes)))

    def score(x: npt.NDArray[Any], codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
        logits = np.tanh(x @ first) * (x @ second) + shift[codes]
        return logits if len(classes) > 2 else logits[:, 0]

    model = Model(score, numbers=numbers, category=category, classes=classes)
    background = odd_rows(data.draw(st.integers(1, 20)), numbers, category, rng)
    some = odd_rows(2, numbers, category, rng)
    for i, one in enumerate(Explainer(model, background).explain(some)):
        probabilities = model.run(some.numbers[i : i + 1], some.categories[i : i + 1])
        assert one.score == log_odds(probabilities, classes.index(one.explained_class))[0]
        assert one.baseline + one.attributions.sum() == pytest.approx(one.score, abs=1e-5)
        assert np.isfinite(one.standard_errors).all()


def odd_rows(n: int, numbers: int, category: bool, rng: np.random.Generator) -> Rows:
    """Rows of which some have a value missing, some all, and some a level that nobody saw."""
    values = rng.normal(size=(n, numbers)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[rng.random(n) < 0.1] = np.nan
    texts = np.asarray([*LEVELS, "", "never seen"], object)
    return Rows(values, texts[rng.integers(0, len(texts), size=(n, int(category)))])


@pytest.mark.parametrize(
    ("case", "method"), [("additive", "additive"), ("exact", "exact"), ("permutation", "permutation")]
)
def test_the_method_follows_from_the_model(case: str, method: str) -> None:
    score, numbers, category, classes = CASES[case]
    model = Model(score, numbers=numbers, category=category, classes=classes)
    explainer = Explainer(model, rows(60, numbers, category=category))
    (one,) = explainer.explain(rows(1, numbers, category=category, seed=2))
    assert one.method == method
    assert (one.standard_errors.max() > 0) == (method == "permutation")


@pytest.fixture(scope="module")
def shap() -> Iterator[Any]:
    """The library, its loops in plain Python: compiling them takes a minute, running them a second."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("NUMBA_DISABLE_JIT", "1")
        warnings.simplefilter("ignore")
        yield importlib.import_module("shap")


def exact_by_shap(shap: Any, model: Model, background: Rows, some: Rows) -> npt.NDArray[np.float64]:
    """The shap library's exact values, with the category as a code."""
    order = [column.name for column in model.schema.columns]
    at = order.index("colour") if "colour" in order else None

    def table(given: Rows) -> npt.NDArray[np.float64]:
        values = given.numbers.astype(np.float64)
        if at is None:
            return values
        codes = np.array([float(LEVELS.index(v)) for v in given.categories[:, 0]])
        return np.insert(values, at, codes, axis=1)

    def score(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        numbers = x if at is None else np.delete(x, at, axis=1)
        codes = np.zeros((len(x), 0)) if at is None else x[:, at : at + 1]
        texts = np.asarray(LEVELS, object)[codes.astype(int)]
        return log_odds(model.run(numbers.astype(np.float32), texts), 1)

    masker = shap.maskers.Independent(table(background), max_samples=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = shap.explainers.Exact(score, masker)(table(some)).values
    return np.asarray(values)


@pytest.mark.parametrize("case", ["additive", "exact"])
def test_exact_methods_agree_with_shap(shap: Any, case: str) -> None:
    """Same background rows, same value function: the same Shapley values."""
    score, numbers, category, classes = CASES[case]
    model = Model(score, numbers=numbers, category=category, classes=classes)
    background = rows(40, numbers, category=category)
    some = rows(3, numbers, category=category, seed=3)
    ours = np.array([one.attributions for one in Explainer(model, background).explain(some)])
    theirs = exact_by_shap(shap, model, background, some)
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_sampled_values_agree_with_shap_within_their_error(shap: Any) -> None:
    """Twelve columns, so shap can still go through every subset: the stated standard error is the real one."""
    model = Model(wide, numbers=12)
    background = rows(60, 12)
    explainer = Explainer(model, background)
    some = rows(3, 12, seed=4)
    theirs = exact_by_shap(shap, model, background, some)
    z = np.array(
        [
            (one.attributions - exact) / one.standard_errors
            for one, exact in zip(explainer.explain(some), theirs, strict=True)
        ]
    )
    assert np.sqrt((z**2).mean()) < 2
    assert np.abs(z).max() < 6


def test_the_same_row_gets_the_same_numbers() -> None:
    model, background, row = Model(wide, numbers=12), rows(60, 12), rows(1, 12, seed=5)
    one, other = (Explainer(model, background, seed=7).explain(row)[0] for _ in range(2))
    np.testing.assert_array_equal(one.attributions, other.attributions)
    another = Explainer(model, background, seed=8).explain(row)[0]
    assert (another.attributions != one.attributions).any()


def test_a_column_without_influence_gets_nothing() -> None:
    """And a column that alone decides gets all."""
    model = Model(lambda x, codes: 2 * x[:, 0] ** 3, numbers=3)
    (one,) = Explainer(model, rows(30, 3)).explain(rows(1, 3, seed=6))
    assert one.attributions[1:] == pytest.approx([0, 0], abs=1e-6)
    assert one.attributions[0] == pytest.approx(one.score - one.baseline, abs=1e-6)


def test_importance_ranks_columns() -> None:
    model = Model(lambda x, codes: 3 * x[:, 1] + x[:, 0], numbers=3)
    found = importance(Explainer(model, rows(30, 3)), rows(20, 3, seed=7))
    assert list(found)[:2] == ["n1", "n0"]
    assert found["n2"] == pytest.approx(0, abs=1e-6)


def test_an_explainer_needs_background_rows() -> None:
    with pytest.raises(ValueError, match="at least one background row"):
        Explainer(Model(linear, numbers=2), rows(0, 2))


def test_changes_are_the_nearest_that_flip_the_label() -> None:
    """The decision edge is n0 = 1: the change goes just past it, and no farther."""
    model = Model(lambda x, codes: 4 * (x[:, 0] - 1), numbers=2)
    row = Rows(np.array([[0.0, 0.0]], np.float32), np.empty((1, 0), object))
    ((change,),) = counterfactuals(model, row)
    assert change.column == "n0"
    assert change.label == "yes"
    assert isinstance(change.new, float)
    assert 1 <= change.new < 1.001
    assert len(str(change.new)) <= 6, "no more digits than were searched"
    assert change.distance == pytest.approx(0.25, abs=1e-3)


def test_changes_have_the_digits_that_came() -> None:
    """A row holds float32; 12.175 was sent, and not 12.17500019."""
    model = Model(lambda x, codes: 4 * (x[:, 0] - 1), numbers=2)
    row = Rows(np.array([[0.175, 0.0]], np.float32), np.empty((1, 0), object))
    ((change,),) = counterfactuals(model, row)
    assert change.old == 0.175


def test_changes_of_categories_and_missing_values() -> None:
    model = Model(lambda x, codes: np.where(codes == 2, 1.0, -1.0), numbers=1, category=True)
    row = Rows(np.array([[np.nan]], np.float32), np.array([["red"]], object))
    (found,) = counterfactuals(model, row)
    assert [(one.column, one.old, one.new, one.label) for one in found] == [("colour", "red", "blue", "yes")]


def test_a_label_that_nothing_flips_has_no_changes() -> None:
    model = Model(lambda x, codes: np.full(len(x), 3.0), numbers=2)
    assert counterfactuals(model, rows(2, 2)) == [[], []]


def test_whole_number_columns_change_by_whole_numbers() -> None:
    model = Model(lambda x, codes: x[:, 0] - 0.5, numbers=1)
    column = Column(name="n0", kind="number", minimum=-10, maximum=10, integer=True)
    model.schema = Schema(target="y", classes=("no", "yes"), positive_label="yes", columns=(column,))
    row = Rows(np.array([[-6.0]], np.float32), np.empty((1, 0), object))
    ((change,),) = counterfactuals(model, row)
    assert change.new == 1.0
