"""FastAPI with pydantic and torch: validated rows in, label and probabilities out; no log."""

from __future__ import annotations

import torch
from fastapi import FastAPI
from pydantic import BaseModel, create_model

from bench.peers.model import NAMES, build

model = build()
Row = create_model("Row", **dict.fromkeys(NAMES, (float | None, ...)))  # type: ignore[call-overload]


class Request(BaseModel):
    """What /predict takes."""

    rows: list[Row]  # type: ignore[valid-type]


app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> dict[str, object]:
    """Score rows."""
    x = torch.tensor([[getattr(row, name) for name in NAMES] for row in request.rows], dtype=torch.float32)
    with torch.inference_mode():
        found = model(x).tolist()
    return {
        "model_version": "1",
        "predictions": [
            {"label": str(int(p[1] >= 0.5)), "probability": max(p), "probabilities": {"0": p[0], "1": p[1]}}
            for p in found
        ],
    }
