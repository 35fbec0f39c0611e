"""Peers of `bench.quality`: each takes a snapshot's rows and a clock, and gives probabilities of the test rows.

lightgbm     LightGBM, defaults
lightgbm*    the same, tuned by Optuna's TPE on five-fold log-loss until the clock is out
catboost     CatBoost, defaults, its own handling of categories
catboost*    tuned in the same way; its number of trees is the mean of where the folds stopped
realmlp      RealMLP with its published defaults (pytabkit), for log-loss: stopped by it, no label smoothing;
             fitted with new seeds until the clock is out, and the probabilities averaged
tabm         TabM with its published defaults (pytabkit), in the same way
autogluon    AutoGluon's preset for medium quality on a CPU; its limit goes by the wall, so a quiet machine is needed
hgb, mlp     scikit-learn's HistGradientBoostingClassifier and MLPClassifier (stopped early, on scaled, one-hot columns)

Each uses one thread. None but `realmlp`, `tabm` and `autogluon` sets training rows aside; none sees a test label.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np


class Clock:
    """CPU seconds of this process: a machine that is shared takes nothing of them."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._started = seconds, time.process_time()

    @property
    def used(self) -> float:
        """Since the clock was made."""
        return time.process_time() - self._started

    @property
    def out(self) -> bool:
        """Whether the time is used up."""
        return self.used >= self.seconds


class Rows:
    """Training and validation rows together, categories as pandas categories; the codes; the test rows likewise."""

    def __init__(self, snapshot: Any) -> None:
        import pandas as pd

        train, valid, test = (snapshot.part(name) for name in ("train", "validation", "test"))
        self.X = pd.concat([train.X, valid.X], ignore_index=True)
        self.T = test.X.reset_index(drop=True)
        self.y = np.concatenate([train.y, valid.y])
        self.numbers, self.categories = list(snapshot.schema.numbers), list(snapshot.schema.categories)
        for name in self.categories:
            kind = pd.CategoricalDtype(sorted(set(self.X[name]) | set(self.T[name])))
            self.X[name], self.T[name] = self.X[name].astype(kind), self.T[name].astype(kind)

    def filled(self) -> tuple[Any, Any]:
        """Both with the median for a missing number and a column that says so, for peers that take none."""
        X, T = self.X.copy(), self.T.copy()
        for name in self.numbers:
            if X[name].isna().any() or T[name].isna().any():
                median = X[name].median()
                for frame in (X, T):
                    frame[f"{name} is missing"] = frame[name].isna().astype(np.float32)
                    frame[name] = frame[name].fillna(median)
        return X, T


def mlp(rows: Rows, clock: Clock, seed: int) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    encode = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), rows.numbers),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), rows.categories),
    )
    model = make_pipeline(encode, MLPClassifier(early_stopping=True, max_iter=500, random_state=seed))
    return model.fit(rows.X, rows.y).predict_proba(rows.T)


def hgb(rows: Rows, clock: Clock, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=seed)
    return model.fit(rows.X, rows.y).predict_proba(rows.T)


def lightgbm(rows: Rows, clock: Clock, seed: int) -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(random_state=seed, n_jobs=1, verbose=-1).fit(rows.X, rows.y).predict_proba(rows.T)


def lightgbm_tuned(rows: Rows, clock: Clock, seed: int) -> Any:
    from lightgbm import LGBMClassifier
    from sklearn.model_selection import cross_val_score

    def model(trial: Any) -> Any:
        return LGBMClassifier(
            n_estimators=trial.suggest_int("n_estimators", 30, 500, log=True),
            learning_rate=trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
            num_leaves=trial.suggest_int("num_leaves", 3, 127, log=True),
            min_child_samples=trial.suggest_int("min_child_samples", 2, 100, log=True),
            reg_lambda=trial.suggest_float("reg_lambda", 1e-3, 30.0, log=True),
            colsample_bytree=trial.suggest_float("colsample_bytree", 0.3, 1.0),
            subsample=trial.suggest_float("subsample", 0.5, 1.0),
            subsample_freq=1, random_state=seed, n_jobs=1, verbose=-1,
        )  # fmt: skip

    cut = folds(rows.y, seed)
    best = search(
        lambda trial: -cross_val_score(model(trial), rows.X, rows.y, cv=cut, scoring="neg_log_loss").mean(), clock, seed
    )
    return model(best).fit(rows.X, rows.y).predict_proba(rows.T)


def catboost(rows: Rows, clock: Clock, seed: int) -> Any:
    return _cat(rows, seed).fit(rows.X, rows.y).predict_proba(rows.T)


