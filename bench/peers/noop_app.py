"""The stock ceiling: Flask on gthread, a route that decodes JSON and answers a constant."""

import json

from flask import Flask, Response, request

app = Flask(__name__)
ANSWER = json.dumps({"model_version": "1", "predictions": [{"label": "1", "probability": 0.5}]}).encode()


@app.post("/predict")
def predict() -> Response:
    """No model, no log, no validation."""
    request.get_json()
    return Response(ANSWER, mimetype="application/json")
