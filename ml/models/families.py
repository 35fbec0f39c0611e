"""The families: baselines, grids and search spaces; light, so that a command line may list them."""

from __future__ import annotations

import math
from typing import Any

from ml.models.base import Family, Params, SearchSpace, TableSize
from ml.models.state import AnyState, Arrays, BlendState, BoostingState, CatBoostState, LightGBMState, MLPState
from ml.schema.schema import Schema

MANY_LEVELS = 20  # of a category that may have target statistics; our choice
FEW_ROWS = 2_000  # of a fit; with more, large trees are tried too, as boosting stops by itself: phoneme, docs/models.md
LARGE = 100_000  # rows; above it liblinear and saga take minutes for the same log-loss


def _cast(params: Params, *, whole: tuple[str, ...] = ()) -> Params:
    """A search hands over floats where whole numbers are meant, and lists where tuples are."""
    return {k: round(v) if k in whole else tuple(v) if isinstance(v, list) else v for k, v in params.items()}


def _statistics(family: str, n_levels: int) -> SearchSpace:
    """Target statistics or none, where a column has many levels."""
    from hyperopt import hp

    return {"statistics": hp.choice(f"{family}.statistics", [0, MANY_LEVELS])} if n_levels > MANY_LEVELS else {}


def start_of(family: Family, n_rows: int) -> Params:
    """The point that the search of a family begins with after the baseline; empty where it has none (`start`)."""
    start = getattr(family, "start", None)  # a family of one's own need not have it
    return start(n_rows) if start is not None else {}


def _classes(schema: Schema) -> tuple[int, ...]:
    return tuple(range(len(schema.classes)))


class LogisticFamily:
    """Logistic regression."""

    name = "logistic"
    rounds = ""
    solvers = ("liblinear", "lbfgs", "saga")

    def space(self, size: TableSize) -> SearchSpace:
        """C and solver; on large tables only solvers that finish."""
        from hyperopt import hp

        return {
            "C": hp.loguniform("logistic.C", -6.9, 6.9),
            "solver": hp.choice("logistic.solver", list(self._solvers(size.n_rows))),
            "clip": hp.choice("logistic.clip", ["smooth", "none"]),
            **_statistics(self.name, size.n_levels),
        }

    def _solvers(self, n_rows: int) -> tuple[str, ...]:
        return ("lbfgs", "newton-cholesky") if n_rows > LARGE else self.solvers

    def baseline(self, n_rows: int) -> Params:
        """C = 1 with lbfgs."""
        return {"C": 1.0, "solver": "lbfgs"}

    def grid(self) -> list[Params]:
        """The course report's grid: five strengths by three solvers."""
        return [{"C": c, "solver": solver} for c in (0.01, 0.1, 1.0, 10.0, 100.0) for solver in self.solvers]

    def build(self, params: Params, schema: Schema, *, seed: int, device: str = "cpu", threads: int = 1) -> Any:
        """An unfitted `LogisticClassifier`."""
        from ml.models.logistic import LogisticClassifier

        values = _cast(params, whole=("max_iter", "rare", "statistics"))
        return LogisticClassifier(**values, classes=_classes(schema), dates=schema.dates, random_state=seed)


class MLPFamily:
    """The PyTorch multi-layer perceptron."""

    name = "mlp"
    rounds = ""
    whole = ("bins", "embedding_width", "members", "epochs", "batch_size", "patience", "rare", "statistics")

    def space(self, size: TableSize) -> SearchSpace:
        """Centred on the defaults, so that most of fifty candidates are good ones."""
        from hyperopt import hp

        sizes = [(64,), (64, 64), (128,), (128, 128), (64, 64, 64)]
        if size.n_rows >= 20_000:
            sizes += [(256, 256), (256, 256, 256)]
        return {
            "hidden": hp.choice("mlp.hidden", sizes),
            "learning_rate": hp.lognormal("mlp.learning_rate", math.log(5e-3), 0.7),
            "weight_decay": hp.lognormal("mlp.weight_decay", math.log(3e-2), 1.7),
            "dropout": hp.quniform("mlp.dropout", 0.0, 0.5, 0.1),
            # Mapped codes choose among columns (far better where few matter), plain ones overfit less.
            "numbers": hp.choice(
                "mlp.numbers",
                [
                    {"embedding": "piecewise", "embedding_width": 0, "bins": hp.choice("mlp.bins", [4, 8, 16])},
                    {"embedding": "piecewise", "embedding_width": 4, "bins": 8},
                    {"embedding": "none"},
                ],
            ),
            **_statistics(self.name, size.n_levels),
        }

    def baseline(self, n_rows: int) -> Params:
        """The estimator's defaults."""
        return {}

    def grid(self) -> list[Params]:
        """No grid: a search does better."""
        return []

    def build(self, params: Params, schema: Schema, *, seed: int, device: str = "cpu", threads: int = 1) -> Any:
        """An unfitted `MLPClassifier`."""
        from ml.models.mlp.classifier import MLPClassifier

        # The search hands over the conditional part as one mapping.
        values = _cast({**params, **params.get("numbers", {})}, whole=self.whole)
        values.pop("numbers", None)
        if "hidden" in values:
            values["hidden"] = tuple(round(units) for units in values["hidden"])
        return MLPClassifier(
            **values, classes=_classes(schema), dates=schema.dates, random_state=seed, device=device, threads=threads
        )


