"""The end of model.onnx: calibration of the probabilities, as a few nodes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ml.decision import FLOAT32_FLOOR, Calibration
from ml.models.onnx.graph import PROBABILITIES

_RAW = "uncalibrated_probabilities"


def append_calibration(model: onnx.ModelProto, calibration: Calibration) -> onnx.ModelProto:
    """`model` with softmax(scale · log(max(p, 1e-7)) + bias) after its `probabilities`; the input is not changed.

    Parameters
    ----------
    model
        Output `probabilities`: (n_rows, n_classes) float32.
    calibration
        Kind "none" returns an equal copy.
    """
    calibrated = onnx.ModelProto()
    calibrated.CopyFrom(model)
    if calibration.kind == "none":
        return calibrated
    graph = calibrated.graph
    for node in graph.node:
        node.output[:] = [_RAW if name == PROBABILITIES else name for name in node.output]
        node.input[:] = [_RAW if name == PROBABILITIES else name for name in node.input]
    for name, value in (("floor", FLOAT32_FLOOR), ("scale", [calibration.scale]), ("bias", [calibration.bias])):
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), f"calibration_{name}"))
    graph.node.extend(
        [
            helper.make_node("Max", [_RAW, "calibration_floor"], ["calibration_floored"]),
            helper.make_node("Log", ["calibration_floored"], ["calibration_logs"]),
            helper.make_node("Mul", ["calibration_logs", "calibration_scale"], ["calibration_scaled"]),
            helper.make_node("Add", ["calibration_scaled", "calibration_bias"], ["calibration_logits"]),
            helper.make_node("Softmax", ["calibration_logits"], [PROBABILITIES], axis=1),
        ]
    )
    onnx.checker.check_model(calibrated)
    return calibrated
