"""What a search ends with, from trials that are there already."""

import numpy as np
import pytest

from ml.tuning.problem import Problem
from ml.tuning.result import BLEND_CANDIDATES, blend_candidates, result_of
from ml.tuning.trial import Trial, TrialStore
from tests.ml.tuning.searching import Rows, settings


def ranked(*families):
    return [Trial(number=n, family=f, params={}, seed=0, loss=n / 100, values={}) for n, f in enumerate(families)]


def test_a_blend_chooses_among_the_best_of_each_family():
    trials = ranked("mlp", "boosting", *["mlp"] * 14, "logistic", *["mlp"] * 3, "logistic")
    assert [t.number for t in blend_candidates(trials)] == [0, 1, 2, 3, 4, 16, 20]


def test_one_family_alone_has_all_places():
    assert [t.number for t in blend_candidates(ranked(*["mlp"] * 20))] == list(range(BLEND_CANDIDATES))


def test_a_family_behind_twelve_of_another_is_blended_in(tmp_path):
    """Twenty like networks, and a boosting that is worse alone but right where they are wrong."""
    rows = Rows(200)
    y = rows.y
    half = np.arange(200) % 2 == 0
    sure = np.where(y[:, None] == [0, 1], 0.95, 0.05)
    network = np.where(half[:, None], sure, 0.5)
    other = np.where(half[:, None], 0.5, np.where(y[:, None] == [0, 1], 0.9, 0.1))
    everything = np.arange(200)
    problem = Problem(
        X=rows.frame, y=y, weight=None, schema=rows.schema, folds=[(everything, everything)], device="cpu",
        stop_on_held_out=False,
    )  # fmt: skip
    store, trials = TrialStore(tmp_path), ranked(*["mlp"] * 20, "hist_gradient_boosting")
    for trial in trials:
        store.save(trial, network if trial.family == "mlp" else other)
    found = result_of(trials, problem, store, settings(blend=4))
    assert {spec.family for spec, _ in found.members} == {"mlp", "hist_gradient_boosting"}
    assert found.best_loss == pytest.approx(-np.log(0.72), abs=0.02)