class BoostingFamily:
    """scikit-learn's histogram gradient boosting."""

    name = "hist_gradient_boosting"
    rounds = "max_iter"
    whole = ("max_iter", "max_leaf_nodes", "min_samples_leaf", "patience", "rare", "statistics")

    def space(self, size: TableSize) -> SearchSpace:
        """Small trees and slow rates for small tables, larger trees as rows grow; held-out rows stop the rounds."""
        from hyperopt import hp

        leaves = [4, 8, 16, 31] if size.n_rows < FEW_ROWS else [8, 16, 31, 63, 127]
        return {
            "learning_rate": hp.loguniform("hist_gradient_boosting.learning_rate", -4.2, -1.2),
            "max_leaf_nodes": hp.choice("hist_gradient_boosting.max_leaf_nodes", leaves),
            "min_samples_leaf": hp.qloguniform("hist_gradient_boosting.min_samples_leaf", 0.7, 4.4, 1),
            "l2_regularization": hp.loguniform("hist_gradient_boosting.l2_regularization", -6.9, 3.0),
            "max_features": hp.uniform("hist_gradient_boosting.max_features", 0.3, 1.0),
            **_statistics(self.name, size.n_levels),
        }

    def baseline(self, n_rows: int) -> Params:
        """scikit-learn's defaults, slowed down for small tables, where they overfit."""
        if n_rows < 10_000:
            return {"learning_rate": 0.05, "max_leaf_nodes": 8, "max_iter": 100}
        return {"learning_rate": 0.1, "max_leaf_nodes": 31, "max_iter": 200}

    def start(self, n_rows: int) -> Params:
        """The other end of the space: large trees, where the baseline has small ones."""
        if n_rows < FEW_ROWS:
            return {}
        large = {"max_leaf_nodes": 127, "min_samples_leaf": 5, "max_features": 0.5}
        return {"learning_rate": 0.1, "l2_regularization": 1.0, "statistics": 0, **large}

    def grid(self) -> list[Params]:
        """No grid: a search does better."""
        return []

    def build(self, params: Params, schema: Schema, *, seed: int, device: str = "cpu", threads: int = 1) -> Any:
        """An unfitted `BoostingClassifier`."""
        from ml.models.boosting import BoostingClassifier

        values = _cast(params, whole=self.whole)
        return BoostingClassifier(
            **values, classes=_classes(schema), dates=schema.dates, random_state=seed, threads=threads
        )


class LightGBMFamily:
    """LightGBM, where it is installed."""

    name = "lightgbm"
    rounds = "n_estimators"
    whole = ("n_estimators", "num_leaves", "min_child_samples", "patience", "rare", "statistics")

    def space(self, size: TableSize) -> SearchSpace:
        """As scikit-learn's, with a share of the rows a tree."""
        from hyperopt import hp

        leaves = [4, 8, 16, 31] if size.n_rows < FEW_ROWS else [8, 16, 31, 63, 127]
        return {
            "learning_rate": hp.loguniform("lightgbm.learning_rate", -4.2, -1.2),
            "num_leaves": hp.choice("lightgbm.num_leaves", leaves),
            "min_child_samples": hp.qloguniform("lightgbm.min_child_samples", 0.7, 4.4, 1),
            "reg_lambda": hp.loguniform("lightgbm.reg_lambda", -6.9, 3.0),
            "colsample_bytree": hp.uniform("lightgbm.colsample_bytree", 0.3, 1.0),
            "subsample": hp.uniform("lightgbm.subsample", 0.5, 1.0),
            **_statistics(self.name, size.n_levels),
        }

    def baseline(self, n_rows: int) -> Params:
        """LightGBM's defaults, with small trees for small tables, where large ones overfit."""
        return {"num_leaves": 8} if n_rows < 10_000 else {}

    def start(self, n_rows: int) -> Params:
        """The other end of the space: large trees, where the baseline has small ones."""
        if n_rows < FEW_ROWS:
            return {}
        large = {"num_leaves": 127, "min_child_samples": 5, "colsample_bytree": 0.5, "subsample": 0.8}
        return {"learning_rate": 0.1, "reg_lambda": 1.0, "statistics": 0, **large}

    def grid(self) -> list[Params]:
        """No grid: a search does better."""
        return []

    def build(self, params: Params, schema: Schema, *, seed: int, device: str = "cpu", threads: int = 1) -> Any:
        """An unfitted `LightGBMClassifier`."""
        from ml.models.lightgbm import LightGBMClassifier

        values = _cast(params, whole=self.whole)
        return LightGBMClassifier(
            **values, classes=_classes(schema), dates=schema.dates, random_state=seed, threads=threads
        )


