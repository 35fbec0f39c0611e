"""The space of the search: every family and every baseline has its place in it."""

import msgspec
import numpy as np
import pytest
from hyperopt import space_eval

from ml import models
from ml.tuning import study
from ml.tuning.space import Space
from ml.tuning.trial import Trial
from tests.ml.tuning.searching import FAST, Rows, settings


def test_tpe_takes_over_after_the_random_start(tmp_path):
    """With the results of earlier trials changed, only suggestions that may see them change."""
    space = study._space(FAST, study.make_problem(Rows(), settings()), seed=0)[0]
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
    space, baselines = study._space(FAST, problem, seed=0)
    resolved = {"max_features": 1.0, "l2_regularization": 0.0, "min_samples_leaf": 20}
    made = [
        Trial(number=n, family=spec.family, params=spec.params, seed=0, resolved=resolved | {"clip": "smooth"})
        for n, spec in enumerate(baselines)
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


def test_every_family_has_a_place_in_the_space():
    """A family that is added is searched."""
    space = study._space(tuple(models.FAMILIES), study.make_problem(Rows(), settings()), seed=0)[0]
    drawn = {space.suggest(n, [], seed=0)[0] for n in range(40)}
    assert drawn == set(models.FAMILIES)
