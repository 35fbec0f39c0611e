"""One contract for every family: what it takes, what it gives, and that its export gives the same."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from ml.errors import DataError, SchemaError, TrainingError
from ml.models import ALL_FAMILIES, FAMILIES, OPTIONAL, refuse_unknown
from ml.models.base import TableSize
from ml.schema.schema import Schema
from tests.ml.models.quick import PARAMS, params_of
from tests.ml.models.tables import feeds, schema_of, session, table

SHAPES = {
    "mixed": {"numbers": 4, "categories": 3},
    "numbers only": {"numbers": 3, "categories": 0},
    "numbers without missing": {"numbers": 3, "categories": 0, "missing": 0.0},
    "categories only": {"numbers": 0, "categories": 2},
    "with dates": {"numbers": 2, "categories": 1, "dates": 3},
    "one date": {"numbers": 0, "categories": 0, "dates": 1},
    "one column": {"numbers": 1, "categories": 0},
}

families = pytest.mark.parametrize("which", PARAMS, ids=PARAMS)
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def build(which: str, schema: Schema, seed: int = 7) -> Any:
    family, params = PARAMS[which]
    return ALL_FAMILIES[family].build(params, schema, seed=seed, device="cpu")


def fitted(which: str, n: int = 200, n_classes: int = 2, **shape: Any) -> tuple[Any, Schema, pd.DataFrame, np.ndarray]:
    X, y = table(n, n_classes=n_classes, **shape)
    schema = schema_of(X, n_classes)
    return build(which, schema).fit(X, y), schema, X, y


def strange(n: int = 500, **shape: Any) -> pd.DataFrame:
    """Other rows of the same table, with unseen levels, missing cells and huge numbers among them."""
    X, _ = table(n, seed=9, **{"missing": 0.1, **shape})
    for name in X.columns:
        if pd.api.types.is_numeric_dtype(X[name]):
            X.loc[::11, name] = np.float32(np.nan)
            X.loc[3::50, name] = np.float32(3.4e38)
            X.loc[4::50, name] = np.float32(-3.4e38)
        else:
            X.loc[::7, name] = "never seen"
    return X


@families
@shapes
@pytest.mark.parametrize("n_classes", [2, 4])
def test_onnx_agrees_with_the_estimator(which: str, shape: dict[str, Any], n_classes: int) -> None:
    """With missing, unseen and huge values, the class probabilities differ by less than 1e-5."""
    model, schema, _, _ = fitted(which, n_classes=n_classes, **shape)
    rows = strange(**shape)
    exported = session(model, schema).run(["probabilities"], feeds(rows, schema))[0]
    assert exported.dtype == np.float32
    np.testing.assert_allclose(exported, model.predict_proba(rows), atol=1e-5, rtol=0)


@families
@pytest.mark.parametrize("shape", [SHAPES["mixed"], SHAPES["categories only"]], ids=["mixed", "categories only"])
def test_onnx_gives_a_row_the_same_bits_alone_and_in_a_batch(which: str, shape: dict[str, Any]) -> None:
    """Batches of 1, 2, 7 and all 500 rows give identical float32 bits."""
    model, schema, _, _ = fitted(which, n_classes=3, **shape)
    run, rows = session(model, schema), feeds(strange(**shape), schema)
    whole = run.run(None, rows)[0]
    for size in (1, 2, 7):
        parts = [run.run(None, {k: v[i : i + size] for k, v in rows.items()})[0] for i in range(0, 500, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


@families
@shapes
def test_probabilities_are_a_distribution(which: str, shape: dict[str, Any]) -> None:
    """float64 (n, C), between 0 and 1, rows sum to 1; predict is the most probable class."""
    model, _, _, _ = fitted(which, n_classes=3, **shape)
    rows = strange(60, **shape)
    p = model.predict_proba(rows)
    assert p.shape == (60, 3)
    assert p.dtype == np.float64
    assert ((p >= 0) & (p <= 1)).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(model.predict(rows), model.classes_[p.argmax(axis=1)])


@families
def test_same_seed_and_data_give_the_same_model(which: str) -> None:
    """Every array of the state is bitwise the same."""
    (_, first), (_, second) = fitted(which)[0].to_state(), fitted(which)[0].to_state()
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


@families
def test_learns(which: str) -> None:
    """Beats the class shares' log-loss on rows it has not seen."""
    X, y = table(800, missing=0.0)
    params = {"epochs": 15, "batch_size": 32, "hidden": (16,)}
    family, given = PARAMS[which]
    model = ALL_FAMILIES[family].build({**given, **(params if family == "mlp" else {})}, schema_of(X, 2), seed=1)
    p = model.fit(X[:500], y[:500]).predict_proba(X[500:])
    assert -np.log(p[np.arange(300), y[500:]]).mean() < 0.95 * np.log(2.0)


@families
def test_a_class_without_training_rows_keeps_its_column(which: str) -> None:
    """A fold may lack a class that the schema names: C stays, in the estimator and in the export."""
    X, y = table(200, n_classes=3)
    schema = schema_of(X, 3)
    X, y = X[y != 1], y[y != 1]
    model = build(which, schema).fit(X, y)
    p = model.predict_proba(X)
    assert p.shape == (len(X), 3)
    assert p[:, 1].max() < 0.2
    np.testing.assert_allclose(session(model, schema).run(None, feeds(X, schema))[0], p, atol=1e-5)


@families
def test_validation_rows_may_have_unseen_levels_and_classes(which: str) -> None:
    """Rows to stop on come from later data."""
    X, y = table(150, n_classes=3)
    Z, z = table(60, n_classes=3, seed=3)
    Z.loc[:, "c0"] = "new"
    keep = y != 2
    model = build(which, schema_of(X, 3)).fit(X[keep], y[keep], validation=(Z, z))
    assert np.isfinite(model.predict_proba(Z)).all()


