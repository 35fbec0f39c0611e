"""Decision: from probabilities to a label."""

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from ml.decision import Calibration, Decision, of_metrics, positive_code, sentence
from ml.models.onnx.calibration import append_calibration
from ml.schema.schema import Schema

YES = Schema(target="y", classes=("no", "yes"), positive_label="yes", columns=())
NO = Schema(target="y", classes=("no", "yes"), positive_label="no", columns=())
THREE = Schema(target="y", classes=("a", "b", "c"), positive_label="", columns=())


def test_a_row_on_the_threshold_is_positive():
    """The comparison is inclusive and in float32, the graph's precision."""
    p = np.array([[0.7, 0.3], [0.7000001, 0.2999999]], dtype=np.float32)
    assert Decision(threshold=0.3).codes(p, YES).tolist() == [1, 0]


def test_the_threshold_belongs_to_the_positive_label():
    """With the first class positive, its own column is compared."""
    p = np.array([[0.35, 0.65], [0.25, 0.75]])
    assert positive_code(NO) == 0
    assert Decision(threshold=0.3).codes(p, NO).tolist() == [0, 1]


def test_three_classes_ignore_a_threshold():
    """More than two classes: the most probable one."""
    assert Decision(threshold=0.9).codes(np.array([[0.2, 0.5, 0.3]]), THREE).tolist() == [1]


def test_costs_move_the_answer_to_the_cheapest_class():
    """Missing class c is ten times as dear, so a quarter of a chance is enough."""
    costs = ((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (10.0, 10.0, 0.0))
    p = np.array([[0.5, 0.25, 0.25], [0.9, 0.05, 0.05]])
    assert Decision(costs=costs).codes(p, THREE).tolist() == [2, 0]


@pytest.mark.parametrize(
    ("schema", "decision"),
    [
        (YES, Decision(threshold=0.3)),
        (NO, Decision(threshold=0.7)),
        (YES, Decision()),
        (THREE, Decision(threshold=0.9)),
        (THREE, Decision(costs=((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (10.0, 10.0, 0.0)))),
    ],
)
def test_one_row_is_decided_as_among_others(schema, decision):
    """The service decides single rows without arrays: on, just above and just below the threshold, and on ties."""
    n_classes = len(schema.classes)
    p = np.random.default_rng(0).dirichlet(np.ones(n_classes), 300).astype(np.float32)
    p[:4] = 1 / n_classes
    edge = np.float32(0.3)
    for i, value in enumerate((edge, np.nextafter(edge, np.float32(1)), np.nextafter(edge, np.float32(0))), 4):
        p[i] = [1 - value, value, 0][:n_classes]
    assert [decision.code(row, schema) for row in p.tolist()] == decision.codes(p, schema).tolist()


def test_json_round_trip_keeps_everything():
    """decision.json says all that the service needs."""
    made = Decision(
        threshold=0.25, calibration=Calibration(kind="sigmoid", scale=(1.5, 1.5), bias=(0.1, -0.1)), objective="f1"
    )
    assert Decision.from_json(made.to_json()) == made


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_calibrated_rows_sum_to_one_even_for_certain_answers(n_classes):
    """Probabilities of exactly 0 and 1 stay finite."""
    p = np.eye(n_classes)
    made = Calibration(kind="temperature", scale=(0.7,) * n_classes, bias=(0.0,) * n_classes).apply(p)
    np.testing.assert_allclose(made.sum(axis=1), 1)
    assert np.isfinite(made).all()


@pytest.mark.parametrize("kind", ["none", "temperature", "sigmoid", "beta"])
def test_the_graph_calibrates_as_numpy_does(kind):
    """The nodes after `probabilities` and `Calibration.apply` are the same formula."""
    scale, bias = {
        "none": ((), ()),
        "temperature": ((0.6,) * 3, (0.0,) * 3),
        "sigmoid": ((1.7,) * 3, (0.2, -0.3, 0.1)),
        "beta": ((1.2, 0.4, 2.0), (0.2, -0.3, 0.1)),
    }[kind]
    calibration = Calibration(kind=kind, scale=scale, bias=bias)
    p = np.random.default_rng(0).dirichlet([0.3, 0.3, 0.3], size=200).astype(np.float32)
    p[0] = [1, 0, 0]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["probabilities"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = ort.InferenceSession(append_calibration(model, calibration).SerializeToString())
    np.testing.assert_allclose(session.run(None, {"x": p})[0], calibration.apply(p), atol=1e-6)
    assert [node.output[0] for node in model.graph.node] == ["probabilities"]  # the input was left alone


def test_how_an_answer_is_made_is_one_sentence():
    """Named by the positive label; with the share that it has anyway, where that is known."""
    cost = Decision(threshold=0.1, objective="cost", costs=((0.0, 1.0), (9.0, 0.0)))
    assert str(sentence(cost, NO)) == "At 10.0% and more the answer is “no”, chosen for the least cost."
    assert sentence(Decision(), THREE).code == "evaluation.most_probable"
    assert sentence(Decision(costs=((0.0,) * 3,) * 3), THREE).code == "evaluation.cheapest"


def test_precision_and_recall_are_told_in_counts():
    """Where they are defined, and of two classes; metrics of an older version have less."""
    metrics = {"metrics": {"precision": {"value": 0.389}, "recall": {"value": 0.77}}, "no_skill": {"precision": 0.24}}
    told = of_metrics(Decision(threshold=0.225, objective="f1"), YES, metrics)
    assert [one.text for one in told] == [
        "At 22.5% and more the answer is “yes”, chosen for F1; 24.0% of the test rows are “yes”.",
        "Of 100 rows that it answers “yes”, 39 are; of 100 that are, it finds 77.",
    ]
    assert len(of_metrics(Decision(), THREE, metrics)) == 1
    undefined = {"metrics": {"precision": {"value": 0.4}, "recall": {"value": None}}}
    assert [one.code for one in of_metrics(Decision(threshold=0.5), YES, undefined)] == ["evaluation.threshold"]
