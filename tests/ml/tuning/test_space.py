"""The space of the search: every family and every baseline has its place in it."""

import msgspec
import numpy as np
import pytest
from hyperopt import space_eval

from ml import models
from ml.models.base import TableSize
from ml.models.families import start_of
from ml.tuning import study
from ml.tuning.space import Space
from ml.tuning.trial import Trial
from tests.ml.tuning.searching import FAST, Rows, settings


def test_tpe_takes_over_after_the_random_start(tmp_path):
    """With the results of earlier trials changed, only suggestions that may see them change."""
    space = study._space(FAST, study.make_problem(Rows(), settings()), seed=0)[0]
    name = "hist_gradient_boosting"
    known = [
        Trial(number=n, family=name, params=p, seed=0, values=v, loss=float(n))
        for n in range(20)
        for p, v in [space.suggest(n, name, [], seed=1)]
    ]
    changed = [msgspec.structs.replace(t, loss=-float(t.number)) for t in known]
    waiting = [(t.number, t.values) for t in known[14:]]
    assert any(
        space.suggest(n, name, known[:14], waiting, seed=1) != space.suggest(n, name, known[:14], seed=1)
        for n in range(20, 30)
    )
    assert space.suggest(3, name, known[:3], seed=1) == space.suggest(3, name, changed[:3], seed=1)
    assert any(space.suggest(n, name, known, seed=1) != space.suggest(n, name, changed, seed=1) for n in range(20, 30))


def test_baselines_are_points_of_the_space():
    """So that TPE learns from them: defaults filled in, options by value, numbers moved into their range."""
    problem = study.make_problem(Rows(), settings())
    space, baselines = study._space(FAST, problem, seed=0)
    resolved = {"max_features": 1.0, "l2_regularization": 0.0, "min_samples_leaf": 20}
    made = [
        Trial(number=n, family=spec.family, params=spec.params, seed=0, resolved=resolved | {"clip": "smooth"})
        for n, spec in enumerate(baselines)
    ]
    first, second = (space.locate(trial) for trial in made)
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
    space = Space({name: family.space(TableSize(n_rows, 2))})
    trial = Trial(
        number=0, family=name, params=params, seed=0, resolved=family.build(params, schema, seed=0).get_params()
    )
    located = space.locate(trial)
    assert located is not None
    point = space_eval(space.expressions[name], located)
    built = family.build(point, schema, seed=0).get_params()
    for parameter, value in built.items():
        if isinstance(value, str) or parameter in ("learning_rate", "hidden", "bins", "max_leaf_nodes"):
            assert value == pytest.approx(trial.resolved[parameter]), parameter


@pytest.mark.parametrize("levels", [0, 30])
@pytest.mark.parametrize("name", ["hist_gradient_boosting", "lightgbm"])
def test_the_first_suggestion_is_the_other_end_of_the_space(name, levels):
    """Large trees where the baseline has small ones, as given; what comes after is TPE's, which knows of it."""
    family = models.FAMILIES[name]
    space = Space({name: family.space(TableSize(2_000, 2, levels))}, {name: start_of(family, 2_000)})
    baseline = Trial(number=0, family=name, params=family.baseline(2_000), seed=0, loss=0.5)
    params, values = space.suggest(3, name, [baseline], seed=1)
    wanted = start_of(family, 2_000)
    assert params == pytest.approx({key: wanted[key] for key in params})
    assert max(params.values()) == 127
    assert ("statistics" in params) == (levels > 0)
    done = Trial(number=3, family=name, params=params, seed=1, loss=0.4, values=values)
    assert space.suggest(4, name, [baseline, done], seed=1) != (params, values)
    assert space.suggest(4, name, [baseline], [(3, values)], seed=1) != (params, values)


@pytest.mark.parametrize("name", list(models.FAMILIES))
def test_small_tables_and_other_families_begin_with_tpe(name):
    assert not start_of(models.FAMILIES[name], 1_999)
    assert bool(start_of(models.FAMILIES[name], 2_000)) == (name in ("hist_gradient_boosting", "lightgbm"))


def test_a_search_begins_with_it_after_the_baselines():
    space, _ = study._space(FAST, study.make_problem(Rows(n=4_000), settings()), seed=0)
    assert set(space._starts) == {"hist_gradient_boosting"}
    assert not study._space(FAST, study.make_problem(Rows(), settings()), seed=0)[0]._starts


@pytest.mark.parametrize(("levels", "tried"), [(20, False), (21, True)])
def test_target_statistics_are_tried_where_a_column_has_many_levels(levels, tried):
    """By every family that is searched; elsewhere the space has no room for them."""
    rows = Rows()
    rows.frame["city"] = [f"city {n % levels}" for n in range(len(rows.frame))]
    space = study._space(tuple(models.FAMILIES), study.make_problem(rows, settings()), seed=0)[0]
    for name in models.FAMILIES:
        drawn = [space.suggest(n, name, [], seed=0).params.get("statistics") for n in range(8)]
        assert set(drawn) == ({0, 20} if tried else {None})
