"""ONNX graphs, written op by op."""
