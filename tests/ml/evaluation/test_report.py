"""Evaluation: metrics with intervals, slices, calibration, threshold."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from ml.decision import Calibration, Decision, softmax
from ml.evaluation import calibrate, choose_threshold, decide, evaluate
from ml.evaluation.calibration import crossed
from ml.evaluation.metrics import calibration_error, calibration_p_value, log_losses
from ml.schema.schema import Column, Schema


def schema(n_classes, columns=()):
    classes = tuple(f"k{c}" for c in range(n_classes))
    return Schema(target="y", classes=classes, positive_label="k1" if n_classes == 2 else "", columns=columns)


def draw(n, n_classes, seed=0, sharpness=1.0):
    """Probabilities and labels drawn from them: perfectly calibrated at sharpness 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, n_classes)) * 1.5
    p = softmax(logits)
    y = (rng.random(n)[:, None] > p.cumsum(axis=1)).sum(axis=1).clip(0, n_classes - 1)
    return softmax(logits * sharpness), y


@pytest.mark.parametrize("weighted", [False, True], ids=["equal weights", "sample weights"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_metrics_equal_scikit_learns(n_classes, weighted):
    """Ties included: probabilities are rounded to one digit."""
    p, y = draw(300, n_classes)
    p = np.round(p, 1) + 0.02
    p /= p.sum(axis=1, keepdims=True)
    weight = np.random.default_rng(1).uniform(0.2, 2, 300) if weighted else None
    found = evaluate(p, None, y, schema(n_classes), decision=Decision(threshold=0.4), n_bootstrap=20, weight=weight)
    codes = Decision(threshold=0.4).codes(p, schema(n_classes))
    value = {name: m.value for name, m in found.metrics.items()}
    assert value["accuracy"] == pytest.approx(reference.accuracy_score(y, codes, sample_weight=weight))
    assert value["log_loss"] == pytest.approx(reference.log_loss(y, p, sample_weight=weight))
    average = "binary" if n_classes == 2 else "macro"
    for name in ("precision", "recall", "f1"):
        expected = getattr(reference, f"{name}_score")(y, codes, average=average, sample_weight=weight)
        assert value[name] == pytest.approx(expected)
    if n_classes == 2:
        assert value["roc_auc"] == pytest.approx(reference.roc_auc_score(y, p[:, 1], sample_weight=weight))
        assert value["pr_auc"] == pytest.approx(reference.average_precision_score(y, p[:, 1], sample_weight=weight))
        assert value["brier"] == pytest.approx(reference.brier_score_loss(y, p[:, 1], sample_weight=weight))
    for c in range(n_classes):
        per_class = found.per_class[f"k{c}"]
        expected = reference.roc_auc_score(y == c, p[:, c], sample_weight=weight)
        assert per_class.roc_auc.value == pytest.approx(expected)
        assert per_class.support == (y == c).sum()
    np.testing.assert_allclose(found.confusion, reference.confusion_matrix(y, codes, sample_weight=weight))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_what_a_metric_has_without_skill_is_that_of_the_best_constant_answer(n_classes):
    """scikit-learn on the class shares, and on one answer for all rows; recall and calibration error have none."""
    p, y = draw(300, n_classes)
    shares = np.bincount(y, minlength=n_classes) / len(y)
    found = evaluate(p, None, y, schema(n_classes), decision=Decision(threshold=0.4), n_bootstrap=20).no_skill
    constant = np.tile(shares, (len(y), 1))
    assert found["accuracy"] == pytest.approx(shares.max())
    assert found["log_loss"] == pytest.approx(reference.log_loss(y, constant))
    assert found["roc_auc"] == 0.5
    best = [reference.f1_score(y, np.full(len(y), c), average="macro", zero_division=0) for c in range(n_classes)]
    assert found["macro_f1"] == pytest.approx(max(best))
    if n_classes == 2:
        assert found["f1"] == pytest.approx(reference.f1_score(y, np.ones(len(y))))
        assert found["precision"] == pytest.approx(shares[1])
        assert found["pr_auc"] == pytest.approx(reference.average_precision_score(y, constant[:, 1]))
        assert found["brier"] == pytest.approx(reference.brier_score_loss(y, constant[:, 1]))
    else:
        assert found["f1"] == found["macro_f1"]
        assert found["precision"] == pytest.approx(shares.max() / n_classes)
        assert found["brier"] == pytest.approx(((constant - np.eye(n_classes)[y]) ** 2).sum(axis=1).mean())
    assert not {"recall", "ece"} & set(found)


def test_what_depends_on_the_threshold_is_told_at_one_half_too():
    p, y = draw(300, 2)
    found = evaluate(p, None, y, schema(2), decision=Decision(threshold=0.2), n_bootstrap=20)
    at_half = evaluate(p, None, y, schema(2), decision=Decision(threshold=0.5), n_bootstrap=20)
    for name in ("accuracy", "precision", "recall", "f1", "macro_f1"):
        assert found.at_half[name] == pytest.approx(at_half.metrics[name].value)
    assert set(found.at_half) == {"accuracy", "precision", "recall", "f1", "macro_f1"}
    assert at_half.at_half == {}
    assert (
        evaluate(*draw(300, 3)[:1], None, draw(300, 3)[1], schema(3), decision=Decision(), n_bootstrap=20).at_half == {}
    )


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """95% intervals of accuracy, log-loss and ROC-AUC hold the value of a very large sample."""
    big_p, big_y = draw(200_000, 2, seed=99)
    truth = {
        "accuracy": (big_p.argmax(axis=1) == big_y).mean(),
        "log_loss": log_losses(big_p, big_y).mean(),
        "roc_auc": reference.roc_auc_score(big_y, big_p[:, 1]),
    }
    covered = dict.fromkeys(truth, 0)
    for seed in range(120):
        p, y = draw(200, 2, seed=seed)
        found = evaluate(p, None, y, schema(2), decision=Decision(threshold=0.5), n_bootstrap=200, seed=seed).metrics
        for name, value in truth.items():
            covered[name] += found[name].low <= value <= found[name].high
    # Binomial(120, 0.95) falls outside of 105 … 120 once in a thousand; the percentile bootstrap is a little short.
    assert min(covered.values()) >= 104, covered


def test_many_rows_are_resampled_through_a_subset_with_the_right_width(monkeypatch):
    """The interval of 40,000 rows, drawn on 2,000 of them, is as wide as theory says."""
    monkeypatch.setattr("ml.evaluation.bootstrap.MAX_ROWS", 2_000)
    monkeypatch.setattr("ml.evaluation.bootstrap.Resamples.__init__.__kwdefaults__", {"max_rows": 2_000})
    p, y = draw(40_000, 2)
    found = evaluate(p, None, y, schema(2), decision=Decision(threshold=0.5), n_bootstrap=400).metrics["accuracy"]
    error = np.sqrt(found.value * (1 - found.value) / 40_000)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert found.low < found.value < found.high


def test_one_class_only_leaves_ranking_metrics_empty():
    """A test split that happens to hold one class is measured as far as it goes."""
    p, _ = draw(60, 2)
    found = evaluate(p, None, np.zeros(60, int), schema(2), decision=Decision(threshold=0.5), n_bootstrap=50)
    assert found.metrics["roc_auc"].value is None
    assert found.metrics["accuracy"].value is not None


def test_slices_are_levels_quartiles_and_missing_values_with_enough_rows():
    """Each is measured, and a level with few rows is not."""
    n = 400
    p, y = draw(n, 2)
    number = np.arange(n, dtype=np.float32)
    number[:60] = np.nan
    X = pd.DataFrame({"age": number, "city": ["Huế"] * 300 + [""] * 70 + ["rare"] * 30})
    columns = (Column(name="age", kind="number"), Column(name="city", kind="category"))
    found = evaluate(p, X, y, schema(2, columns), decision=Decision(threshold=0.5), n_bootstrap=50).slices
    names = {(s.column, s.value): s for s in found}
    assert all(type(s.value) is str for s in found)  # not NumPy's, which JSON does not take
    assert names["city", "Huế"].rows == 300
    assert names["city", "missing"].rows == 70
    assert ("city", "rare") not in names
    assert names["age", "missing"].rows == 60
    assert sum(s.rows for s in found if s.column == "age") == n
    part = X["city"].to_numpy() == "Huế"
    expected = ((p[:, 1] >= 0.5) == y)[part].mean()
    assert names["city", "Huế"].metrics["accuracy"].value == pytest.approx(expected)


@pytest.mark.parametrize("values", [[np.nan] * 200, [7.0] * 200], ids=["all missing", "constant"])
def test_a_column_without_parts_has_no_slices(values):
    """Nothing crashes, and all rows are not called a slice."""
    p, y = draw(200, 3)
    X = pd.DataFrame({"x": np.array(values, dtype=np.float32)})
    found = evaluate(p, X, y, schema(3, (Column(name="x", kind="number"),)), decision=Decision(), n_bootstrap=20)
    assert found.slices == []


def test_calibration_error_is_the_distance_of_said_from_come():
    """Always saying 0.8 where half come is an error of 0.3."""
    correct = np.arange(100) % 2 == 0
    unbiased, plain = calibration_error(np.ones((1, 100)), np.full(100, 0.8), correct)
    assert plain[0] == pytest.approx(0.3)
    assert unbiased[0] == pytest.approx(0.3)  # the noise of 100 rows is far below it


@pytest.mark.parametrize("n_classes", [2, 5])
def test_the_calibration_error_of_true_probabilities_is_zero(n_classes):
    """Its interval holds 0 and its mean over many tables is 0; the plain one is .05 and its interval never held 0."""
    tables = [draw(400, n_classes, seed=seed) for seed in range(40)]
    found = [evaluate(p, None, y, schema(n_classes), decision=Decision(), n_bootstrap=100) for p, y in tables]
    errors = [evaluation.metrics["ece"] for evaluation in found]
    assert sum(error.low == 0 for error in errors) >= 36
    assert np.median([error.value for error in errors]) < 0.01
    assert all(error.value <= error.high for error in errors)
    assert sum(evaluation.calibration_p_value < 0.05 for evaluation in found) <= 6


@pytest.mark.parametrize("sharpness", [1.3, 2.0])
def test_the_interval_holds_the_true_calibration_error(sharpness):
    """Also of errors as small as their noise, which the unbiased estimate alone puts too low."""
    p, y = draw(200_000, 2, seed=1, sharpness=sharpness)
    truth = calibration_error(np.ones((1, len(y))), p[:, 1], y == 1)[1][0]
    held = 0
    for seed in range(30):
        p, y = draw(300, 2, seed=seed + 50, sharpness=sharpness)
        error = evaluate(p, None, y, schema(2), decision=Decision(), n_bootstrap=100).metrics["ece"]
        held += error.low <= truth <= error.high
    assert held >= 27


def test_the_p_value_of_calibration_is_small_where_it_is_off():
    p, y = draw(1_000, 2, sharpness=2.0)
    assert calibration_p_value(np.ones(1_000), p[:, 1], y == 1) == 0.001


@pytest.mark.parametrize("n_classes", [2, 5])
def test_calibrated_probabilities_are_left_alone(n_classes):
    """The simplest kind is kept unless another is clearly better."""
    assert calibrate(*draw(2_000, n_classes, seed=3)).kind == "none"


@pytest.mark.parametrize("n_classes", [2, 5])
def test_overconfident_probabilities_are_cooled(n_classes):
    """Logits doubled: half of every log-odds is taken back, and log-loss falls."""
    p, y = draw(2_000, n_classes, sharpness=2.0)
    made = calibrate(p, y)
    assert made.kind == "temperature"
    assert made.scale[0] == pytest.approx(0.5, abs=0.06)
    assert log_losses(made.apply(p), y).mean() < log_losses(p, y).mean() - 0.02


def test_a_shifted_class_share_is_put_right_by_a_bias():
    """As class weights do to probabilities: the positive class is overstated everywhere."""
    p, y = draw(3_000, 2)
    odds = p * [1, 4]
    wrong = odds / odds.sum(axis=1, keepdims=True)
    made = calibrate(wrong, y)
    assert made.kind in ("sigmoid", "beta")
    assert log_losses(made.apply(wrong), y).mean() < log_losses(p, y).mean() + 0.005


@pytest.mark.parametrize(("n", "y"), [(10, [0, 1] * 5), (100, [0] * 100)], ids=["ten rows", "one class"])
def test_too_little_to_calibrate_on_changes_nothing(n, y):
    """No fit is made where it could only be noise."""
    assert calibrate(draw(n, 2)[0], np.array(y)) == Calibration()


def test_perfectly_separated_rows_do_not_run_to_infinity():
    """The weak prior keeps scales finite."""
    y = np.arange(200) % 2
    p = np.where(y[:, None] == [0, 1], 0.9, 0.1)
    made = calibrate(p, y)
    assert max(made.scale, default=1) < 50


def test_no_row_calibrates_itself():
    """Cross-fitting: changing one row's label changes how others are calibrated, not itself."""
    p, y = draw(200, 2, sharpness=2.0)
    before = crossed(p, y, "sigmoid")
    y2 = y.copy()
    y2[0] = 1 - y2[0]
    after = crossed(p, y2, "sigmoid")
    same_fold = np.isclose(before[:, 0], after[:, 0], atol=1e-12)
    assert not same_fold.all()


def test_rare_positives_are_cut_for_f1_and_it_helps():
    """The default objective; F1 on fresh rows is far better than at one half."""

    def rare(seed):
        rng = np.random.default_rng(seed)
        p = 1 / (1 + np.exp(-(rng.normal(size=4_000) * 1.5 - 3)))
        return np.stack([1 - p, p], axis=1), (rng.random(4_000) < p).astype(int)

    made = decide(*rare(0))
    p, y = rare(1)
    assert made.objective == "f1"
    assert made.threshold is not None
    at = [reference.f1_score(y, p[:, 1] >= cut) for cut in (made.threshold, 0.5)]
    best = max(reference.f1_score(y, p[:, 1] >= cut) for cut in np.linspace(0.05, 0.9, 60))
    assert at[0] > at[1] + 0.1
    assert at[0] > best - 0.02


def test_balanced_classes_keep_one_half():
    """For accuracy the cut of calibrated probabilities is one half, unless the rows clearly say otherwise."""
    made = decide(*draw(500, 2))
    assert (made.objective, made.threshold) == ("accuracy", 0.5)


def test_costs_choose_the_threshold():
    """A miss nine times as dear as an alarm: calibrated probabilities are cut near one tenth."""
    p, y = draw(4_000, 2)
    made = decide(p, y, objective="cost", costs=[[0, 1], [9, 0]])
    assert made.threshold == pytest.approx(0.1, abs=0.05)
    assert made.costs == ((0, 1), (9, 0))


@pytest.mark.parametrize(
    ("objective", "costs", "match"), [("cost", None, "needs costs"), ("cost", [[0, 1]], "expected 2 rows")]
)
def test_unusable_costs_are_an_error(objective, costs, match):
    """The message says what is missing."""
    with pytest.raises(ValueError, match=match):
        decide(*draw(100, 2), objective=objective, costs=costs)


def test_threshold_of_one_class_is_the_default():
    """Nothing to choose from."""
    assert choose_threshold(np.linspace(0, 1, 50), np.ones(50, bool), objective="f1") == 0.5


def test_many_classes_have_no_threshold():
    """The most probable class is answered."""
    made = decide(*draw(300, 4))
    assert (made.threshold, made.objective) == (None, "accuracy")


def test_wrong_shape_is_named():
    """Probabilities of another number of classes."""
    with pytest.raises(ValueError, match="expected \\(50, 3\\)"):
        evaluate(draw(50, 2)[0], None, np.zeros(50, int), schema(3), decision=Decision())
