"""The network as ONNX ops after the preprocessing.

Values are two-dimensional, (N, features), with the members' features side by side, and every product is
by a constant matrix. That is not for looks: ONNX Runtime packs constant matrices beforehand and then
gives a row the same bits alone and in a batch, which it does not for batched products.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ml.models.mlp.layers import MemberLinear, Piecewise
from ml.models.mlp.network import Network
from ml.models.onnx.graph import Graph
from ml.models.onnx.mixing import MixingGraph
from ml.models.preprocessing.preprocessor import Preprocessor

BLOCK = 16_384  # entries up to which several small products become one block-diagonal matrix


def emit(graph: Graph, preprocessor: Preprocessor, network: Network) -> str:
    """Write preprocessing and network; returns the probabilities (N, C). Dropout is absent, as in `predict_proba`."""
    members, classes = network.architecture.members, network.architecture.n_classes
    parts, layers = preprocessor.emit(graph), [*network.layers, network.head]
    if isinstance(graph, MixingGraph) and (first := _first_product(graph, parts, network, layers[0])):
        x, shared, layers = first, False, layers[1:]
    else:
        x, shared = _inputs(graph, parts, network)
    for layer in layers:
        if isinstance(layer, MemberLinear):
            x, shared = _linear(graph, x, _array(layer.weight), _array(layer.bias), shared), False
        elif isinstance(layer, nn.ReLU):
            x = graph.op("Relu", x)
    if members == 1:
        return graph.op("Softmax", x, axis=-1)
    x = graph.op("Softmax", graph.op("Reshape", x, graph.int64(-1, members, classes)), axis=-1)
    return graph.op("ReduceMean", x, graph.int64(1), keepdims=0)


def _first_product(graph: MixingGraph, parts: list[str], network: Network, layer: nn.Module) -> str | None:
    """The first layer's output for mixed rows, without mixing its wide input; None where columns meet before it."""
    embedding = network.embedding
    if not isinstance(layer, MemberLinear) or not (embedding is None or embedding.mapping is None):
        return None
    if not all(map(graph.is_mixed, parts)):  # of dates, whose differences are made of two columns
        return None
    values, columns = zip(*(graph.unmixed(part) for part in parts), strict=True)
    raw, sources = list(values), [np.asarray(column) for column in columns]
    if embedding is not None:
        raw[0], _ = _embedding(graph, raw[0], embedding)
        sources[0] = np.repeat(sources[0], embedding.outputs // len(sources[0]))
    weight, bias = _array(layer.weight), _array(layer.bias)
    matrix = weight.transpose(1, 0, 2).reshape(weight.shape[1], -1)
    return graph.product(graph.concat(raw), np.concatenate(sources), matrix, bias.reshape(1, 1, -1))


def _array(value: Any) -> NDArray[Any]:
    return np.asarray(value.detach().cpu().numpy())


def _inputs(graph: Graph, parts: list[str], network: Network) -> tuple[str, bool]:
    """The first layer's input, and whether it is the same for all members."""
    members = network.architecture.members
    if network.embedding is None:
        return graph.concat(parts), True
    parts[0], per_member = _embedding(graph, parts[0], network.embedding)
    if not per_member or members == 1:
        return graph.concat(parts), True
    if len(parts) == 1:
        return parts[0], False
    own = graph.op("Reshape", parts[0], graph.int64(-1, members, network.embedding.outputs))
    rest = graph.op("Unsqueeze", graph.concat(parts[1:]), graph.int64(1))
    rest = graph.op("Expand", rest, graph.int64(1, members, 1))
    width = network.embedding.outputs + network.architecture.n_flags + network.architecture.n_levels
    x = graph.op("Concat", own, rest, axis=2)
    return graph.op("Reshape", x, graph.int64(-1, members * width)), False


def _embedding(graph: Graph, x: str, module: Piecewise) -> tuple[str, bool]:
    """(N, K) → (N, w), or (N, k · w) where each member has its own; and which of both."""
    column = graph.op("Unsqueeze", x, graph.int64(2))  # (N, K, 1)
    left, rate = _array(module.encoding.left), _array(module.encoding.rate)
    scaled = graph.op("Mul", graph.op("Sub", column, graph.float32(left)), graph.float32(rate))
    encoded = graph.op("Clip", scaled, graph.float32(0.0), graph.float32(1.0))
    encoded = graph.op("Concat", encoded, column, axis=2)
    columns, bins = left.shape
    encoded = graph.op("Reshape", encoded, graph.int64(-1, columns * (bins + 1)))
    if module.mapping is None:
        return encoded, False
    # One product a column, for all members at once: (K, in, k · out).
    weight, bias = _array(module.mapping.weight), _array(module.mapping.bias)[:, 0]
    members, _, inputs, outputs = weight.shape
    by_column = weight.transpose(1, 2, 0, 3).reshape(columns, inputs, members * outputs)
    value = _grouped(graph, encoded, by_column)
    if members > 1:
        value = graph.op("Reshape", value, graph.int64(-1, columns, members, outputs))
        value = graph.op("Transpose", value, perm=[0, 2, 1, 3])
        value = graph.op("Reshape", value, graph.int64(-1, members * columns * outputs))
    return graph.op("Relu", graph.op("Add", value, graph.float32(bias.reshape(1, -1)))), True


def _linear(graph: Graph, x: str, weight: NDArray[Any], bias: NDArray[Any], shared: bool) -> str:
    """weight (k, in, out), bias (k, 1, out): (N, in) or (N, k · in) → (N, k · out)."""
    if shared:
        x = graph.op("MatMul", x, graph.float32(weight.transpose(1, 0, 2).reshape(weight.shape[1], -1)))
    else:
        x = _grouped(graph, x, weight)
    return graph.op("Add", x, graph.float32(bias.reshape(1, -1)))


def _grouped(graph: Graph, x: str, weight: NDArray[Any]) -> str:
    """weight (G, in, out): (N, G · in) → (N, G · out), group by group; small groups as block-diagonal matrices."""
    groups, inputs, outputs = weight.shape
    size = min(groups, max(1, math.isqrt(BLOCK // (inputs * outputs)) if inputs * outputs <= BLOCK else 1))
    starts = range(0, groups, size)
    values = []
    for start in starts:
        part = weight[start : start + size]
        block = np.zeros((len(part), inputs, len(part), outputs), np.float32)
        block[np.arange(len(part)), :, np.arange(len(part)), :] = part
        rows = x
        if size < groups:
            begin, end = graph.int64(start * inputs), graph.int64((start + len(part)) * inputs)
            rows = graph.op("Slice", x, begin, end, graph.int64(1))
        values.append(graph.op("MatMul", rows, graph.float32(block.reshape(len(part) * inputs, len(part) * outputs))))
    return graph.concat(values)