def catboost_tuned(rows: Rows, clock: Clock, seed: int) -> Any:
    from sklearn.metrics import log_loss

    labels, cut = np.unique(rows.y), folds(rows.y, seed)

    def params(trial: Any) -> dict[str, Any]:
        return {
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
            "depth": trial.suggest_int("depth", 2, 8),
            "l2_leaf_reg": trial.suggest_float("l2_leaf_reg", 0.3, 30.0, log=True),
            "random_strength": trial.suggest_float("random_strength", 0.1, 10.0, log=True),
            "subsample": trial.suggest_float("subsample", 0.5, 1.0),
            "bootstrap_type": "Bernoulli",
        }

    def loss(trial: Any) -> float:
        losses, trees = [], []
        for train, held in cut:
            model = _cat(rows, seed, iterations=1000, early_stopping_rounds=30, **params(trial))
            model.fit(rows.X.iloc[train], rows.y[train], eval_set=(rows.X.iloc[held], rows.y[held]))
            losses.append(log_loss(rows.y[held], model.predict_proba(rows.X.iloc[held]), labels=labels))
            trees.append(model.tree_count_)
        trial.set_user_attr("trees", float(np.mean(trees)))
        return float(np.mean(losses))

    best = search(loss, clock, seed)
    model = _cat(rows, seed, iterations=max(1, round(best.user_attrs["trees"] * 1.1)), **params(best))
    return model.fit(rows.X, rows.y).predict_proba(rows.T)


def _cat(rows: Rows, seed: int, **params: Any) -> Any:
    from catboost import CatBoostClassifier

    return CatBoostClassifier(
        thread_count=1,
        verbose=False,
        allow_writing_files=False,
        random_seed=seed,
        cat_features=rows.categories,
        **params,
    )


def realmlp(rows: Rows, clock: Clock, seed: int) -> Any:
    from pytabkit import RealMLP_TD_Classifier

    return averaged(lambda n: RealMLP_TD_Classifier(**_kit(n), use_ls=False), rows, clock, seed)


def tabm(rows: Rows, clock: Clock, seed: int) -> Any:
    from pytabkit import TabM_D_Classifier

    return averaged(lambda n: TabM_D_Classifier(**_kit(n)), rows, clock, seed)


def _kit(seed: int) -> dict[str, Any]:
    named = {"device": "cpu", "n_threads": 1, "verbosity": 0}
    return {**named, "random_state": seed, "val_metric_name": "cross_entropy"}


def averaged(model: Callable[[int], Any], rows: Rows, clock: Clock, seed: int) -> Any:
    """Mean of the probabilities of fits with seeds of their own, until one more would be too many for the clock."""
    X, T = rows.filled()
    fits: list[Any] = []
    while not fits or clock.used * (1 + 1 / len(fits)) <= clock.seconds:
        fits.append(model(1_000 * seed + len(fits)).fit(X, rows.y).predict_proba(T))
    return np.mean(fits, axis=0)


def autogluon(rows: Rows, clock: Clock, seed: int) -> Any:
    import tempfile

    from autogluon.tabular import TabularPredictor

    with tempfile.TemporaryDirectory() as folder:
        predictor = TabularPredictor("the target", path=folder, eval_metric="log_loss", verbosity=0)
        predictor.fit(
            rows.X.assign(**{"the target": rows.y}), time_limit=clock.seconds, presets="medium_quality", num_cpus=1
        )
        return predictor.predict_proba(rows.T)[list(range(int(rows.y.max()) + 1))].to_numpy()


def folds(y: Any, seed: int) -> list[Any]:
    """Five, stratified."""
    from sklearn.model_selection import StratifiedKFold

    return list(StratifiedKFold(5, shuffle=True, random_state=seed).split(np.zeros(len(y)), y))


def search(loss: Callable[[Any], float], clock: Clock, seed: int) -> Any:
    """The best trial of Optuna's TPE when the clock is out, as a trial that suggests its values."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(loss, callbacks=[lambda study, _: study.stop() if clock.out else None])
    return study.best_trial


Method = Callable[[Rows, Clock, int], Any]
METHODS: dict[str, tuple[Method, tuple[str, ...]]] = {  # the method, and the packages it needs beside ours
    "hgb": (hgb, ()),
    "mlp": (mlp, ()),
    "lightgbm": (lightgbm, ("lightgbm",)),
    "lightgbm*": (lightgbm_tuned, ("lightgbm", "optuna")),
    "catboost": (catboost, ("catboost",)),
    "catboost*": (catboost_tuned, ("catboost", "optuna")),
    "realmlp": (realmlp, ("pytabkit", "pytorch_lightning", "torchmetrics")),
    "tabm": (tabm, ("pytabkit", "pytorch_lightning", "torchmetrics")),
    "autogluon": (autogluon, ("autogluon",)),
}


def missing(name: str) -> list[str]:
    """The packages of a method that are not installed."""
    return [package for package in METHODS[name][1] if find_spec(package) is None]
