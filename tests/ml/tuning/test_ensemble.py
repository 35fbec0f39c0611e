"""Blends: taken where members help each other, and not otherwise."""

import numpy as np
import pytest

from ml import tuning
from ml.tuning import ensemble
from tests.ml.tuning.searching import Rows, settings


def test_a_blend_is_taken_where_members_complement_each_other():
    """Each knows half of the rows."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    sure = np.where(y[:, None] == [0, 1], 0.9, 0.1)
    half = np.arange(400) < 200
    first, second = np.where(half[:, None], sure, 0.5), np.where(half[:, None], 0.5, sure)
    chosen = ensemble.select([first, second], y, members=4)
    assert sorted(i for i, _ in chosen) == [0, 1]
    assert [w for _, w in chosen] == pytest.approx([0.5, 0.5], abs=0.1)


def test_noise_is_not_blended_in():
    """The single best stays alone."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    good = np.where(y[:, None] == [0, 1], 0.9, 0.1)
    noise = rng.dirichlet([1, 1], 400)
    assert ensemble.select([good, noise], y, members=4) == [(0, 1.0)]


def test_the_luckiest_of_equals_is_not_alone():
    """Equally good candidates with errors of their own, few rows: the best is one of several members."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 80)
    logits = 2.0 * (2 * y - 1) + 2.0 * rng.normal(size=(4, 80))
    candidates = [np.stack([1 - p, p], axis=1) for p in 1 / (1 + np.exp(-logits))]
    candidates.sort(key=lambda p: ensemble.loss(p, y, None))
    chosen = ensemble.select(candidates, y, members=4)
    assert len(chosen) >= 3
    assert max(share for _, share in chosen) < 0.7
    assert ensemble.select(candidates, y, members=4) == chosen


def test_a_blend_worse_than_a_baseline_is_not_taken(tmp_path, monkeypatch):
    """On the held-out rows; the best candidate alone is never worse."""
    monkeypatch.setattr("ml.tuning.ensemble.select", lambda candidates, *_, **__: [(len(candidates) - 1, 1.0)])
    found = tuning.search(Rows(), settings(), workdir=tmp_path, max_evals=1)
    assert found.best_loss == pytest.approx(found.baseline_loss)
    assert found.best_loss < max(t.loss for t in found.trials)


def test_no_more_members_than_allowed():
    """Six candidates that all help a little, three places."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    logit = 1.5 * (2 * y - 1)
    candidates = []
    for _ in range(6):
        p = 1 / (1 + np.exp(-(logit + 2.5 * rng.normal(size=600))))
        candidates.append(np.stack([1 - p, p], axis=1))
    chosen = ensemble.select(candidates, y, members=3)
    assert 2 <= len(chosen) <= 3
    assert sum(w for _, w in chosen) == pytest.approx(1)
