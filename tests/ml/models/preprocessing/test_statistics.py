"""Target statistics: what a level does to the odds, drawn to nothing by few rows, never of a row's own label."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from ml.models import FAMILIES
from ml.models.preprocessing import statistics
from ml.models.preprocessing.preprocessor import Preprocessor
from ml.models.preprocessing.state import Options
from ml.schema.schema import Column, Schema
from tests.ml.models.quick import PARAMS
from tests.ml.models.tables import feeds, session

RNG = np.random.default_rng(0)


def shops(
    n: int = 1_200, n_classes: int = 2, levels: int = 60, strength: float = 2.0
) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of many shops, each with odds of its own."""
    rng = np.random.default_rng(1)
    shop = rng.integers(0, levels, n)
    own = rng.normal(0, strength, (levels, n_classes))
    frame = pd.DataFrame({"x": rng.normal(size=n).astype(np.float32), "shop": [f"Hàng {s}" for s in shop]})
    frame["kind"] = np.where(frame["x"] > 0, "a", "b")
    return frame, (own[shop] + rng.gumbel(size=(n, n_classes))).argmax(axis=1).astype(np.int64)


def schema(n_classes: int = 2) -> Schema:
    columns = (Column(name="x", kind="number"), *(Column(name=c, kind="category") for c in ("shop", "kind")))
    return Schema(target="y", classes=tuple(map(str, range(n_classes))), positive_label="", columns=columns)


def learned(frame: pd.DataFrame, y: np.ndarray, n_classes: int = 2) -> dict[str, tuple[float, ...]]:
    found = statistics.learn(frame["shop"], y, np.ones(len(y)), n_classes)
    return dict(zip(found.levels, found.values, strict=True))


def test_a_statistic_is_the_change_of_the_log_odds_drawn_to_none():
    """Few rows say less than many of the same share; levels that do not differ say nothing."""
    many = pd.DataFrame({"shop": ["a"] * 400 + ["b"] * 400 + ["few"] * 4})
    y = np.array([1] * 300 + [0] * 100 + [0] * 300 + [1] * 100 + [1] * 3 + [0], dtype=np.int64)
    found = learned(many, y)
    assert found["a"][0] == pytest.approx(np.log(3), abs=0.1)
    assert found["b"][0] == pytest.approx(-np.log(3), abs=0.1)
    assert 0 < found["few"][0] < 0.8 * found["a"][0]
    frame, _ = shops()
    chance = RNG.integers(0, 2, len(frame))
    shares = pd.Series(chance).groupby(frame["shop"]).mean().clip(0.02, 0.98)
    bare = np.abs(np.log(shares / (1 - shares))).max()
    assert max(abs(value[0]) for value in learned(frame, chance).values()) < 0.5 * bare


def test_a_training_row_is_given_the_statistics_of_other_rows():
    """A level of one row says nothing of its label, and labels of noise stay noise."""
    frame, _ = shops(levels=10**6)
    y = RNG.integers(0, 2, len(frame))
    rows = Preprocessor(Options(statistics=20)).fit_rows(frame, y, 2)
    assert (rows.numbers[:, 1][frame["shop"].map(frame["shop"].value_counts()) == 1] == 0).all()
    frame, _ = shops(levels=400)
    made = statistics.out_of_fold(frame["shop"], y, np.ones(len(y)), 2)[:, 0]
    assert np.corrcoef(made, y)[0, 1] < 0.1


def test_one_label_more_changes_other_rows_alone():
    """The row whose label it is keeps its number."""
    frame, y = shops()
    other = y.copy()
    other[7] = 1 - y[7]
    first, second = (statistics.out_of_fold(frame["shop"], labels, np.ones(len(y)), 2)[:, 0] for labels in (y, other))
    assert first[7] == second[7]
    same = (frame["shop"] == frame["shop"][7]).to_numpy()
    assert (first[same] != second[same]).any()


def test_columns_of_few_levels_have_none_and_an_unseen_level_counts_as_the_prior():
    """Beside the one-hot columns, which stay."""
    frame, y = shops()
    fitted = Preprocessor(Options(statistics=20))
    rows = fitted.fit_rows(frame, y, 2)
    assert fitted.names[:2] == ["x", "odds by shop"]
    assert [one.column for one in fitted.fitted.statistics] == ["shop"]
    assert rows.dense().shape == (len(frame), fitted.width) == (len(frame), len(fitted.names))
    strange = frame.head(3).assign(shop=["never seen", "", frame["shop"][0]])
    found = fitted.transform(strange).numbers[:, 1]
    assert found[0] == found[1] == 0 != found[2]
    assert not Preprocessor(Options()).fit(frame).fitted.statistics


@pytest.mark.parametrize("which", [name for name in PARAMS if name != "blend"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_one_graph_has_them(which: str, n_classes: int) -> None:
    """Estimator and graph agree on known, unseen and missing levels; saved and restored, nothing changes."""
    frame, y = shops(400, n_classes)
    family, params = PARAMS[which]
    model = FAMILIES[family].build({**params, "statistics": 20}, schema(n_classes), seed=0, device="cpu").fit(frame, y)
    assert model.preprocessor_.fitted.statistics
    rows = frame.assign(shop=np.where(np.arange(len(frame)) % 5 == 0, "never seen", frame["shop"]))
    rows.loc[::7, "shop"] = ""
    exported = session(model, schema(n_classes)).run(["probabilities"], feeds(rows, schema(n_classes)))[0]
    np.testing.assert_allclose(exported, model.predict_proba(rows), atol=1e-6, rtol=0)
    from ml.models.families import restore

    again = restore(*model.to_state())
    np.testing.assert_array_equal(again.predict_proba(rows), model.predict_proba(rows))


def test_what_only_the_level_knows_is_learned():
    """Rare levels share one column otherwise."""
    frame, y = shops(2_000, levels=400, strength=3.0)
    test, truth = frame.tail(500), y[-500:]

    def loss(value: int) -> float:
        params = {"max_iter": 60, "max_leaf_nodes": 8, "statistics": value}
        model = FAMILIES["hist_gradient_boosting"].build(params, schema(), seed=0)
        p = model.fit(frame.head(1_500), y[:1_500]).predict_proba(test)
        return float(-np.log(p[np.arange(500), truth]).mean())

    assert loss(20) < loss(0) - 0.1


def test_an_explanation_has_one_number_a_column():
    """The column's one-hot places and its statistics change together."""
    frame, y = shops(400)
    for family in ("logistic", "mlp"):
        params = {"statistics": 20} | ({"epochs": 3, "members": 2, "hidden": (8,)} if family == "mlp" else {})
        model = FAMILIES[family].build(params, schema(), seed=0, device="cpu").fit(frame, y)
        graph = onnxruntime.InferenceSession(model.to_mixing_onnx(schema()).SerializeToString())
        rows = frame.head(2)
        known = np.eye(3, dtype=np.float32)[None]  # x, shop, kind: of the first row, one at a time
        mixed = graph.run(None, {**feeds(rows, schema()), "known": known})[0]
        by_hand = pd.concat([rows.tail(1)] * 3, ignore_index=True)
        for place, name in enumerate(["x", "shop", "kind"]):
            by_hand.loc[place, name] = rows[name].iloc[0]
        np.testing.assert_allclose(mixed, model.predict_proba(by_hand), atol=1e-6)
