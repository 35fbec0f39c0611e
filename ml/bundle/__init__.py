"""The bundle: one registered version as files, its hashes, and its form as an MLflow model.

| module | what is in it |
|---|---|
| `cache` | The cache of bundles, a folder by hash: what comes in is whole, is what was registered, and is signed |
| `manifest` | The list of a bundle's files with their hashes: `bundle.json`, whose own hash names the bundle |
| `mlflow_flavor` | A bundle as an MLflow model: what goes into the model store, and how it gets there |
| `pyfunc` | The registered model for any MLflow user: raw columns in, label and probabilities out |
| `reader` | The bundle: one ONNX graph from raw columns to calibrated probabilities, with its side files |
| `signature` | Who made this bundle: a signature over all its files in the OpenSSF Model Signing format |
| `writer` | The bundle writer: the graph with its calibration, and all that travels with it |
"""
