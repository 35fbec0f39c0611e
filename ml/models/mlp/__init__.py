"""The multilayer perceptron: a PyTorch network behind the scikit-learn estimator interface."""