@families
def test_sample_weights_matter(which: str) -> None:
    """Rows of weight near 0 lose their say."""
    X, y = table(300, missing=0.0)
    weight = np.where(y == 1, 1.0, 1e-3)
    schema = schema_of(X, 2)
    weighted = build(which, schema).fit(X, y, sample_weight=weight).predict_proba(X)[:, 1].mean()
    assert weighted > build(which, schema).fit(X, y).predict_proba(X)[:, 1].mean() + 0.1


@families
def test_columns_are_found_by_name(which: str) -> None:
    """The order of a frame's columns does not matter to predict."""
    model, _, X, _ = fitted(which)
    np.testing.assert_array_equal(model.predict_proba(X[list(X.columns[::-1])]), model.predict_proba(X))


@families
def test_a_missing_column_is_named(which: str) -> None:
    model, _, X, _ = fitted(which)
    with pytest.raises(SchemaError, match="c1"):
        model.predict_proba(X.drop(columns="c1"))


@families
def test_export_for_another_schema_is_refused(which: str) -> None:
    model, _, X, _ = fitted(which)
    with pytest.raises(SchemaError, match="fitted on"):
        model.to_onnx(schema_of(X.drop(columns="c1"), 2))


@families
def test_one_class_is_refused(which: str) -> None:
    X, y = table(60)
    with pytest.raises(DataError, match="class"):
        build(which, schema_of(X, 2)).fit(X, np.zeros_like(y))


@families
def test_a_table_that_never_varies_is_refused(which: str) -> None:
    X = pd.DataFrame({"a": np.full(40, np.float32(3)), "b": np.full(40, np.float32(np.nan))})
    with pytest.raises(DataError, match="no column varies"):
        build(which, schema_of(X, 2)).fit(X, np.arange(40) % 2)


@families
def test_describes_itself(which: str) -> None:
    """Family and number of parameters, as JSON takes them."""
    import json

    facts = json.loads(msgspec.json.encode(fitted(which)[0].describe()))
    assert facts["family"] == PARAMS[which][0]
    assert facts["parameters"] > 0


@families
def test_a_refit_forgets_the_first_fit(which: str) -> None:
    X, y = table(200)
    schema = schema_of(X, 2)
    model = build(which, schema).fit(X[:100], y[:100])
    again = model.fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(again, build(which, schema).fit(X, y).predict_proba(X))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("n_rows", [500, 200_000])
def test_every_point_of_a_space_builds(name: str, n_rows: int) -> None:
    """Labels carry the family's name; samples, also as JSON gives them back, build an estimator."""
    import json

    from hyperopt.pyll.base import dfs
    from hyperopt.pyll.stochastic import sample

    family, schema = FAMILIES[name], schema_of(table(5)[0], 2)
    space = family.space(TableSize(n_rows, 2))
    for expression in space.values():
        labels = [node.pos_args[0].obj for node in dfs(expression) if node.name == "hyperopt_param"]
        assert labels
        assert all(label.startswith(f"{name}.") for label in labels)
    rng = np.random.default_rng(0)
    for _ in range(20):
        params = {key: sample(expression, rng) for key, expression in space.items()}
        params = {k: v.item() if isinstance(v, np.generic) else v for k, v in params.items()}
        model = family.build(json.loads(json.dumps(params)), schema, seed=0)
        nested = params.pop("numbers", {})
        assert set(params) | set(nested) <= set(model.get_params())


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("n_rows", [100, 50_000])
def test_baselines_and_grids_build(name: str, n_rows: int) -> None:
    family, schema = FAMILIES[name], schema_of(table(5)[0], 2)
    for params in [family.baseline(n_rows), *family.grid()]:
        family.build(params, schema, seed=0)


def test_the_logistic_grid_is_five_by_three() -> None:
    grid = FAMILIES["logistic"].grid()
    assert {(p["C"], p["solver"]) for p in grid} == {
        (c, s) for c in (0.01, 0.1, 1.0, 10.0, 100.0) for s in ("liblinear", "lbfgs", "saga")
    }


def test_a_new_family_is_held_to_the_contract() -> None:
    """By one line in FAMILIES: every parametrised test here takes it up."""
    assert {*FAMILIES, "blend"} == {family for family, _ in PARAMS.values()}
    more = params_of({**FAMILIES, "new": FAMILIES["hist_gradient_boosting"]})
    assert more["new"] == ("new", FAMILIES["hist_gradient_boosting"].baseline(200))


def test_listing_families_loads_no_learning_library() -> None:
    """`python -m ml --help` must not pay for torch."""
    import subprocess
    import sys

    heavy = "import sys, ml.models; print([m for m in ('torch', 'sklearn', 'hyperopt') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout == "[]\n"


@families
def test_a_fit_tells_what_it_cost(which: str) -> None:
    """Counted by what it did: the same for the same fit, and more for more rows."""
    small, again, large = fitted(which)[0], fitted(which)[0], fitted(which, n=800)[0]
    assert 0 < small.cost(200) == again.cost(200)
    assert large.cost(800) > small.cost(200)


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_family_that_can_be_installed_is_told_with_how(name: str) -> None:
    refuse_unknown(["logistic"])
    with pytest.raises(TrainingError) as told:
        refuse_unknown(["logistic", name], among=["logistic", "mlp"])
    assert str(told.value) == (
        f"family '{name}' is not installed here: .venv/bin/pip install {name}, then ./run_pipeline.sh, which starts "
        "anew what runs; there are logistic, mlp"
    )
