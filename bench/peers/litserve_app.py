"""LitServe: the model on arrays. Argument: the port."""

from __future__ import annotations

import sys

import litserve as ls
import torch

from bench.peers.model import build


class Api(ls.LitAPI):
    """Probabilities of rows."""

    def setup(self, device: str) -> None:
        self.model = build()

    def decode_request(self, request: dict[str, list[list[float]]]) -> torch.Tensor:
        return torch.tensor(request["rows"], dtype=torch.float32)

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return self.model(x)

    def encode_response(self, output: torch.Tensor) -> dict[str, list[list[float]]]:
        return {"probabilities": output.tolist()}


if __name__ == "__main__":
    ls.LitServer(Api(), accelerator="cpu", workers_per_device=2).run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False
    )
