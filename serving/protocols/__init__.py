"""Protocols of other servers, so that their clients work unchanged: MLflow's and the Open Inference Protocol's.

| module | what is in it |
|---|---|
| `lenient_rows` | Rows from clients that were written for a looser server: what pandas would have taken is taken |
| `mlflow` | MLflow's scoring protocol, as `mlflow models serve` of MLflow 3 speaks it |
| `open_inference` | The Open Inference Protocol v2 over HTTP (KServe, Triton) |
| `tensors` | Tensors of the Open Inference Protocol: JSON and binary, to cells and back |
"""
