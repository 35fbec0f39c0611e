"""The network as ONNX ops, joined to the preprocessing: one graph from raw columns to probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import nn

from ml.models.networks import EnsembleLinear, MemberBatchNorm, MemberHeads, Network, Periodic, Piecewise
from ml.models.onnx_graph import Graph
from ml.models.preprocess import Preprocessor


def emit(graph: Graph, preprocessor: Preprocessor, network: Network) -> str:
    """Write preprocessing and network; returns the probabilities. Dropout is absent, as in `predict_proba`."""
    a = network.architecture
    parts = preprocessor.emit(graph)
    if a.n_numbers and network.embedding is not None:
        parts[0] = _embedding(graph, parts[0], network.embedding)
    x = graph.concat(parts)
    if a.members > 1:
        x = graph.op("Unsqueeze", x, graph.int64(1))
    for layer in network.layers:
        x = _layer(graph, x, layer)
    x = graph.op("Softmax", _head(graph, x, network.head), axis=-1)
    if a.members > 1:
        x = graph.op("ReduceMean", x, graph.int64(1), keepdims=0)
    return x


def _array(value: Any) -> Any:
    return value.detach().cpu().numpy()


def _embedding(graph: Graph, x: str, module: nn.Module) -> str:
    """(N, K) → (N, K · width)."""
    column = graph.op("Unsqueeze", x, graph.int64(2))
    if isinstance(module, Piecewise):
        scaled = graph.op("Mul", graph.op("Sub", column, _c(graph, module.left)), _c(graph, module.rate))
        encoded = graph.op("Clip", scaled, graph.float32(0.0), graph.float32(1.0))
        encoded = graph.op("Concat", encoded, column, axis=2)
        return graph.op("Relu", _per_column(graph, encoded, _array(module.weight), _array(module.bias)))
    assert isinstance(module, Periodic)
    turn = graph.op("Mul", column, _c(graph, 2.0 * math.pi * module.frequency))
    waves = graph.op("Cos", graph.op("Add", turn, _c(graph, module.phase)))
    # [x, mapped] per column, as one block-diagonal product over [x, waves].
    count, frequencies, width = module.weight.shape
    weight = np.zeros((count, frequencies + 1, width + 1), np.float32)
    weight[:, 0, 0] = 1.0
    weight[:, 1:, 1:] = _array(module.weight)
    bias = np.concatenate([np.zeros((count, 1), np.float32), _array(module.bias)], axis=1)
    return _per_column(graph, graph.op("Concat", column, waves, axis=2), weight, bias)


def _per_column(graph: Graph, x: str, weight: Any, bias: Any) -> str:
    """(N, K, t) by K matrices (t, d) → (N, K · d); one block-diagonal product while that is small."""
    count, inputs, outputs = weight.shape
    if count * inputs * count * outputs <= 1_000_000:
        block = np.zeros((count, inputs, count, outputs), np.float32)
        block[np.arange(count), :, np.arange(count), :] = weight
        flat = graph.op("Reshape", x, graph.int64(-1, count * inputs))
        flat = graph.op("MatMul", flat, graph.float32(block.reshape(count * inputs, count * outputs)))
        return graph.op("Add", flat, graph.float32(bias.reshape(1, -1)))
    rows = graph.op("Unsqueeze", x, graph.int64(2))  # (N, K, 1, t) by (K, t, d)
    y = graph.op("Squeeze", graph.op("MatMul", rows, graph.float32(weight)), graph.int64(2))
    y = graph.op("Add", y, graph.float32(bias))
    return graph.op("Reshape", y, graph.int64(-1, count * outputs))


def _layer(graph: Graph, x: str, layer: nn.Module) -> str:
    if isinstance(layer, nn.Dropout):
        return x
    if isinstance(layer, nn.Linear):
        x = graph.op("MatMul", x, graph.float32(_array(layer.weight).T))
        return graph.op("Add", x, _c(graph, layer.bias))
    if isinstance(layer, EnsembleLinear):
        x = graph.op("MatMul", graph.op("Mul", x, _c(graph, layer.r)), graph.float32(_array(layer.weight).T))
        return graph.op("Add", graph.op("Mul", x, _c(graph, layer.s)), _c(graph, layer.bias))
    if isinstance(layer, MemberBatchNorm):
        return _batch_norm(graph, x, layer)
    if isinstance(layer, nn.LayerNorm):
        return graph.op(
            "LayerNormalization", x, _c(graph, layer.weight), _c(graph, layer.bias), axis=-1, epsilon=layer.eps
        )
    return _activation(graph, x, layer)


def _batch_norm(graph: Graph, x: str, layer: MemberBatchNorm) -> str:
    """Fixed statistics make it one scale and one shift."""
    variance = _array(layer.running_var).astype(np.float64)
    scale = _array(layer.weight).astype(np.float64) / np.sqrt(variance + layer.eps)
    shift = _array(layer.bias).astype(np.float64) - _array(layer.running_mean).astype(np.float64) * scale
    return graph.op("Add", graph.op("Mul", x, graph.float32(scale)), graph.float32(shift))


def _activation(graph: Graph, x: str, layer: nn.Module) -> str:
    match layer:
        case nn.ReLU():
            return graph.op("Relu", x)
        case nn.LeakyReLU():
            return graph.op("LeakyRelu", x, alpha=layer.negative_slope)
        case nn.ELU():
            return graph.op("Elu", x, alpha=layer.alpha)
        case nn.SELU():
            return graph.op("Selu", x)
        case nn.GELU():
            return graph.op("Gelu", x)
        case nn.SiLU():
            return graph.op("Mul", x, graph.op("Sigmoid", x))
        case nn.Mish():
            return graph.op("Mul", x, graph.op("Tanh", graph.op("Softplus", x)))
        case nn.Tanh():
            return graph.op("Tanh", x)
        case _:
            raise NotImplementedError(f"no ONNX form is written for {type(layer).__name__}")


def _head(graph: Graph, x: str, head: nn.Module) -> str:
    """Logits (N, C) or (N, k, C)."""
    if isinstance(head, nn.Linear):
        return _layer(graph, x, head)
    assert isinstance(head, MemberHeads)
    # One product for all members, (N, k, d) by (k · C) columns, and then each member's own diagonal,
    # would be k times the work; a broadcast product and a sum over d is exact and batch-independent.
    rows = graph.op("Unsqueeze", x, graph.int64(2))  # (N, k, 1, d) by (k, d, C)
    y = graph.op("Squeeze", graph.op("MatMul", rows, _c(graph, head.weight)), graph.int64(2))
    return graph.op("Add", y, _c(graph, head.bias))


def _c(graph: Graph, value: Any) -> str:
    return graph.float32(_array(value))
