"""The search: reproducible, resumable, parallel, and never worse than the baselines."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hyperopt import space_eval

from ml import models, training, tuning
from ml.errors import TrainingError
from ml.settings import CHECKOUT, from_values
from ml.tuning import blend, folds, study
from ml.tuning.executors import Processes, Serial
from ml.tuning.problem import Problem
from ml.tuning.space import Space
from ml.tuning.trial import Ask, hopeless
from ml.tuning.trials import Trial, TrialStore
from tests.ml.tuning_rows import Rows

FAST = ("logistic", "hist_gradient_boosting")


def settings(**tune):
    values = {"workers": 1, "folds": 3, "max_evals": 8, **tune}
    return from_values({"tune": values, "train": {"device": "cpu", "families": list(FAST)}})


def facts(trials):
    """All of a trial but its time."""
    return [{k: v for k, v in msgspec.to_builtins(t).items() if k != "seconds"} for t in trials]


def test_same_seed_same_trials_and_another_seed_others(tmp_path):
    """Every number of every trial repeats."""
    first = tuning.search(Rows(), settings(), workdir=tmp_path / "a")
    again = tuning.search(Rows(), settings(), workdir=tmp_path / "b")
    other = tuning.search(Rows(), settings(seed=7), workdir=tmp_path / "c")
    assert facts(first.trials) == facts(again.trials)
    np.testing.assert_array_equal(first.probabilities, again.probabilities)
    assert [t.params for t in first.trials] != [t.params for t in other.trials]


def test_two_processes_find_what_one_does(tmp_path):
    """Past the start-up trials too: a suggestion never looks at trials that may still run."""
    one = tuning.search(Rows(), settings(max_evals=20), workdir=tmp_path / "one")
    two = tuning.search(Rows(), settings(max_evals=20, workers=2), workdir=tmp_path / "two")
    assert facts(one.trials) == facts(two.trials)
    assert two.best == one.best


def test_tpe_takes_over_after_the_random_start(tmp_path):
    """With the results of earlier trials changed, only suggestions that may see them change."""
    space = study._space(FAST, study.make_problem(Rows(), settings()))[0]
    known = [
        Trial(number=n, family=f, params=p, seed=0, values=v, loss=float(n))
        for n in range(20)
        for f, p, v in [space.suggest(n, [], seed=1)]
    ]
    changed = [msgspec.structs.replace(t, loss=-float(t.number)) for t in known]
    waiting = [(t.number, t.values) for t in known[14:]]
    assert any(
        space.suggest(n, known[:14], waiting, seed=1) != space.suggest(n, known[:14], seed=1) for n in range(20, 30)
    )
    assert space.suggest(3, known[:3], seed=1) == space.suggest(3, changed[:3], seed=1)
    assert any(space.suggest(n, known, seed=1) != space.suggest(n, changed, seed=1) for n in range(20, 30))


def test_baselines_are_points_of_the_space():
    """So that TPE learns from them: defaults filled in, options by value, numbers moved into their range."""
    problem = study.make_problem(Rows(), settings())
    space, baselines = study._space(FAST, problem)
    resolved = {"max_features": 1.0, "l2_regularization": 0.0, "min_samples_leaf": 20}
    made = [
        Trial(number=n, family=family, params=params, seed=0, resolved=resolved | {"clip": "smooth"})
        for n, (family, params) in enumerate(baselines)
    ]
    first, second = (space.locate(trial) for trial in made)
    assert first["family"] == 0
    assert first["logistic.C"] == pytest.approx(1.0)
    assert second["hist_gradient_boosting.learning_rate"] == pytest.approx(0.05)
    assert second["hist_gradient_boosting.l2_regularization"] == pytest.approx(np.exp(-6.9))
    assert space.locate(msgspec.structs.replace(made[1], resolved={})) is None


@pytest.mark.parametrize("name", list(models.FAMILIES))
@pytest.mark.parametrize("n_rows", [500, 50_000])
def test_every_baseline_is_a_point_of_its_space(name, n_rows):
    """Each parameter of the space has a value at which the baseline is, or is closest to it."""
    family, schema = models.FAMILIES[name], Rows().schema
    params = family.baseline(n_rows)
    space = Space({name: family.space(n_rows, 2)})
    trial = Trial(
        number=0, family=name, params=params, seed=0, resolved=family.build(params, schema, seed=0).get_params()
    )
    located = space.locate(trial)
    assert located is not None
    point = space_eval(space.expression, located)["params"]
    built = family.build(point, schema, seed=0).get_params()
    for parameter, value in built.items():
        if isinstance(value, str) or parameter in ("learning_rate", "hidden", "bins", "max_leaf_nodes"):
            assert value == pytest.approx(trial.resolved[parameter]), parameter


def test_it_goes_on_where_it_was_interrupted(tmp_path):
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
    assert facts(found.trials) == facts(tuning.search(Rows(), settings(), workdir=tmp_path / "new").trials)


def test_more_trials_can_be_asked_for_later(tmp_path):
    """The first eight are those of the shorter search."""
    short = tuning.search(Rows(), settings(), workdir=tmp_path)
    longer = tuning.search(Rows(), settings(), workdir=tmp_path, max_evals=10)
    assert facts(longer.trials[:8]) == facts(short.trials)
    assert len(longer.trials) == 10


def test_other_rows_do_not_meet_old_trials(tmp_path):
    """The same folder and settings, another table: nothing is taken over."""
    tuning.search(Rows(), settings(max_evals=2), workdir=tmp_path)
    tuning.search(Rows(seed=1), settings(max_evals=2), workdir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


SEARCH = """
import sys
from pathlib import Path
from ml import tuning
from tests.ml.test_tuning import Rows, settings
if __name__ == "__main__":
    tuning.search(Rows(), settings(max_evals=14, workers=2), workdir=Path(sys.argv[1]))
