"""Small runs of the pipeline."""

from __future__ import annotations

from typing import Any

from ml.pipeline import pipeline
from ml.pipeline.workspace import STAGES
from ml.settings import Settings

SMALL: dict[str, Any] = {
    "mlflow_port": 1,
    "serving_port": 1,
    "synthetic": {"n_samples": 400, "n_features": 6},
    "train": {"families": ["logistic"]},
    "tune": {"max_evals": 3, "workers": 1, "n_bootstrap": 50},
    "gate": {"n_bootstrap": 200, "min_rows": 50},
    "registry": {"confirm": "auto"},
}


def up_to(settings: Settings, key: str, last: str) -> None:
    for name in STAGES[: STAGES.index(last) + 1]:
        getattr(pipeline, name)(settings, key)
