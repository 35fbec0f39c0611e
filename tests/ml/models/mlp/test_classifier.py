"""The network: reproducible, resumable, interruptible, and honest about what it cannot fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.utils.estimator_checks import parametrize_with_checks

from ml.errors import TrainingError
from ml.evaluation import metrics
from ml.models.mlp import training_loop
from ml.models.mlp.classifier import MLPClassifier, from_state
from ml.models.mlp.optimisation import choose_batch
from ml.models.mlp.tensors import Folds
from tests.ml.models.tables import schema_of, table

SMALL: dict[str, Any] = {"hidden": (12,), "members": 2, "epochs": 3, "device": "cpu"}


def small(**changes: Any) -> MLPClassifier:
    return MLPClassifier(**{**SMALL, **changes})


VARIANTS: dict[str, dict[str, Any]] = {
    "no hidden layer": {"hidden": ()},
    "three layers": {"hidden": (8, 6, 4), "dropout": 0.3},
    "one member": {"members": 1},
    "piecewise, mapped": {"embedding_width": 3},
    "one member, piecewise, mapped": {"members": 1, "embedding_width": 3},
    "no embedding": {"embedding": "none"},
    "wide members": {"hidden": (160, 160), "epochs": 1},
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_every_architecture_exports_and_reloads(changes: dict[str, Any]) -> None:
    """ONNX within 1e-5, a row alone with the same bits as in a batch, and the state gives the same numbers."""
    X, y = table(160, n_classes=3)
    model, schema = small(**changes, classes=(0, 1, 2)).fit(X, y), schema_of(X, 3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.to_onnx(schema).SerializeToString(), options)
    numbers, texts = X[list(schema.numbers)].to_numpy(np.float32), X[list(schema.categories)].to_numpy(object)
    whole = session.run(None, {"numbers": numbers, "categories": texts})[0]
    np.testing.assert_allclose(whole, model.predict_proba(X), atol=1e-5, rtol=0)
    alone = [
        session.run(None, {"numbers": n[None], "categories": t[None]})[0] for n, t in zip(numbers, texts, strict=True)
    ]
    np.testing.assert_array_equal(np.concatenate(alone), whole)
    np.testing.assert_array_equal(from_state(*model.to_state()).predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("optimiser", ["adamw", "adam"])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_every_optimiser_and_schedule_lowers_the_loss(optimiser: str, schedule: str) -> None:
    X, y = table(300, missing=0.0)
    model = small(optimiser=optimiser, schedule=schedule, learning_rate=3e-3, epochs=8, batch_size=32, dropout=0.0)
    history = model.fit(X, y).history
    assert history[-1]["loss"] < history[0]["loss"]


def test_history_has_figures_of_every_epoch() -> None:
    """Log-loss, accuracy and F1 of training and judging rows, and `on_epoch` sees each as it ends."""
    X, y = table(200)
    seen: list[dict[str, float]] = []
    model = small(epochs=4, patience=0).fit(X, y, on_epoch=seen.append)
    assert seen == model.history
    assert [entry["epoch"] for entry in seen] == [0, 1, 2, 3]
    for entry in seen:
        assert {"loss", "accuracy", "f1", "validation_loss", "validation_accuracy", "validation_f1"} <= entry.keys()


def test_history_agrees_with_predictions() -> None:
    """The best epoch's figures are those of the kept weights on the given validation rows."""
    X, y = table(300)
    model = small(epochs=6).fit(X[:200], y[:200], validation=(X[200:], y[200:]))
    best = model.history[model.best_epoch_]
    p = model.predict_proba(X[200:])
    assert best["validation_loss"] == min(entry["validation_loss"] for entry in model.history)
    assert -np.log(p[np.arange(100), y[200:]]).mean() == pytest.approx(best["validation_loss"], abs=1e-6)
    assert (p.argmax(axis=1) == y[200:]).mean() == pytest.approx(best["validation_accuracy"])


def test_stops_when_validation_gets_worse() -> None:
    """On labels that are noise, a fit ends before its last epoch and keeps an early one."""
    rng = np.random.default_rng(0)
    X, y = table(200)
    model = small(epochs=200, patience=3, learning_rate=1e-2).fit(X, rng.permutation(y))
    assert len(model.history) < 200
    assert len(model.history) == model.best_epoch_ + 4


def test_early_stopping_can_be_switched_off() -> None:
    X, y = table(200)
    model = small(epochs=5, early_stopping=False).fit(X, y)
    assert len(model.history) == 5
    assert "validation_loss" not in model.history[0]
    assert model.best_epoch_ == 4


def test_folds_hold_every_row_once() -> None:
    """Cross-fitting: a member trains on none of the rows that judge it, and all rows judge."""
    codes = np.repeat([0, 1, 2], [40, 17, 6])
    folds = Folds.stratified(codes, 4, seed=0)
    held = folds.held[folds.counted].tolist()
    assert sorted(held) == list(range(63))
    for train, judged in zip(folds.train.tolist(), folds.held.tolist(), strict=True):
        assert not set(train) & set(judged)


