"""KServe's own HTTP client (`InferenceRESTClient`, protocol v2), unchanged, against a running service."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.serving.environments import python_with
from tests.serving.mixed import publish
from tests.serving.running import ROOT, serving

# Without their dependencies: KServe pins an older pandas, so it cannot live beside ours; what it needs besides these
# is taken from the environment of the tests.
PACKAGES = (
    "kserve==0.21.0", "cloudevents==1.13.0", "durationpy==0.11", "grpc-interceptor==0.15.4", "kubernetes==37.0.2",
    "oauthlib==4.0.1", "orjson==3.13.0", "requests-oauthlib==2.0.0", "timing-asgi==0.3.2", "websocket-client==1.9.2",
)  # fmt: skip


@pytest.fixture(scope="session")
def kserve_python() -> Path:
    """The Python of an environment with KServe: 137 MB, under a minute the first time."""
    return python_with(*PACKAGES)


@pytest.mark.stack
def test_kserves_own_client_works_unchanged(tmp_path: Path, kserve_python: Path) -> None:
    """JSON and binary tensors, health, readiness, and an error that says what is missing."""
    publish(tmp_path)
    model = "One_Customer_Classifier"
    columns = [
        {"name": "n0", "datatype": "FP64", "data": [1.5, 0.0]},
        {"name": "n1", "datatype": "FP32", "data": [2, -1]},
        {"name": "c0", "datatype": "BYTES", "data": ["red", "né"]},
    ]
    with serving(tmp_path, SERVING__WORKERS="1") as server:
        command = [kserve_python, "-W", "ignore", ROOT / "tests" / "serving" / "protocols" / "kserve_client.py"]
        arguments = [f"http://127.0.0.1:{server.port}", model, json.dumps(columns)]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, check=False)
        rows = [{"n0": 1.5, "n1": 2, "c0": "red"}, {"n0": 0.0, "n1": -1, "c0": "né"}]
        expected = json.loads(server.predict(rows)[2])["predictions"]
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["live"], told["ready"], told["model_ready"]) == (True, True, True)
    for answer in told["answers"]:
        assert (answer["id"], answer["model"]) == ("q7", model)
        assert answer["outputs"]["label"] == [one["label"] for one in expected]
        assert answer["outputs"]["probabilities"] == [[*one["probabilities"].values()] for one in expected]
    assert "c0" in told["error"]
