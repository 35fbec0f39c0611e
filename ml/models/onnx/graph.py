"""A small builder for ONNX graphs: every family writes its own graph, op by op, with nothing converted.

Writing the ops directly keeps the arithmetic of the estimator: the same operations in the same
order and precision, so that probabilities agree to float32 rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 20  # StringConcat needs 20
ML_OPSET = 3  # double-precision tree ensembles need 3
IR_VERSION = 10  # of the file format: ONNX 1.16's

NUMBERS, CATEGORIES, PROBABILITIES = "numbers", "categories", "probabilities"


class Graph:
    """Collects nodes and constants; every method returns the name of the value it made."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._written: dict[str, str] = {}
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def constant(self, value: NDArray[Any]) -> str:
        """A constant; the same content is stored once."""
        value = np.ascontiguousarray(value)
        key = (str(value.dtype), value.shape, value.tobytes())
        if key not in self._known:
            name = f"c{len(self._constants)}"
            self._constants.append(numpy_helper.from_array(value, name))
            self._known[key] = name
        return self._known[key]

    def text(self, values: list[str], shape: tuple[int, ...]) -> str:
        """A constant of strings."""
        encoded = [value.encode("utf-8", "surrogatepass") for value in values]
        key = ("text", shape, b"\0".join(encoded))
        if key not in self._known:
            name = f"c{len(self._constants)}"
            content = np.array(encoded, dtype=object)
            self._constants.append(helper.make_tensor(name, TensorProto.STRING, shape, content))
            self._known[key] = name
        return self._known[key]

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """One node with one output; the same node over the same inputs is written once.

        So the members of a blend share whatever preprocessing they have in common.

        Parameters
        ----------
        kind
            An operator of ONNX.
        inputs
            Names of the values it takes, in the operator's order.
        domain
            "" for ONNX's own operators, else as "ai.onnx.ml".
        attributes
            Of the operator.

        Returns
        -------
        str
            Name of the output.
        """
        key = f"{domain}:{kind}:{inputs}:{sorted(attributes.items())}" if kind != "TreeEnsembleRegressor" else None
        if key is not None and key in self._written:
            return self._written[key]
        name = f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], domain=domain, **attributes))
        if key is not None:
            self._written[key] = name
        return name

    def float32(self, value: float | NDArray[Any]) -> str:
        """A float32 constant."""
        return self.constant(np.asarray(value, dtype=np.float32))

    def int64(self, *values: int) -> str:
        """A vector of int64: axes, shapes, indices."""
        return self.constant(np.asarray(values, dtype=np.int64))

    def concat(self, parts: list[str]) -> str:
        """Columns side by side; one part is returned as it is."""
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=1)

    def mixed(self, value: str, columns: Sequence[int]) -> str:
        """`value` (N, w), whose i-th column was made of the raw column `columns[i]` alone, the categories counted
        on from the numbers. A graph that mixes rows does it here (`ml.models.onnx.mixing`); this one does nothing.
        """
        return value

    def scatter_classes(self, probabilities: str, seen: NDArray[np.int64], n_classes: int) -> str:
        """Scatter the columns of the classes seen in training, (N, S), into those of all: (N, C), 0 for unseen ones.

        Parameters
        ----------
        probabilities
            Name of the (N, S) value.
        seen
            (S,) codes of the classes that training saw, ascending.
        n_classes
            C.
        """
        if len(seen) == n_classes:
            return probabilities
        source = np.zeros(n_classes, dtype=np.int64)
        source[seen] = np.arange(len(seen))
        absent = np.ones((1, n_classes), dtype=bool)
        absent[0, seen] = False
        wide = self.op("Gather", probabilities, self.constant(source), axis=1)
        zero = self.op("CastLike", self.float32(0.0), wide)
        return self.op("Where", self.constant(absent), zero, wide)

    def model(self, probabilities: str, *, n_numbers: int, n_categories: int, n_classes: int) -> onnx.ModelProto:
        """The finished, checked model: `numbers` [N, K] and `categories` [N, M] in, `probabilities` [N, C] out.

        Parameters
        ----------
        probabilities
            Name of the value to give out.
        n_numbers, n_categories, n_classes
            K, M and C; an input without columns is left out.
        """
        inputs = self._inputs(n_numbers, n_categories)
        output = helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, ["N", n_classes])
        self._nodes.append(helper.make_node("Identity", [probabilities], [PROBABILITIES]))
        graph = helper.make_graph(self._nodes, "refit", inputs, [output], initializer=self._constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
            ir_version=IR_VERSION,
            producer_name="refit",
        )
        onnx.checker.check_model(model)
        return model

    def _inputs(self, n_numbers: int, n_categories: int, rows: str = "N") -> list[onnx.ValueInfoProto]:
        inputs = []
        if n_numbers:
            inputs.append(helper.make_tensor_value_info(NUMBERS, TensorProto.FLOAT, [rows, n_numbers]))
        if n_categories:
            inputs.append(helper.make_tensor_value_info(CATEGORIES, TensorProto.STRING, [rows, n_categories]))
        return inputs
