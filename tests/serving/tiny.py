"""A small sealed bundle, written with onnx.helper, and a serving folder that points at it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from ml.bundle import reader as bundles
from ml.decision import Decision
from ml.schema.schema import Column, Schema
from ml.settings import Settings, from_values
from serving.model.store import Pointer, write_pointer

N_FEATURES = 4


def schema(n_features: int = N_FEATURES) -> Schema:
    """Number columns f0… between -3 and 3, classes "0" and "1"."""
    columns = tuple(
        Column(name=f"f{i}", kind="number", minimum=-3.0, maximum=3.0, example=round(0.1 * i, 2))
        for i in range(n_features)
    )
    return Schema(target="target", classes=("0", "1"), positive_label="1", columns=columns)


def graph(weights: np.ndarray, bias: float) -> onnx.ModelProto:
    """Softmax of a linear score; NaN counts as 0."""
    k = len(weights)
    full = np.stack([-weights, weights], axis=1).astype(np.float32)
    nodes = [
        helper.make_node("IsNaN", ["numbers"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "numbers"], ["filled"]),
        helper.make_node("Gemm", ["filled", "w", "b"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    made = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["N", k])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2])],
        [
            numpy_helper.from_array(full, "w"),
            numpy_helper.from_array(np.array([-bias, bias], np.float32), "b"),
            numpy_helper.from_array(np.array(0, np.float32), "zero"),
        ],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_bundle(folder: Path, *, bias: float = 0.0, n_features: int = N_FEATURES, seed: int = 0) -> str:
    """Write and seal a bundle; returns its SHA-256. Another `bias` gives another bundle with other answers."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=n_features)
    model = graph(weights, bias)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "schema.json").write_bytes(schema(n_features).to_json())
    (folder / "decision.json").write_bytes(Decision(threshold=0.5).to_json())
    rows = rng.normal(size=(8, n_features)).astype(np.float32)
    (folder / "metrics.json").write_bytes(b'{"accuracy": {"value": 0.9}}')
    session = ort.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    probabilities = session.run(["probabilities"], {"numbers": rows})[0].tolist()
    examples = {"numbers": rows.tolist(), "categories": [[] for _ in rows], "probabilities": probabilities}
    (folder / "examples.json").write_bytes(msgspec.json.encode(examples))
    return bundles.seal(folder)


def publish(settings: Settings, version: str, *, bias: float = 0.0, n_features: int = N_FEATURES) -> Pointer:
    """Write a bundle into the cache and point the service at it, as the follower does."""
    folder = settings.var / "serving"
    name = hashlib.sha256(f"{version} {bias} {n_features}".encode()).hexdigest()[:16]
    path = folder / "cache" / name
    if path.exists():
        sha256 = hashlib.sha256((path / "bundle.json").read_bytes()).hexdigest()
    else:
        sha256 = write_bundle(path, bias=bias, n_features=n_features)
    pointer = Pointer(version, f"cache/{name}", sha256)
    write_pointer(folder, pointer)
    return pointer


def settings_for(home: Path, **values: object) -> Settings:
    """Settings with that home."""
    return from_values({"home": str(home), **values})


def row(**values: float) -> dict[str, float]:
    """A row that fits `schema()`."""
    return {f"f{i}": round(0.1 * i, 2) for i in range(N_FEATURES)} | values
