"""One trial: what it may cost, what is kept of it, and how it fails."""

import numpy as np
import pytest

from ml import tuning
from ml.errors import TrainingError
from ml.models import FAMILIES
from ml.training import candidate
from ml.training.candidate import CandidateSpec
from ml.tuning import ensemble, study
from ml.tuning.executors import Serial
from ml.tuning.problem import Problem
from ml.tuning.trial import MOST_ROUNDS, Trial, TrialRequest, TrialStore, run, should_prune
from tests.ml.tuning.searching import Rows, settings


def test_failing_trials_are_recorded_and_survived(tmp_path, monkeypatch):
    """One family raises on every fit; the other's trials decide."""

    def explode(spec, *args, **kwargs):
        if spec.family == "logistic":
            raise FloatingPointError("loss is nan")
        return candidate.fit_candidate(spec, *args, **kwargs)

    monkeypatch.setattr("ml.tuning.trial.fit_candidate", explode)
    found = tuning.search(Rows(), settings(max_evals=10), workdir=tmp_path)
    assert {t.status for t in found.trials if t.family == "logistic"} == {"failed"}
    assert found.trials[0].error == "FloatingPointError: loss is nan"
    assert {spec.family for spec, _ in found.members} == {"hist_gradient_boosting"}
    assert found.baseline_loss < np.inf


def test_when_every_trial_fails_the_error_says_why(tmp_path, monkeypatch):
    """Not a KeyError from the depths of a library."""

    def explode(*args, **kwargs):
        raise FloatingPointError("loss is nan")

    monkeypatch.setattr("ml.tuning.trial.fit_candidate", explode)
    with pytest.raises(TrainingError, match="every trial failed: FloatingPointError: loss is nan"):
        tuning.search(Rows(), settings(max_evals=3), workdir=tmp_path)


def test_probabilities_that_are_not_finite_fail_the_trial(tmp_path, monkeypatch):
    """A NaN must not become the best loss."""

    class Broken:
        def predict_proba(self, X):
            return np.full((len(X), 2), np.nan)

    def broken(spec, X, y, **kwargs):
        return candidate.Candidate(spec, Broken(), kwargs["schema"])

    monkeypatch.setattr("ml.tuning.trial.fit_candidate", broken)
    with pytest.raises(TrainingError, match="expected finite probabilities"):
        tuning.search(Rows(), settings(max_evals=2), workdir=tmp_path)


def test_pruning_needs_both_certainty_and_size():
    """Noise is not certainty, and a sure hair's breadth is not size."""
    rng = np.random.default_rng(0)
    rival = np.full(200, 0.5)
    assert should_prune(0.3 + 0.2 * rng.normal(size=200), rival)
    assert not should_prune(0.1 + 2.0 * rng.normal(size=200), rival)
    assert not should_prune(np.full(200, 0.005), rival)


def test_a_given_up_trial_is_not_the_best_and_has_an_estimate(tmp_path):
    """Raced against a strong incumbent, the class prior's twin stops after the first fold."""
    problem = study.make_problem(Rows(600), settings())
    store = TrialStore(tmp_path)
    engine = Serial(problem, store)
    engine.submit(TrialRequest(number=0, family="hist_gradient_boosting", params={"max_iter": 50}, seed=0))
    best = engine.wait()
    engine.submit(TrialRequest(number=1, family="logistic", params={"C": 1e-6}, seed=0, incumbent=0))
    weak = engine.wait()
    assert (best.status, weak.status) == ("ok", "pruned")
    assert len(weak.fold_losses) == 1
    assert weak.loss > best.loss


def test_a_problem_survives_its_files(tmp_path):
    """What a worker reads is what the search wrote, hostile names included."""
    problem = study.make_problem(Rows(weighted=True), settings())
    problem.save(tmp_path)
    assert Problem.load(tmp_path).digest() == problem.digest()


def test_a_half_written_trial_is_not_a_trial(tmp_path):
    """Probabilities come first, the JSON last; temporary files are not looked at."""
    store = TrialStore(tmp_path)
    store.save(Trial(number=0, family="logistic", params={}, seed=0, loss=1.0), np.ones((2, 2)))
    (tmp_path / "trial-00001.npy").write_bytes(b"half")
    (tmp_path / ".trial-00002.json.tmp").write_text("{")
    assert list(store.load()) == [0]


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.rounds])
def test_boosting_stops_on_the_held_out_folds_together(tmp_path, name):
    """One number of rounds for all folds, the best over them, in the parameters that are fitted on all rows."""
    rows = Rows(400)
    problem = study.make_problem(rows, settings())
    store, rounds = TrialStore(tmp_path), FAMILIES[name].rounds
    trial = run(TrialRequest(number=0, family=name, params={"learning_rate": 0.2}, seed=3), problem, store)
    stopped = trial.params[rounds]
    assert trial.status == "ok"
    assert 1 <= stopped < MOST_ROUNDS

    def by_hand(number):
        fitted = [fit(name, {"learning_rate": 0.2, rounds: number}, problem, fold) for fold in problem.folds]
        return np.concatenate(
            [m.predict_proba(problem.X.iloc[f[1]]) for m, f in zip(fitted, problem.folds, strict=True)]
        )

    np.testing.assert_allclose(store.probabilities(0), by_hand(stopped), atol=1e-6)
    y = problem.y[problem.held_out]
    around = [ensemble.loss(by_hand(n), y, None) for n in (max(1, stopped - 3), stopped + 3)]
    assert trial.loss < min(around)
    assert trial.loss == pytest.approx(np.average(trial.fold_losses, weights=[len(f[1]) for f in problem.folds]))
    made = tuning.refit(CandidateSpec(name, trial.params, 3), rows, settings(), on_all=True).candidate
    assert len(made.model.trees_) == stopped


def fit(name, params, problem, fold):
    """A fold's model without held-out rows."""
    spec = CandidateSpec(name, params, 3)
    X, y = problem.X.iloc[fold[0]], problem.y[fold[0]]
    return candidate.fit_candidate(spec, X, y, schema=problem.schema, device="cpu").model