@pytest.mark.parametrize("members", [1, 3])
def test_an_interrupt_leaves_the_estimator_as_it_was(members: int) -> None:
    """Ctrl-C in a second fit: the first one still predicts; in a first fit: not fitted."""
    X, y = table(200)
    model = small(members=members).fit(X, y)
    before = model.predict_proba(X)

    def interrupt(entry: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(X[:100], y[:100], on_epoch=interrupt)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    fresh = small()
    with pytest.raises(KeyboardInterrupt):
        fresh.fit(X, y, on_epoch=interrupt)
    assert not hasattr(fresh, "network_")
    assert not hasattr(fresh, "classes_")


def test_fitting_leaves_torch_as_it_was() -> None:
    """Neither the global generator nor the number of threads is touched."""
    X, y = table(100)
    torch.manual_seed(5)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(5)
    small().fit(X, y)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_another_seed_gives_other_weights() -> None:
    X, y = table(200)
    first, second = (small(random_state=seed).fit(X, y).predict_proba(X) for seed in (0, 1))
    assert not np.array_equal(first, second)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_divergence_is_an_error_that_names_the_rate() -> None:
    X, y = table(200, missing=0.0)
    with pytest.raises(TrainingError, match="learning_rate"):
        small(learning_rate=1e30, epochs=20).fit(X, y)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"optimiser": "sgd"}, "optimiser"),
        ({"schedule": "one_cycle"}, "schedule"),
        ({"embedding": "periodic"}, "embedding"),
        ({"scaling": "none"}, "scaling"),
        ({"class_weight": "heavy"}, "class_weight"),
        ({"hidden": (0,)}, "hidden"),
        ({"members": 0}, "members"),
        ({"dropout": 1.0}, "dropout"),
        ({"learning_rate": -1.0}, "learning_rate"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_senseless_parameter_is_named(changes: dict[str, Any], place: str) -> None:
    X, y = table(60)
    with pytest.raises(TrainingError, match=place):
        small(**changes).fit(X, y)


def test_warm_start_goes_on_from_the_weights() -> None:
    """Fine-tuning, also of a reloaded model: starts at the loss where the first fit ended."""
    X, y = table(400, missing=0.0)
    first = small(epochs=20, early_stopping=False, dropout=0.0, batch_size=32).fit(X, y)
    tuned = from_state(*first.to_state()).set_params(warm_start=True, epochs=2, learning_rate=1e-5)
    tuned.fit(X, y)
    assert tuned.history[0]["loss"] == pytest.approx(first.history[-1]["loss"], abs=0.02)
    assert tuned.history[0]["loss"] < first.history[0]["loss"] - 0.05


def test_class_weights_move_the_probabilities() -> None:
    X, y = table(300, missing=0.0)
    rare = np.flatnonzero(y == 1)[:30]
    keep = np.concatenate([np.flatnonzero(y == 0), rare])
    X, y = X.iloc[keep], y[keep]
    plain = small(epochs=10).fit(X, y).predict_proba(X)[:, 1].mean()
    for weight in ("balanced", {0: 1.0, 1: 5.0}):
        assert small(epochs=10, class_weight=weight).fit(X, y).predict_proba(X)[:, 1].mean() > plain + 0.05


@pytest.mark.parametrize(
    ("data", "bound"), [(load_breast_cancer, 0.15), (load_wine, 0.2)], ids=["breast_cancer", "wine"]
)
def test_the_defaults_are_good_on_real_tables(data: Any, bound: float) -> None:
    """Test log-loss on the last fifth of shuffled rows; the class shares alone would give .66 and 1.09."""
    X, y = data(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y, cut = X[order], y[order], len(y) * 4 // 5
    p = MLPClassifier(device="cpu").fit(X[:cut], y[:cut]).predict_proba(X[cut:])
    assert -np.log(p[np.arange(len(y) - cut), y[cut:]]).mean() < bound


def test_plain_is_the_textbook_network() -> None:
    X, y = table(200)
    described = MLPClassifier.plain(hidden=(5,), epochs=2, device="cpu").fit(X, y).describe()
    assert described.architecture is not None
    assert described.inputs is not None
    assert (described.architecture.members, described.architecture.embedding) == (1, "none")
    inputs = described.inputs
    assert described.parameters == inputs * 5 + 5 + 5 * 2 + 2


def test_clones_and_parameters() -> None:
    model = MLPClassifier(hidden=(3, 3), dropout=0.5)
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(dropout=0.1).dropout == 0.1


@pytest.mark.parametrize(("rows", "batch"), [(1, 32), (800, 64), (5_000, 256), (100_000, 1_024), (1_000_000, 2_048)])
def test_batches_grow_with_the_table(rows: int, batch: int) -> None:
    assert choose_batch(rows) == batch


def test_auto_device_is_one_that_exists() -> None:
    torch.zeros(1, device=training_loop.resolve_device("auto"))


# What scikit-learn asks and a network with early stopping and float32 weights cannot give to the bit.
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": "folds are drawn by row: a row of weight 2 is not two rows",
    "check_sample_weight_equivalence_on_sparse_data": "no sparse input",
}


@parametrize_with_checks(
    [MLPClassifier(hidden=(16,), members=2, epochs=30, batch_size=16, learning_rate=0.01, device="cpu")],
    expected_failed_checks=lambda estimator: EXPECTED,
)
def test_scikit_learn_estimator_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_the_loops_log_loss_has_the_reports_floor() -> None:
    """Models lie below the metrics and have the figure twice."""
    assert training_loop.LOSS_FLOOR == metrics.REPORT_FLOOR
