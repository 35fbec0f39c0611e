"""A very small model as a bundle, made by hand: for tests of what reads bundles, where training is beside the point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ml.bundle import reader
from ml.decision import Decision
from ml.schema.rows import Rows
from ml.schema.schema import Column, Schema
from ml.storage.files import to_json

LEVELS = ("red", "green")


def tiny_schema(*, numbers: int = 2, categories: int = 1) -> Schema:
    """Columns n0, n1, … and c0, …; classes "no" and "yes"."""
    return Schema(
        target="target",
        classes=("no", "yes"),
        positive_label="yes",
        columns=(
            *(Column(name=f"n{i}", kind="number", minimum=-3, maximum=3, example=0.5) for i in range(numbers)),
            *(Column(name=f"c{i}", kind="category", categories=LEVELS, example="red") for i in range(categories)),
        ),
    )


def tiny_graph(*, numbers: int = 2, categories: int = 1, slope: float = 1.0) -> onnx.ModelProto:
    """sigmoid(slope · sum of the numbers, missing as 0, + slope where the category is "red")."""
    constants = {"zero": np.float32(0), "nslope": np.float32([-slope]), "axes": np.int64([1]), "one": np.float32(1)}
    nodes, inputs, terms = [], [], []
    if numbers:
        inputs.append(helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["N", numbers]))
        nodes += [
            helper.make_node("IsNaN", ["numbers"], ["missing"]),
            helper.make_node("Where", ["missing", "zero", "numbers"], ["filled"]),
            helper.make_node("ReduceSum", ["filled", "axes"], ["number_term"], keepdims=1),
        ]
        terms.append("number_term")
    if categories:
        inputs.append(helper.make_tensor_value_info("categories", TensorProto.STRING, ["N", categories]))
        nodes += [
            helper.make_node(
                "LabelEncoder", ["categories"], ["coded"], domain="ai.onnx.ml",
                keys_strings=["red"], values_floats=[1.0], default_float=0.0,
            ),
            helper.make_node("ReduceSum", ["coded", "axes"], ["category_term"], keepdims=1),
        ]  # fmt: skip
        terms.append("category_term")
    nodes += [
        helper.make_node("Sum", terms, ["z"]),
        helper.make_node("Mul", ["z", "nslope"], ["scaled"]),
        helper.make_node("Sigmoid", ["scaled"], ["negative"]),
        helper.make_node("Sub", ["one", "negative"], ["positive"]),
        helper.make_node("Concat", ["negative", "positive"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes, "tiny", inputs,
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def tiny_rows(n: int, *, numbers: int = 2, categories: int = 1, seed: int = 0) -> Rows:
    """Rows with missing numbers and unseen categories among them."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, numbers)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    levels = np.asarray([*LEVELS, "", "unseen"], dtype=object)
    return Rows(values, levels[rng.integers(0, 4, size=(n, categories))])


def tiny_bundle(path: Path, *, numbers: int = 2, categories: int = 1, slope: float = 1.0) -> str:
    """Write and seal a bundle; returns its SHA-256."""
    path.mkdir(parents=True)
    schema = tiny_schema(numbers=numbers, categories=categories)
    (path / "model.onnx").write_bytes(
        tiny_graph(numbers=numbers, categories=categories, slope=slope).SerializeToString()
    )
    (path / "schema.json").write_bytes(schema.to_json())
    (path / "decision.json").write_bytes(to_json(Decision(threshold=0.3)))
    (path / "metrics.json").write_bytes(to_json({"accuracy": {"value": 0.9}}))
    rows = tiny_rows(8, numbers=numbers, categories=categories)
    total = np.nansum(rows.numbers, axis=1) + (rows.categories == "red").sum(axis=1)
    positive = 1 / (1 + np.exp(-slope * total))
    encoded = reader.encode_inputs(rows)
    probabilities = np.stack([1 - positive, positive], axis=1).tolist()
    examples = reader.Examples(encoded.numbers, encoded.categories, probabilities)
    (path / "examples.json").write_bytes(to_json(examples))
    (path / "background.json").write_bytes(to_json(reader.encode_inputs(rows)))
    return reader.seal(path)
