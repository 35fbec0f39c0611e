"""The model over mixtures of rows: for each, which columns come from the first row and which from another.

An explanation scores hundreds of mixtures of a dozen rows. Mixed outside of the graph, each of them has its texts
looked up and its numbers scaled and encoded anew, and meets the first layer's wide matrix. Here the dozen rows are
encoded once and mixed behind that; and where the first layer is a plain product, what each column adds to it is
worked out once a row, and a mixture is a sum of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ml.models.onnx.graph import Graph

KNOWN = "known"


class MixingGraph(Graph):
    """Inputs `numbers` and `categories` are 1 + B rows; `known` (B, P, K + M) float32, 0 or 1, the categories after
    the numbers: 1 where a mixture has the column of the first row, 0 where it has that of row 1 + b.

    Outputs have B · P rows, mixture after mixture.
    """

    def __init__(self, n_columns: int) -> None:
        super().__init__()
        self._n_columns = n_columns
        self._unmixed: dict[str, tuple[str, tuple[int, ...]]] = {}

    def mixed(self, value: str, columns: Sequence[int]) -> str:
        """(1 + B, w) → (B · P, w)."""
        first, others = self._rows(value)
        mask = self.op("Gather", self.op("Cast", KNOWN, to=TensorProto.BOOL), self.int64(*columns), axis=2)
        mixed = self.op("Where", mask, first, self.op("Unsqueeze", others, self.int64(1)))
        name = self.op("Reshape", mixed, self.int64(-1, len(columns)))
        self._unmixed[name] = value, tuple(columns)
        return name

    def is_mixed(self, value: str) -> bool:
        """Whether `mixed` gave this value, and not something that was made of one."""
        return value in self._unmixed

    def unmixed(self, value: str) -> tuple[str, tuple[int, ...]]:
        """The (1 + B, w) that `mixed` was given, and the raw column of each of its columns."""
        return self._unmixed[value]

    def product(self, x: str, columns: NDArray[np.int64], matrix: NDArray[Any], bias: NDArray[Any]) -> str:
        """(1 + B, F) @ matrix (F, H) + bias (1, 1, H) of each mixture: (B · P, H). `columns` (F,) as in `mixed`.

        Parameters
        ----------
        x
            Name of the value.
        matrix
            (F, H) weights.
        bias
            (1, 1, H).
        """
        counts = np.bincount(columns, minlength=self._n_columns)
        by_column = np.zeros((self._n_columns, int(counts.max()), matrix.shape[1]), np.float32)
        places = np.zeros(by_column.shape[:2], np.int64)  # a place that is not filled has zeros for weights
        for column, count in enumerate(counts):
            places[column, :count] = at = np.flatnonzero(columns == column)
            by_column[column, :count] = matrix[at]
        x = self.op("Gather", x, self.constant(places), axis=1)  # (1 + B, K + M, most)
        shares = self.op("MatMul", self.op("Transpose", x, perm=[1, 0, 2]), self.float32(by_column))
        first, others = self._rows(self.op("Transpose", shares, perm=[1, 0, 2]))
        base = self.op("ReduceSum", others, self.int64(1), keepdims=1)  # (B, 1, H)
        change = self.op("MatMul", KNOWN, self.op("Sub", first, others))  # (B, P, H)
        total = self.op("Add", change, self.op("Add", base, self.float32(bias)))
        return self.op("Reshape", total, self.int64(-1, matrix.shape[1]))

    def model(self, probabilities: str, **sizes: int) -> onnx.ModelProto:
        """Without the nodes and constants that nothing uses: ONNX Runtime would run the ones and warn of the others."""
        used, nodes = {probabilities}, []
        for node in reversed(self._nodes):
            if used.intersection(node.output):
                used.update(node.input)
                nodes.append(node)
        self._nodes = nodes[::-1]
        self._constants = [constant for constant in self._constants if constant.name in used]
        return super().model(probabilities, **sizes)

    def _rows(self, value: str) -> tuple[str, str]:
        """The first row, (1, …), and the others, (B, …)."""
        zero, one, end = self.int64(0), self.int64(1), self.int64(np.iinfo(np.int64).max)
        return self.op("Slice", value, zero, one, zero), self.op("Slice", value, one, end, zero)

    def _inputs(self, n_numbers: int, n_categories: int, rows: str = "R") -> list[onnx.ValueInfoProto]:
        known = helper.make_tensor_value_info(KNOWN, TensorProto.FLOAT, ["B", "P", n_numbers + n_categories])
        return [*super()._inputs(n_numbers, n_categories, rows), known]
