"""A snapshot in memory, small settings, and trials as plain values: what the tests of the search share."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from sklearn.datasets import make_classification

from ml.data.snapshot import Part
from ml.schema.schema import Column, Schema
from ml.settings import Settings, from_values
from ml.tuning.trial import Trial

FAST = ("logistic", "hist_gradient_boosting")


def settings(**tune: Any) -> Settings:
    """One worker, few folds and trials, the two fast families."""
    values = {"workers": 1, "folds": 3, "max_evals": 8, **tune}
    return from_values({"tune": values, "train": {"device": "cpu", "families": list(FAST)}})


def facts(trials: Iterable[Trial]) -> list[dict[str, Any]]:
    """All of a trial but its time."""
    return [{k: v for k, v in msgspec.to_builtins(t).items() if k != "seconds"} for t in trials]


class Rows:
    """60% training, 20% validation, 20% test rows of a synthetic table, with names that are hard to carry."""

    def __init__(
        self, n: int = 200, n_classes: int = 2, seed: int = 0, *, split: str = "stratified", groups: int = 0,
        weighted: bool = False,
    ) -> None:  # fmt: skip
        X, y = make_classification(
            n, 6, n_informative=4, n_redundant=0, n_classes=n_classes, flip_y=0.1, random_state=seed
        )
        names = ["tuổi", "a,b", 'q"uote', "<b>", "e", "f"]
        self.frame = pd.DataFrame(X.astype(np.float32), columns=names)
        self.frame.iloc[::7, 0] = np.nan
        self.frame["city"] = np.where(X[:, 1] > 0.5, "Huế", np.where(X[:, 2] > 0.5, "", "Đà Nẵng"))
        self.y = y.astype(np.int64)
        rng = np.random.default_rng(seed)
        self.ids = (rng.integers(0, groups, n) if groups else np.arange(n)).astype(str).astype(object)
        self.time = rng.permutation(n).astype(np.float64)
        self.weight = rng.uniform(0.5, 2, n) if weighted else None
        self.schema = Schema(
            target="target",
            classes=tuple(f"class {c}" for c in range(n_classes)),
            positive_label="class 1" if n_classes == 2 else "",
            columns=(*(Column(name=name, kind="number") for name in names), Column(name="city", kind="category")),
        )
        self.id = f"{seed:016x}"
        self.manifest = SimpleNamespace(split=split)
        order = np.argsort(self.time) if split == "time" else rng.permutation(n)
        cuts = [round(0.6 * n), round(0.8 * n)]
        self.rows = dict(zip(("train", "validation", "test"), np.split(order, cuts), strict=True))
        self.asked: list[str] = []

    def part(self, name: str) -> Part:
        """As `ml.data.snapshot.Snapshot.part`; remembers what was asked for."""
        self.asked.append(name)
        rows = self.rows[name]
        return Part(
            X=self.frame.iloc[rows].reset_index(drop=True),
            y=self.y[rows],
            weight=None if self.weight is None else self.weight[rows],
            ids=self.ids[rows],
            time=self.time[rows],
        )
