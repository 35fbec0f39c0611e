"""Every family with parameters that are fitted in a moment."""

from __future__ import annotations

from typing import Any

QUICK_MLP = {"hidden": (16,), "members": 2, "epochs": 4}


PARAMS: dict[str, tuple[str, dict[str, Any]]] = {
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
