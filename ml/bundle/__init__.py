"""The bundle: one registered version as files, its hashes, and its form as an MLflow model."""
