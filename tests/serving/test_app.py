"""The application as a whole: answers, health, keys, limits, headers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from serving.api import guard, predict
from tests.serving import tiny
from tests.serving.conftest import Make
from tests.serving.running import ROOT, wait_for

ROWS = {"rows": [tiny.row()]}


def test_service_lives_without_a_model_and_answers_as_soon_as_there_is_one(make: Make, tmp_path: Path) -> None:
    client = make(empty=True)
    assert client.get("/health/live").status_code == 200
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json["model_version"]) == (503, None)
    refused = client.post("/predict", json=ROWS)
    assert (refused.status_code, refused.mimetype) == (503, "application/problem+json")
    assert "promoted" in refused.json["detail"]
    tiny.publish(tiny.settings_for(tmp_path), "1")
    wait_for(lambda: client.get("/health/ready").status_code == 200, what="readiness")
    assert client.post("/predict", json=ROWS).status_code == 200


def test_answer_carries_its_version_in_body_and_header(make: Make) -> None:
    answer = make().post("/predict", json=ROWS)
    assert answer.json["model_version"] == answer.headers[predict.VERSION_HEADER] == "1"


def test_row_alone_and_in_a_batch_gives_identical_numbers(make: Make) -> None:
    client = make()
    rows = [tiny.row(f0=i / 7, f1=-i / 3) for i in range(200)]
    together = client.post("/predict", json={"rows": rows}).json["predictions"]
    for row, expected in zip(rows, together, strict=True):
        alone = client.post("/predict", json={"rows": [row]}).json["predictions"][0]
        assert alone["probabilities"] == expected["probabilities"]


def test_model_gives_a_row_that_predict_takes(make: Make) -> None:
    client = make()
    model = client.get("/model").json
    assert {"model_version", "schema", "metrics", "example"} <= model.keys()
    assert client.post("/predict", json={"rows": [model["example"]]}).status_code == 200


def test_ready_reports_every_worker(make: Make) -> None:
    found = make().get("/health/ready").json
    assert [worker["model_version"] for worker in found["workers"]] == ["1"]
    assert found["refused"] is None


def test_refused_version_is_told_by_ready(make: Make, tmp_path: Path) -> None:
    client = make()
    client.get("/health/live")
    pointer = tiny.publish(tiny.settings_for(tmp_path), "2", bias=1.0)
    folder = tmp_path / "var" / "serving"
    wait_for(lambda: client.get("/health/ready").json["model_version"] == "2", what="version 2")
    (folder / pointer.path / "model.onnx").write_bytes(b"")
    tiny.write_pointer(folder, type(pointer)("3", pointer.path, pointer.sha256))
    refused = wait_for(lambda: client.get("/health/ready").json["refused"], what="a refusal")
    assert refused["version"] == "3"
    assert client.post("/predict", json=ROWS).json["model_version"] == "2"


def test_request_id_and_trace_are_passed_on(make: Make) -> None:
    client = make()
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"X-Request-ID": "abc-1", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    answer = client.post("/predict", json=ROWS, headers=headers)
    assert answer.headers["X-Request-ID"] == "abc-1"
    assert answer.headers["traceparent"].startswith(f"00-{trace}-")
    assert answer.headers["traceparent"] != headers["traceparent"]


@pytest.mark.parametrize("given", ["", "a b", "x" * 200, "<script>"])
def test_strange_request_id_is_replaced(make: Make, given: str) -> None:
    answer = make().get("/health/live", headers={"X-Request-ID": given, "traceparent": "00-0-0-0"})
    assert guard.REQUEST_ID.fullmatch(answer.headers["X-Request-ID"])
    assert answer.headers["X-Request-ID"] != given
    assert "traceparent" not in answer.headers


def test_security_headers_are_on_every_answer_and_cors_is_off(make: Make) -> None:
    client = make()
    for path in ("/health/live", "/no/such/path", "/model"):
        answer = client.get(path, headers={"Origin": "https://elsewhere.example"})
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]


def test_unknown_path_and_method_are_problems(make: Make) -> None:
    client = make()
    for answer, code in ((client.get("/nowhere"), 404), (client.get("/predict"), 405)):
        assert (answer.status_code, answer.mimetype) == (code, "application/problem+json")


def test_body_beyond_the_limit_is_413(make: Make) -> None:
    client = make(serving={"max_body_bytes": 1000})
    assert client.post("/predict", json={"rows": [tiny.row()] * 100}).status_code == 413


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.evil.example:8000", "[::2]"])
def test_name_that_another_site_resolves_to_loopback_is_refused(make: Make, host: str) -> None:
    assert make().get("/model", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "service.example"])
def test_local_and_configured_names_are_answered(make: Make, host: str) -> None:
    client = make(serving={"allowed_hosts": ["service.example"]})
    assert client.get("/model", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/metrics", "10.1.2.3:8000", 200),
        ("/metrics", "[fd00::3]:8000", 200),
        ("/metrics", "10.1.2.3.evil.example:8000", 400),
        ("/metrics", "167838211:8000", 400),  # a browser sends such an address written out
        ("/metrics", "evil.example", 400),
        ("/metrics", "", 400),
        ("/model", "10.1.2.3:8000", 400),
        ("/nowhere", "10.1.2.3:8000", 400),
    ],
)
def test_metrics_alone_are_told_to_whoever_asks_by_address(make: Make, path: str, host: str, status: int) -> None:
    """As Prometheus does that found the machine by DNS; a page can rebind a name, and no address."""
    client = make(serving={"host": "0.0.0.0", "require_keys": "never", "allowed_hosts": ["service"]})
    assert client.get(path, headers={"Host": host}).status_code == status


def test_who_asks_for_metrics_by_address_needs_a_key_where_keys_are_asked_for(make: Make) -> None:
    client = make(serving={"require_keys": "always"})
    assert client.get("/metrics", headers={"Host": "10.1.2.3:8000"}).status_code == 401


def test_form_of_another_site_is_refused(make: Make) -> None:
    client = make()
    assert client.post("/predict", json=ROWS, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post("/predict", json=ROWS, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        ("http://localhost:8000", "localhost:8000", 200),
        ("http://localhost", "localhost:80", 200),
        ("https://score.example", "localhost:8000", 200),  # a proxy's name, in allowed_hosts
        ("http://localhost:9999", "localhost:8000", 403),  # any other program's page on this machine
        ("http://127.0.0.1:8000", "localhost:8000", 403),
        ("https://evil.example", "localhost:8000", 403),
        ("null", "localhost:8000", 403),
        ("", "localhost:8000", 403),
    ],
)
def test_page_of_another_origin_may_not_send_also_without_fetch_metadata(
    make: Make, origin: str, host: str, status: int
) -> None:
    client = make(serving={"allowed_hosts": ["score.example"]})
    headers = {"Origin": origin, "Host": host}
    assert client.post("/predict", json=ROWS, headers=headers).status_code == status
    assert client.get("/model", headers=headers).status_code == 200


def test_page_of_another_port_is_foreign(make: Make) -> None:
    assert make().post("/predict", json=ROWS, headers={"Sec-Fetch-Site": "same-site"}).status_code == 403


def test_modules_of_a_worker_import_nothing_heavy() -> None:
    script = (
        "import sys; sys.path.insert(0, '.'); from serving.app import create_app; import ml.settings as s;"
        "create_app(s.from_values({})); import onnxruntime, serving.http.worker;"
        "heavy = ('torch', 'sklearn', 'pandas', 'mlflow', 'evidently', 'sqlalchemy', 'hyperopt');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ast.literal_eval(done.stdout) == [], done.stderr
