"""The search: reproducible, resumable, and never worse than the baselines."""

import subprocess
import sys

import numpy as np
import pytest

from ml import tuning
from ml.errors import TrainingError
from ml.settings import CHECKOUT
from ml.tuning import ensemble
from tests.ml.tuning.searching import FAST, Rows, facts, settings


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The search that others are compared with: eight trials of the two fast families."""
    return tuning.search(Rows(), settings(), workdir=tmp_path_factory.mktemp("whole"))


def test_same_seed_same_trials_and_another_seed_others(tmp_path, whole):
    """Every number of every trial repeats."""
    again = tuning.search(Rows(), settings(), workdir=tmp_path / "again")
    other = tuning.search(Rows(), settings(seed=7), workdir=tmp_path / "other", max_evals=4)
    assert facts(whole.trials) == facts(again.trials)
    np.testing.assert_array_equal(whole.probabilities, again.probabilities)
    assert [t.params for t in whole.trials[:4]] != [t.params for t in other.trials]


def test_it_goes_on_where_it_was_interrupted(tmp_path, whole):
    """An interrupt after five trials; the second search runs the other three only."""
    told = []

    def stop(done, total, trial):
        told.append(trial.number)
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuning.search(Rows(), settings(), workdir=tmp_path, progress=stop)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("trial-*.json")}
    assert len(before) == 5
    found = tuning.search(Rows(), settings(), workdir=tmp_path)
    assert all(p.stat().st_mtime_ns == at for p, at in before.items())
    assert facts(found.trials) == facts(whole.trials)


def test_more_trials_can_be_asked_for_later(tmp_path, whole):
    """The first ones are those of the shorter search."""
    short = tuning.search(Rows(), settings(), workdir=tmp_path, max_evals=4)
    longer = tuning.search(Rows(), settings(), workdir=tmp_path)
    assert facts(longer.trials[:4]) == facts(short.trials)
    assert facts(longer.trials) == facts(whole.trials)


def test_other_rows_do_not_meet_old_trials(tmp_path):
    """The same folder and settings, another table: nothing is taken over."""
    tuning.search(Rows(), settings(max_evals=2), workdir=tmp_path)
    tuning.search(Rows(seed=1), settings(max_evals=2), workdir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_test_part_is_never_read(tmp_path):
    """Nor anything but training and validation."""
    rows = Rows()
    found = tuning.search(rows, settings(), workdir=tmp_path, max_evals=3)
    tuning.refit(found.best, rows, settings(), on_all=found.fit_on_all)
    assert set(rows.asked) == {"train", "validation"}


def test_baselines_come_first_and_bound_the_result(tmp_path):
    """Even a search of no more trials than families has them all."""
    found = tuning.search(Rows(), settings(), workdir=tmp_path, max_evals=1)
    assert [(t.family, t.values) for t in found.trials] == [(name, None) for name in FAST]
    assert found.best_loss <= found.baseline_loss
    longer = tuning.search(Rows(), settings(blend=1), workdir=tmp_path)
    assert longer.best_loss <= longer.baseline_loss == found.baseline_loss


def test_time_is_up_after_the_baselines(tmp_path):
    """A budget that is over at once still compares the baselines."""
    found = tuning.search(Rows(), settings(timeout_s=1e-9), workdir=tmp_path)
    assert len(found.trials) == len(FAST)


def test_an_unknown_family_is_named(tmp_path):
    """With what there is."""
    with pytest.raises(TrainingError, match="unknown family 'forest'; there are logistic"):
        tuning.search(Rows(), settings(), workdir=tmp_path, families=("forest",))


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_the_winner_is_fitted_and_its_probabilities_are_out_of_fold(tmp_path, n_classes, weighted):
    """All rows are held out once; the refitted model answers all classes."""
    rows = Rows(n_classes=n_classes, weighted=weighted)
    found = tuning.search(rows, settings(), workdir=tmp_path, max_evals=3)
    assert found.fit_on_all
    assert found.probabilities.shape == (160, n_classes)
    assert found.best_loss == pytest.approx(ensemble.loss(found.probabilities, found.y, found.weight))
    made = tuning.refit(found.best, rows, settings(), on_all=found.fit_on_all).candidate
    assert made.model.predict_proba(rows.part("test").X).shape == (40, n_classes)


def test_many_rows_are_compared_on_the_validation_part(tmp_path, monkeypatch):
    """And of very many the winner is fitted on the training part, as it was compared."""
    rows = Rows()
    assert tuning.search(rows, settings(small_rows=100), workdir=tmp_path, max_evals=1).fit_on_all
    monkeypatch.setattr("ml.tuning.study.LARGE_ROWS", 100)
    found = tuning.search(rows, settings(small_rows=100, blend=1), workdir=tmp_path)
    assert not found.fit_on_all
    np.testing.assert_array_equal(found.y, rows.part("validation").y)
    made = tuning.refit(found.best, rows, settings(), on_all=found.fit_on_all).candidate
    p = made.model.predict_proba(rows.part("validation").X)
    np.testing.assert_allclose(p, found.probabilities, atol=1e-6)


def test_importing_it_loads_no_heavy_library():
    """The command line's help needs neither torch nor hyperopt."""
    program = (
        "import sys, ml.tuning; print([m for m in ('torch', 'hyperopt', 'sklearn', 'pandas') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
