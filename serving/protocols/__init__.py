"""Protocols of other servers, so that their clients work unchanged: MLflow's and the Open Inference Protocol's."""
