"""Fitting, saving and loading one candidate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.errors import TrainingError
from ml.models import ALL_FAMILIES
from ml.training import candidate as training
from ml.training.candidate import Candidate, CandidateSpec, fit_candidate, load_candidate, save_candidate, score
from tests.ml.models.quick import PARAMS
from tests.ml.models.tables import schema_of, table

families = pytest.mark.parametrize("which", PARAMS, ids=PARAMS)


def candidate(which: str, n_classes: int = 3, **changes: Any) -> Candidate:
    X, y = table(200, n_classes=n_classes)
    family, params = PARAMS[which]
    spec = CandidateSpec(family, {**params, **changes}, seed=3)
    return fit_candidate(
        spec, X[:150], y[:150], schema=schema_of(X, n_classes), validation=(X[150:], y[150:]), device="cpu"
    )


@families
def test_a_candidate_is_scored_on_its_validation_rows(which: str) -> None:
    found = candidate(which)
    X, y = table(200, n_classes=3)
    p = found.model.predict_proba(X[150:])
    assert found.scores["accuracy"] == (p.argmax(axis=1) == y[150:]).mean()
    assert found.scores["log_loss"] == pytest.approx(-np.log(p[np.arange(50), y[150:]]).mean())
    assert found.seconds > 0
    assert found.history == found.model.history


@families
def test_saved_and_loaded_gives_the_same_numbers(which: str, tmp_path: Path) -> None:
    """Probabilities to the bit, the same export, spec, scores and curves; JSON and safetensors only."""
    found = candidate(which)
    folder = save_candidate(found, tmp_path / "m")
    loaded = load_candidate(folder)
    X, _ = table(200, n_classes=3, seed=5)
    np.testing.assert_array_equal(loaded.model.predict_proba(X), found.model.predict_proba(X))
    schema = found.schema
    assert loaded.model.to_onnx(schema).SerializeToString() == found.model.to_onnx(schema).SerializeToString()
    assert (loaded.spec.family, loaded.spec.seed, loaded.schema) == (found.spec.family, found.spec.seed, schema)
    assert (loaded.scores, loaded.history) == (found.scores, found.history)
    assert {p.suffix for p in folder.iterdir()} == {".json", ".safetensors"}


def test_saving_again_replaces(tmp_path: Path) -> None:
    first, second = candidate("logistic-lbfgs", C=0.001), candidate("logistic-lbfgs", C=10.0)
    save_candidate(first, tmp_path / "m")
    save_candidate(second, tmp_path / "m")
    assert load_candidate(tmp_path / "m").spec.params["C"] == 10.0
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("there", [False, True], ids=["new", "replacing"])
def test_a_full_disk_leaves_the_old_model_or_none(there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing write in the middle of saving leaves no half model and no litter."""
    if there:
        save_candidate(candidate("logistic-lbfgs", C=1.0), tmp_path / "m")

    def full(path: Path, value: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training.files, "write_json", full)
    with pytest.raises(OSError, match="No space"):
        save_candidate(candidate("logistic-lbfgs", C=5.0), tmp_path / "m")
    assert [p.name for p in tmp_path.iterdir()] == (["m"] if there else [])
    if there:
        assert load_candidate(tmp_path / "m").spec.params["C"] == 1.0


def test_a_failing_rename_puts_the_old_model_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_candidate(candidate("logistic-lbfgs", C=1.0), tmp_path / "m")
    real, calls = os.replace, []

    def second_fails(source: Any, target: Any) -> None:
        if Path(target) == tmp_path / "m" and not calls:
            calls.append(target)
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(training.os, "replace", second_fails)
    with pytest.raises(OSError, match="Input/output"):
        save_candidate(candidate("logistic-lbfgs", C=5.0), tmp_path / "m")
    assert calls
    assert load_candidate(tmp_path / "m").spec.params["C"] == 1.0
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("name", [training.WEIGHTS, training.ARCHITECTURE, training.CANDIDATE, training.SCHEMA])
@pytest.mark.parametrize("harm", ["missing", "cut short", "empty"])
def test_a_damaged_model_is_refused(name: str, harm: str, tmp_path: Path) -> None:
    folder = save_candidate(candidate("mlp"), tmp_path / "m")
    content = (folder / name).read_bytes()
    (folder / name).unlink() if harm == "missing" else (folder / name).write_bytes(
        content[: len(content) // 2] if harm == "cut short" else b""
    )
    with pytest.raises(TrainingError, match="expected a saved candidate"):
        load_candidate(folder)


def test_a_loaded_network_can_be_fine_tuned(tmp_path: Path) -> None:
    """Saved, loaded, trained on: starts from the saved weights."""
    found = candidate("mlp")
    loaded = load_candidate(save_candidate(found, tmp_path / "m")).model
    X, y = table(200, n_classes=3)
    before = loaded.predict_proba(X)
    loaded.set_params(warm_start=True, epochs=1, learning_rate=1e-6).fit(X, y)
    np.testing.assert_allclose(loaded.predict_proba(X), before, atol=1e-3)
    assert not np.array_equal(loaded.predict_proba(X), before)


def test_no_validation_no_scores() -> None:
    X, y = table(100)
    assert fit_candidate(CandidateSpec("logistic"), X, y, schema=schema_of(X, 2)).scores == {}


def test_an_unknown_family_or_parameter_is_named() -> None:
    X, y = table(50)
    with pytest.raises(TrainingError, match="forest"):
        fit_candidate(CandidateSpec("forest"), X, y, schema=schema_of(X, 2))
    for family in ("logistic", "mlp", "hist_gradient_boosting"):
        with pytest.raises(TrainingError, match="depth_of_thought"):
            fit_candidate(CandidateSpec(family, {"depth_of_thought": 3}), X, y, schema=schema_of(X, 2))


@pytest.mark.parametrize("weights", [(), (1.0,), (0.0, 0.0), (-1.0, 2.0)])
def test_a_blend_needs_a_weight_a_member(weights: tuple[float, ...]) -> None:
    X, y = table(60)
    schema = schema_of(X, 2)
    model = ALL_FAMILIES["blend"].build(PARAMS["blend"][1], schema, seed=0).set_params(weights=weights)
    with pytest.raises(TrainingError, match="one weight a member"):
        model.fit(X, y)


def test_a_blend_is_its_members_weighted_mean() -> None:
    found = candidate("blend")
    X, _ = table(50, n_classes=3, seed=8)
    parts = [model.predict_proba(X) for _, model in found.model.members_]
    np.testing.assert_allclose(found.model.predict_proba(X), 0.75 * parts[0] + 0.25 * parts[1], atol=1e-12)


def test_score_on_known_numbers() -> None:
    """Two rows right at .8 and .5, one wrong at .1: −(ln .8 + ln .5 + ln .1) / 3."""
    found = score(np.array([[0.8, 0.2], [0.5, 0.5], [0.9, 0.1]]), [0, 0, 1])
    assert found["log_loss"] == pytest.approx(-(np.log(0.8) + np.log(0.5) + np.log(0.1)) / 3)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["f1"] == 0.0