"""


def test_kill_9_loses_no_finished_trial_and_leaves_no_process(tmp_path):
    """The search and its workers, killed in the middle, then finished by another search."""
    program = [sys.executable, "-c", SEARCH, str(tmp_path)]
    process = subprocess.Popen(program, cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": str(CHECKOUT)})
    try:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.rglob("trial-*.json"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        workers = _children(process.pid)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = {p: p.read_bytes() for p in tmp_path.rglob("trial-*.json")}
    assert len(kept) >= 4
    assert len(workers) == 2
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    found = tuning.search(Rows(), settings(max_evals=14), workdir=tmp_path)
    assert all(p.read_bytes() == content for p, content in kept.items())
    whole = tuning.search(Rows(), settings(max_evals=14), workdir=tmp_path / "whole")
    assert facts(found.trials) == facts(whole.trials)


def _children(pid):
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def _in_daemon(folder, results):
    found = tuning.search(Rows(), settings(max_evals=4, workers=2), workdir=folder)
    results.put(facts(found.trials))


def test_workers_start_inside_a_daemon_process(tmp_path):
    """Where multiprocessing may not: a scheduler's task process is one."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=_in_daemon, args=(tmp_path, results), daemon=True)
    process.start()
    found = results.get(timeout=120)
    process.join(timeout=30)
    assert found == facts(tuning.search(Rows(), settings(max_evals=4), workdir=tmp_path / "here").trials)


def test_a_trial_is_run_again_when_its_worker_dies(tmp_path):
    """In a new worker, with the same result as if nothing had happened."""
    problem = study.make_problem(Rows(), settings())
    problem.save(tmp_path)
    store = TrialStore(tmp_path)
    engine = Processes(tmp_path, workers=1)
    try:
        engine._workers[0]._process.send_signal(signal.SIGKILL)
        engine.submit(Ask(number=0, family="logistic", params={"C": 1.0}, seed=0))
        found = engine.wait()
    finally:
        engine.close()
    assert found.status == "ok"
    assert facts([store.load()[0]]) == facts([found])


