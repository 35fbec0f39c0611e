"""Folds: no row on two sides, no future in the past, every class on both."""

import mmap

import numpy as np
import pandas as pd
import pytest

from ml.tuning import problem, study
from tests.ml.tuning.searching import Rows, settings


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
    cut = problem.cross_validation(y, kind="stratified", folds=5)
    assert len(cut) == max(2, min(5, rarest))
    assert sorted(np.concatenate([valid for _, valid in cut])) == list(range(len(y)))


def test_thinning_keeps_every_class():
    """A cap on training rows takes each class in its share."""
    y = np.array([0] * 990 + [1] * 10)
    train, valid = problem.thin((np.arange(1000), np.arange(3)), y, 100, 0)
    assert len(train) == 101
    assert (y[train] == 1).sum() == 2
    assert len(valid) == 3


def test_rows_that_no_trial_uses_are_no_part_of_the_problem():
    """Training rows beyond `tune.max_rows`; the others are those that were thinned to before, in their order."""
    rows = Rows(600, weighted=True)
    found = study.make_problem(rows, settings(small_rows=10, max_rows=100))
    train, valid = rows.part("train"), rows.part("validation")
    y = np.concatenate([train.y, valid.y])
    fold = problem.thin(problem.held_out(len(train.y), len(y))[0], y, 100, settings().tune.seed)
    assert len(found.y) == len(fold[0]) + len(valid.y) < len(y)
    for mine, theirs in zip(found.folds[0], fold, strict=True):
        np.testing.assert_array_equal(found.y[mine], y[theirs])
    both = pd.concat([train.X, valid.X], ignore_index=True)
    pd.testing.assert_frame_equal(found.X, both.iloc[np.concatenate(fold)].reset_index(drop=True))
    assert len(found.weight) == len(found.y)


def test_a_worker_maps_the_very_rows_that_were_saved(tmp_path):
    _, made = folds_of("stratified")
    made.save(tmp_path)
    loaded = problem.Problem.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.X, made.X)
    assert loaded.digest() == made.digest()
    assert isinstance(_owner(loaded.X["a,b"].to_numpy()), mmap.mmap)


def _owner(array):
    """What the memory of an array is of in the end."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return array
