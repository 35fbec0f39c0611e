"""Every family with parameters that are fitted in a moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml.models import FAMILIES, Family

QUICK_MLP = {"hidden": (16,), "members": 2, "epochs": 4}


QUICK: dict[str, tuple[str, dict[str, Any]]] = {
    "logistic-lbfgs": ("logistic", {"C": 1.0, "solver": "lbfgs"}),
    "logistic-liblinear": ("logistic", {"C": 100.0, "solver": "liblinear", "clip": "none"}),
    "mlp": ("mlp", QUICK_MLP),
    "mlp-plain": ("mlp", {"hidden": (8, 8), "members": 1, "embedding": "none", "epochs": 3, "clip": "none"}),
    "boosting": ("hist_gradient_boosting", {"max_iter": 15, "max_leaf_nodes": 6}),
    "blend": (
        "blend",
        {
            "members": [
                {"family": "logistic", "params": {"C": 1.0}, "seed": 1, "weight": 3.0},
                {"family": "mlp", "params": QUICK_MLP, "seed": 2, "weight": 1.0},
            ]
        },
    ),
}


def params_of(families: Mapping[str, Family]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Those above, and the baseline of each family that has none of them: a new one is held to the contract too."""
    quick = {family for family, _ in QUICK.values()}
    return QUICK | {name: (name, family.baseline(200)) for name, family in families.items() if name not in quick}


PARAMS = params_of(FAMILIES)
