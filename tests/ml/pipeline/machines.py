"""Machines that share a registry, a database and a storage, and what a run on them came to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ml.pipeline.stages.records import EvaluationRecord, SnapshotRecord, TuningRecord
from ml.pipeline.workspace import Workspace
from ml.settings import Settings, from_values
from tests.ml.pipeline.runs import SMALL

# Of a bundle: they tell how long something took, or hash those that do.
MEASURED = ("gate.json", "trials.json", "bundle.json", "model_card.json", "model_card.md")


def machine(root: Path, name: str, **more: dict[str, Any]) -> Settings:
    """One with a home of its own; registry, database, keys and storage are for all."""
    values = json.loads(json.dumps(SMALL)) | {
        "home": str(root / "homes" / name),
        "database_url": f"sqlite:///{root / 'refit.db'}",
        "storage": {"url": (root / "storage").as_uri(), "wait_s": 0.5},
    }
    values["registry"] |= {"tracking_uri": f"sqlite:///{root / 'mlflow.db'}", "signatures": "off"}
    for section, change in more.items():
        values[section] = values.get(section, {}) | change
    return from_values(values)


def outcome(settings: Settings, key: str) -> dict[str, Any]:
    """What must not depend on where stages ran."""
    space = Workspace(settings, key)
    generated, tuned, judged = (space.needed(kind) for kind in (SnapshotRecord, TuningRecord, EvaluationRecord))
    assert isinstance(tuned, TuningRecord)
    space.fill(EvaluationRecord)
    trials = json.loads((space.path / "tune" / "trials.json").read_text())
    for one in trials:
        one.pop("seconds")
    files = {
        path.relative_to(space.path).as_posix(): path.read_bytes()
        for name in ("bundle", "bundle.judged")
        for path in sorted((space.path / name).rglob("*"))
        if path.is_file() and path.name not in MEASURED
    }
    assert any(name.endswith(".onnx") for name in files)
    return {
        "snapshot": generated.snapshot, "best": tuned.best, "loss": tuned.best_loss, "trials": trials,  # type: ignore[attr-defined]
        "verdict": str(judged.message), "metrics": judged.metrics, "files": files,  # type: ignore[attr-defined]
    }  # fmt: skip
