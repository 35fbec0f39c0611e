"""The trigger form of `retrain`: typed, sectioned, and every empty field keeps what is configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param

from ml.settings import Settings

_DATA, _LEARNING, _PROMOTION = "Data", "Learning", "Promotion"
# Field of the form → the settings it overrides.
_TARGETS = {
    "source": ["data.source"],
    "path": ["data.path"],
    "target": ["data.target"],
    "rows": ["synthetic.n_samples", "customers.n_samples"],
    "families": ["train.families"],
    "max_evals": ["tune.max_evals"],
    "seed": ["train.seed", "tune.seed"],
    "policy": ["gate.policy"],
}


def params(settings: Settings) -> dict[str, Param]:
    """Fields with their types, limits and what happens when they stay empty."""
    data, train = settings.data, settings.train
    return {
        "source": Param(
            None, type=["null", "string"], enum=[None, "synthetic", "customers", "file", "sql"], section=_DATA,
            title="Source", values_display={None: f"as configured ({data.source})"},
            description="Where rows come from; 'file' and 'sql' use the fields below or what is configured.",
        ),
        "path": Param(
            None, type=["null", "string"], section=_DATA, title="File",
            description="CSV or Parquet, a path on the worker or a URL; for the source 'file'. "
            f"Empty: as configured ({data.path or 'none'}).",
        ),
        "target": Param(
            None, type=["null", "string"], minLength=1, section=_DATA, title="Target column",
            description=f"The column to predict. Empty: as configured ({data.target}).",
        ),
        "rows": Param(
            None, type=["null", "integer"], minimum=50, maximum=10_000_000, section=_DATA, title="Rows",
            description="Size of a generated table (synthetic, customers); files and queries give what they hold. "
            f"Empty: as configured ({settings.synthetic.n_samples:,}).",
        ),
        "families": Param(
            None, type=["null", "array"], items={"type": "string"}, minItems=1, uniqueItems=True,
            examples=list(train.families), section=_LEARNING, title="Model families",
            description=f"Which families compete. Empty: as configured ({', '.join(train.families)}).",
        ),
        "max_evals": Param(
            None, type=["null", "integer"], minimum=1, maximum=10_000, section=_LEARNING, title="Tuning evaluations",
            description=f"Trials of the hyperopt search. Empty: as configured ({settings.tune.max_evals}).",
        ),
        "seed": Param(
            None, type=["null", "integer"], minimum=0, maximum=2**31 - 1, section=_LEARNING, title="Seed",
            description=f"Same data and same seed give the same model. Empty: as configured ({train.seed}).",
        ),
        "policy": Param(
            None, type=["null", "string"], enum=[None, "gate", "always", "never"], section=_PROMOTION,
            title="Promotion policy",
            values_display={
                None: f"as configured ({settings.gate.policy})",
                "gate": "gate: only on evidence", "always": "always: whatever the gate says",
                "never": "never: register only",
            },
            description="When the new version may replace the champion.",
        ),
        "reason": Param(
            None, type=["null", "string"], format="multiline", maxLength=2_000, section=_PROMOTION, title="Reason",
            description="Why this run was started: kept in the ledger and on the MLflow run.",
        ),
    }  # fmt: skip


def overrides(params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The filled-in fields as a nested mapping for `ml.settings.load`.

    >>> overrides({"max_evals": 5, "seed": None})
    {'tune': {'max_evals': 5}}
    """
    nested: dict[str, dict[str, Any]] = {}
    for field, targets in _TARGETS.items():
        if params.get(field) is None:
            continue
        for target in targets:
            section, _, key = target.partition(".")
            nested.setdefault(section, {})[key] = params[field]
    return nested
