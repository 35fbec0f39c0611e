"""The pipeline: its stages, the workspace of a run, and its progress."""
