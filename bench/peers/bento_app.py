"""BentoML: the model on arrays."""

from __future__ import annotations

import bentoml
import torch

from bench.peers.model import build


@bentoml.service(workers=2)
class Classifier:
    """Probabilities of rows."""

    def __init__(self) -> None:
        self.model = build()

    @bentoml.api
    def predict(self, rows: list[list[float]]) -> list[list[float]]:
        """(n, 20) → (n, 2)."""
        with torch.inference_mode():
            return self.model(torch.tensor(rows, dtype=torch.float32)).tolist()
