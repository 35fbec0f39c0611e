"""The one model that every server in the comparison answers with: an MLP of 2 × 128 on 20 number columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

FEATURES = 20
NAMES = [f"f{i}" for i in range(FEATURES)]


class MLP(torch.nn.Module):
    """20 → 128 → 128 → 2, softmax at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(FEATURES, 128),
            torch.nn.ReLU(),
            torch.nn.Linear(128, 128),
            torch.nn.ReLU(),
            torch.nn.Linear(128, 2),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 20) float32 → (n, 2) probabilities."""
        return torch.softmax(self.layers(x), dim=1)


def build() -> MLP:
    """The same weights at every call."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return MLP().eval()


def rows(n: int) -> np.ndarray:
    """(n, 20) float32."""
    return np.random.default_rng(1).normal(size=(n, FEATURES)).astype(np.float32)


def write_bundle(folder: Path) -> str:
    """The model as a sealed bundle of this project; returns its hash."""
    import msgspec
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from ml.bundle import reader
    from ml.decision import Decision
    from ml.schema.schema import Column, Schema

    model, x = build(), rows(16)
    folder.mkdir(parents=True)
    nodes, tensors, last = [], [], "numbers"
    for i, layer in enumerate(model.layers):
        if isinstance(layer, torch.nn.ReLU):
            nodes.append(helper.make_node("Relu", [last], [f"h{i}"]))
        else:
            tensors.append(numpy_helper.from_array(layer.weight.detach().numpy(), f"w{i}"))
            tensors.append(numpy_helper.from_array(layer.bias.detach().numpy(), f"b{i}"))
            nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [f"h{i}"], transB=1))
        last = f"h{i}"
    nodes.append(helper.make_node("Softmax", [last], ["probabilities"], axis=1))
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["N", FEATURES])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2])],
        tensors,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    columns = tuple(Column(name=n, kind="number", minimum=-6.0, maximum=6.0, example=0.5) for n in NAMES)
    schema = Schema(target="target", classes=("0", "1"), positive_label="1", columns=columns)
    (folder / "schema.json").write_bytes(schema.to_json())
    (folder / "decision.json").write_bytes(Decision(threshold=0.5).to_json())
    with torch.no_grad():
        expected = model(torch.from_numpy(x)).tolist()
    examples = {"numbers": x.tolist(), "categories": [[] for _ in x], "probabilities": expected}
    (folder / "examples.json").write_bytes(msgspec.json.encode(examples))
    return reader.seal(folder)


def write_mlflow(columns: Path, tensor: Path) -> None:
    """The model as MLflow models: with a column signature, and in its best mode, a tensor signature as pt2."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    pinned = [f"torch=={torch.__version__.split('+')[0]}", f"mlflow=={mlflow.__version__}"]
    output = Schema([TensorSpec(np.dtype("float32"), (-1, 2))])
    by_column = ModelSignature(inputs=Schema([ColSpec("double", n) for n in NAMES]), outputs=output)
    mlflow.pytorch.save_model(
        build(), columns, signature=by_column, pip_requirements=pinned, serialization_format="pickle"
    )  # fmt: skip
    by_tensor = ModelSignature(inputs=Schema([TensorSpec(np.dtype("float32"), (-1, FEATURES))]), outputs=output)
    mlflow.pytorch.save_model(
        build(), tensor, signature=by_tensor, pip_requirements=pinned, input_example=rows(4)
    )  # fmt: skip