@contextlib.contextmanager
def every_child_killed():
    """Until the block ends, no process that this one starts lives for long."""
    over = threading.Event()

    def kill():
        while not over.wait(0.01):
            for listed in Path("/proc/self/task").glob("*/children"):
                for pid in listed.read_text().split():
                    os.kill(int(pid), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_search_killed_again_and_again_has_its_baselines_in_the_end(tmp_path):
    """A worker's death is not the trial's result: the next search in the folder runs the trial."""
    for _ in range(2):
        with every_child_killed(), pytest.raises(TrainingError, match="ended with code -9"):
            tuning.search(Rows(), settings(workers=2, max_evals=2), workdir=tmp_path)
    assert not list(tmp_path.rglob("trial-*.json"))
    found = tuning.search(Rows(), settings(max_evals=4), workdir=tmp_path)
    whole = tuning.search(Rows(), settings(max_evals=4), workdir=tmp_path / "whole")
    assert facts(found.trials) == facts(whole.trials)
    assert found.baseline_loss == whole.baseline_loss < np.inf


def test_failing_trials_are_recorded_and_survived(tmp_path, monkeypatch):
    """One family raises on every fit; the other's trials decide."""

    def explode(spec, *args, **kwargs):
        if spec.family == "logistic":
            raise FloatingPointError("loss is nan")
        return training.fit_candidate(spec, *args, **kwargs)

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
        return training.Candidate(spec, Broken(), kwargs["schema"])

    monkeypatch.setattr("ml.tuning.trial.fit_candidate", broken)
    with pytest.raises(TrainingError, match="expected finite probabilities"):
        tuning.search(Rows(), settings(max_evals=2), workdir=tmp_path)


def test_the_test_part_is_never_read(tmp_path):
    """Nor anything but training and validation."""
    rows = Rows()
    found = tuning.search(rows, settings(), workdir=tmp_path)
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


def test_the_tracker_is_told_once_of_every_trial(tmp_path):
    """In this process, failed and resumed ones included."""

    class Tracker:
        def __init__(self):
            self.seen = []

        def trial(self, trial):
            self.seen.append(trial.number)

    tracker = Tracker()
    tuning.search(Rows(), settings(workers=2), workdir=tmp_path, tracker=tracker)
    assert sorted(tracker.seen) == list(range(8))


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_the_winner_is_fitted_and_its_probabilities_are_out_of_fold(tmp_path, n_classes, weighted):
    """All rows are held out once; the refitted model answers all classes."""
    rows = Rows(n_classes=n_classes, weighted=weighted)
    found = tuning.search(rows, settings(), workdir=tmp_path)
    assert found.fit_on_all
    assert found.probabilities.shape == (160, n_classes)
    assert found.best_loss == pytest.approx(blend.loss(found.probabilities, found.y, found.weight))
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


def folds_of(kind, **more):
    rows = Rows(split=kind, **more)
    return rows, study.make_problem(rows, settings())


def test_stratified_folds_hold_out_each_row_once_with_even_classes():
    """Class shares differ by less than a row or two a fold."""
    _, problem = folds_of("stratified")
    assert sorted(problem.held_out) == list(range(160))
    shares = [problem.y[valid].mean() for _, valid in problem.folds]
    assert max(shares) - min(shares) < 0.03


def test_forward_chaining_never_trains_on_the_future():
    """Rows are in time order, and every training row comes before every held-out one."""
    rows, problem = folds_of("time")
    time_of = np.sort(np.concatenate([rows.part("train").time, rows.part("validation").time]))
    order = np.argsort(np.concatenate([rows.part("train").time, rows.part("validation").time]))
    y = np.concatenate([rows.part("train").y, rows.part("validation").y])[order]
    np.testing.assert_array_equal(problem.y, y)
    assert all(time_of[train].max() < time_of[valid].min() for train, valid in problem.folds)


def test_a_group_is_on_one_side_only():
    """No id is both trained on and held out."""
    rows, problem = folds_of("group", groups=40)
    ids = np.concatenate([rows.part("train").ids, rows.part("validation").ids])
    assert all(not set(ids[train]) & set(ids[valid]) for train, valid in problem.folds)


@pytest.mark.parametrize("rarest", [1, 2, 3])
def test_a_rare_class_lowers_the_number_of_folds(rarest):
    """Down to two; each row is still held out once."""
    y = np.array([0] * 50 + [1] * rarest)
    cut = folds.cross_validation(y, kind="stratified", folds=5)
    assert len(cut) == max(2, min(5, rarest))
    assert sorted(np.concatenate([valid for _, valid in cut])) == list(range(len(y)))


def test_thinning_keeps_every_class():
    """A cap on training rows takes each class in its share."""
    y = np.array([0] * 990 + [1] * 10)
    train, valid = folds.thin((np.arange(1000), np.arange(3)), y, 100, 0)
    assert len(train) == 101
    assert (y[train] == 1).sum() == 2
    assert len(valid) == 3


def test_hopeless_needs_both_certainty_and_size():
    """Noise is not certainty, and a sure hair's breadth is not size."""
    rng = np.random.default_rng(0)
    rival = np.full(200, 0.5)
    assert hopeless(0.3 + 0.2 * rng.normal(size=200), rival)
    assert not hopeless(0.1 + 2.0 * rng.normal(size=200), rival)
    assert not hopeless(np.full(200, 0.005), rival)


def test_a_given_up_trial_is_not_the_best_and_has_an_estimate(tmp_path):
    """Raced against a strong incumbent, the class prior's twin stops after the first fold."""
    problem = study.make_problem(Rows(600), settings())
    store = TrialStore(tmp_path)
    engine = Serial(problem, store)
    engine.submit(Ask(number=0, family="hist_gradient_boosting", params={"max_iter": 50}, seed=0))
    best = engine.wait()
    engine.submit(Ask(number=1, family="logistic", params={"C": 1e-6}, seed=0, incumbent=0))
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


def test_a_blend_is_taken_where_members_complement_each_other():
    """Each knows half of the rows."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    sure = np.where(y[:, None] == [0, 1], 0.9, 0.1)
    half = np.arange(400) < 200
    first, second = np.where(half[:, None], sure, 0.5), np.where(half[:, None], 0.5, sure)
    chosen = blend.select([first, second], y, members=4)
    assert sorted(i for i, _ in chosen) == [0, 1]
    assert [w for _, w in chosen] == pytest.approx([0.5, 0.5], abs=0.1)


def test_noise_is_not_blended_in():
    """The single best stays alone."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    good = np.where(y[:, None] == [0, 1], 0.9, 0.1)
    noise = rng.dirichlet([1, 1], 400)
    assert blend.select([good, noise], y, members=4) == [(0, 1.0)]


def test_the_luckiest_of_equals_is_not_alone():
    """Equally good candidates with errors of their own, few rows: the best is one of several members."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 80)
    logits = 2.0 * (2 * y - 1) + 2.0 * rng.normal(size=(4, 80))
    candidates = [np.stack([1 - p, p], axis=1) for p in 1 / (1 + np.exp(-logits))]
    candidates.sort(key=lambda p: blend.loss(p, y, None))
    chosen = blend.select(candidates, y, members=4)
    assert len(chosen) >= 3
    assert max(share for _, share in chosen) < 0.7
    assert blend.select(candidates, y, members=4) == chosen


def test_a_blend_worse_than_a_baseline_is_not_taken(tmp_path, monkeypatch):
    """On the held-out rows; the best candidate alone is never worse."""
    monkeypatch.setattr("ml.tuning.blend.select", lambda candidates, *_, **__: [(len(candidates) - 1, 1.0)])
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
    chosen = blend.select(candidates, y, members=3)
    assert 2 <= len(chosen) <= 3
    assert sum(w for _, w in chosen) == pytest.approx(1)


def test_importing_it_loads_no_heavy_library():
    """The command line's help needs neither torch nor hyperopt."""
    program = (
        "import sys, ml.tuning; print([m for m in ('torch', 'hyperopt', 'sklearn', 'pandas') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_family_has_a_place_in_the_space():
    """A family that is added is searched."""
    space = study._space(tuple(models.FAMILIES), study.make_problem(Rows(), settings()))[0]
    drawn = {space.suggest(n, [], seed=0)[0] for n in range(40)}
    assert drawn == set(models.FAMILIES)
