"""The multilayer perceptron: a PyTorch network behind the scikit-learn estimator interface.

| module | what is in it |
|---|---|
| `adam` | Adam and AdamW by PyTorch's own fused kernel, called directly |
| `checkpoint` | A checkpoint in memory: the weights of the best epoch of a fit |
| `classifier` | `MLPClassifier`: a PyTorch network behind the scikit-learn estimator interface |
| `layers` | Layers that hold k members at once, and numerical embeddings |
| `network` | The network: numbers (scaled or embedded), missing indicators and one-hot levels into hidden layers |
| `onnx_export` | The network as ONNX ops after the preprocessing |
| `optimisation` | The optimisation of a network |
| `relu_gradient` | Forward and backward pass of a plain ReLU network, written out |
| `tensors` | The whole table in tensors, and which of its rows each member trains on |
| `training_loop` | The training loop: the whole table in tensors, indexed in batches, stopped on validation log-loss |
"""