class CatBoostFamily:
    """CatBoost, where it is installed."""

    name = "catboost"
    rounds = "iterations"
    whole = ("iterations", "depth", "patience", "rare", "statistics")

    def space(self, size: TableSize) -> SearchSpace:
        """Around its defaults, with shallower trees for small tables."""
        from hyperopt import hp

        return {
            "learning_rate": hp.loguniform("catboost.learning_rate", -3.9, -1.2),
            "depth": hp.choice("catboost.depth", [2, 4, 6] if size.n_rows < FEW_ROWS else [4, 6, 8]),
            "l2_leaf_reg": hp.loguniform("catboost.l2_leaf_reg", -1.2, 3.4),
            "random_strength": hp.loguniform("catboost.random_strength", -2.3, 2.3),
            "subsample": hp.uniform("catboost.subsample", 0.5, 1.0),
            **_statistics(self.name, size.n_levels),
        }

    def baseline(self, n_rows: int) -> Params:
        """The estimator's defaults, with shallower trees for small tables."""
        return {"depth": 4} if n_rows < 10_000 else {}

    def grid(self) -> list[Params]:
        """No grid: a search does better."""
        return []

    def build(self, params: Params, schema: Schema, *, seed: int, device: str = "cpu", threads: int = 1) -> Any:
        """An unfitted `CatBoostClassifier`."""
        from ml.models.catboost import CatBoostClassifier

        values = _cast(params, whole=self.whole)
        return CatBoostClassifier(
            **values, classes=_classes(schema), dates=schema.dates, random_state=seed, threads=threads
        )


class BlendFamily:
    """A weighted mean of candidates of the other families; tuning's choice, so without a space of its own."""

    name = "blend"
    rounds = ""

    def __init__(self, families: dict[str, Family]) -> None:
        self._families = families

    def space(self, size: TableSize) -> SearchSpace:
        """Nothing to search: a blend is chosen from finished trials."""
        return {}

    def baseline(self, n_rows: int) -> Params:
        """Logistic regression and a network, half and half."""
        names = ("logistic", "mlp")
        return {
            "members": [
                {"family": name, "params": self._families[name].baseline(n_rows), "seed": 0, "weight": 0.5}
                for name in names
            ]
        }

    def grid(self) -> list[Params]:
        """No grid."""
        return []

    def build(self, params: Params, schema: Schema, *, seed: int, device: str = "cpu", threads: int = 1) -> Any:
        """An unfitted `BlendClassifier` of {"members": [{"family", "params", "seed", "weight"}, …]}."""
        from ml.models.blend import BlendClassifier

        members = tuple(
            (
                m["family"],
                self._families[m["family"]].build(
                    m["params"], schema, seed=m.get("seed", seed), device=device, threads=threads
                ),
            )
            for m in params["members"]
        )
        return BlendClassifier(members, tuple(float(m["weight"]) for m in params["members"]), _classes(schema))


def restore(state: AnyState, arrays: Arrays) -> Any:
    """The fitted estimator that `to_state` described.

    Raises
    ------
    KeyError, ValueError, RuntimeError
        Arrays are missing, or of other shapes than the state says.
    """
    if isinstance(state, BlendState):
        from ml.models import blend

        members = [restore(member, blend.member_arrays(arrays, i)) for i, member in enumerate(state.members)]
        return blend.from_state(state, members)
    if isinstance(state, MLPState):
        from ml.models.mlp import classifier

        return classifier.from_state(state, arrays)
    if isinstance(state, BoostingState):
        from ml.models.boosting import BoostingClassifier

        return BoostingClassifier.from_state(state, arrays)
    if isinstance(state, LightGBMState):
        from ml.models.lightgbm import LightGBMClassifier

        return LightGBMClassifier.from_state(state, arrays)
    if isinstance(state, CatBoostState):
        from ml.models.catboost import CatBoostClassifier

        return CatBoostClassifier.from_state(state, arrays)
    from ml.models import logistic

    return logistic.from_state(state, arrays)
