"""ONNX graphs, written op by op.

| module | what is in it |
|---|---|
| `calibration` | The end of model.onnx: calibration of the probabilities, as a few nodes |
| `graph` | A small builder for ONNX graphs: every family writes its own graph, op by op, with nothing converted |
| `mixing` | The model over mixtures of rows: for each, which columns come from the first row and which from another |
"""
