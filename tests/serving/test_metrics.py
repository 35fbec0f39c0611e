"""Numbers that are right whichever worker is asked."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ml.schema.schema import Column
from ml.schema.warnings import out_of_range
from serving.metrics import BUCKETS, Metrics
from serving.status.reader import CheckEntry, Status, write
from tests.serving import tiny
from tests.serving.running import serving, wait_for

Sample = tuple[str, tuple[tuple[str, str], ...]]


def samples(text: bytes) -> dict[Sample, float]:
    return {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(text.decode())
        for s in family.samples
    }


def test_counts_are_handed_on(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    for i in range(10):
        metrics.answered("/predict", 200 if i else 422, 0.0004)
    flag = out_of_range(Column(name="age", kind="number", minimum=0, maximum=90), 200)
    metrics.scored("3", 4, ((flag,), (), (flag, flag), ()))
    found = samples(metrics.render())
    assert found["refit_requests_total", (("route", "/predict"), ("status", "200"))] == 9
    assert found["refit_requests_total", (("route", "/predict"), ("status", "422"))] == 1
    assert found["refit_rows_total", (("model_version", "3"),)] == 4
    assert found["refit_flagged_inputs_total", (("code", "out_of_range"), ("column", "age"))] == 3
    assert found["refit_request_seconds_bucket", (("le", "0.00025"), ("route", "/predict"))] == 0
    assert found["refit_request_seconds_bucket", (("le", "0.0005"), ("route", "/predict"))] == 10


def test_times_are_counted_as_one_by_one(tmp_path: Path) -> None:
    """On the edges of buckets too."""
    times = [0.0, 0.0001, 0.00011, 0.5, 2.5, 2.500001, 10.0, 11.0, 0.5]
    metrics = Metrics(tmp_path)
    for seconds in times:
        metrics.answered("/predict", 200, seconds)
    registry = CollectorRegistry()
    plain = Histogram("refit_request_seconds", "Time to answer", ["route"], buckets=BUCKETS, registry=registry)
    for seconds in times:
        plain.labels("/predict").observe(seconds)
    found, expected = samples(metrics.render()), samples(generate_latest(registry))
    for key, value in expected.items():
        if not key[0].endswith("_created"):
            assert found[key] == pytest.approx(value), key


def test_latest_drift_verdict_is_told(tmp_path: Path) -> None:
    checks = tuple(CheckEntry(id=i, time=t, verdict=v) for i, t, v in (("b", 2.0, "drift"), ("a", 1.0, "stable")))
    write(tmp_path, Status(checks=checks))
    found = samples(Metrics(tmp_path).render())
    assert found["refit_drift_verdict", (("verdict", "drift"),)] == 1
    assert found["refit_drift_verdict", (("verdict", "stable"),)] == 0


def test_any_worker_tells_the_sum_of_all(tmp_path: Path) -> None:
    settings = tiny.settings_for(tmp_path)
    tiny.publish(settings, "1")
    with serving(tmp_path, SERVING__WORKERS="3") as server:
        wait_for(lambda: len(server.ready()["workers"]) == 3, what="three workers")
        for i in range(60):
            server.predict([tiny.row(f0=50.0)] * (1 + i % 2))
        key = ("refit_requests_total", (("route", "/predict"), ("status", "200")))

        def seen() -> list[dict[Sample, float]]:
            return [samples(server.get("/metrics")[2]) for _ in range(6)]

        wait_for(lambda: {found.get(key) for found in seen()} == {60.0}, what="60 from every worker")
        found = samples(server.get("/metrics")[2])
        assert found["refit_rows_total", (("model_version", "1"),)] == 90
        assert found["refit_flagged_inputs_total", (("code", "out_of_range"), ("column", "f0"))] == 90
        assert found["refit_workers", (("model_version", "1"),)] == 3
        assert found["refit_swaps_total", ()] == 3
        assert found["refit_log_lag_bytes", ()] > 0


def test_log_lines_are_json_with_request_and_trace(tmp_path: Path) -> None:
    tiny.publish(tiny.settings_for(tmp_path), "1")
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with serving(tmp_path, SERVING__ACCESS_LOG="all") as server:
        server.predict([tiny.row()], X_Request_ID="line-1", traceparent=f"00-{trace}-00f067aa0ba902b7-01")
        server.get("/model")
    lines = [msgspec.json.decode(line) for line in server.errors.read_bytes().splitlines()]
    assert all({"time", "level", "logger", "message", "pid"} <= line.keys() for line in lines)
    (line,) = [line for line in lines if line.get("request_id") == "line-1"]
    assert (line["trace_id"], line["path"], line["status"]) == (trace, "/predict", 200)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert any(line.get("path") == "/model" for line in lines)


@pytest.mark.parametrize("worker_class", ["", "gthread"])
def test_problems_are_counted_by_code_whoever_answers(tmp_path: Path, worker_class: str) -> None:
    """The fast path, Flask's routes, another protocol's, a page, and the worker before there is a request."""
    tiny.publish(tiny.settings_for(tmp_path), "1")
    json_, text = {"Content-Type": "application/json"}, {"Content-Type": "text/plain"}
    with serving(tmp_path, SERVING__WORKER_CLASS=worker_class) if worker_class else serving(tmp_path) as server:
        asked = [
            server.request("POST", "/predict", b'{"rows": [{}]}', json_),
            server.request("POST", "/predict?a", b'{"rows": [{}]}', json_),
            server.request("POST", "/predict", b"{}", text),
            server.request("POST", "/v2/models/none/infer", b"{}", json_),
            server.request("GET", "/nowhere"),
            server.request("DELETE", "/predict"),
            server.request("POST", "/", b"c0=x", {"Content-Type": "application/x-www-form-urlencoded"}),
        ]
        assert all(status >= 400 for status, *_ in asked), [status for status, *_ in asked]

        def counted() -> dict[str, float]:
            found = samples(server.get("/metrics")[2])
            return {dict(key[1])["code"]: n for key, n in found.items() if key[0] == "refit_problems_total"}

        wait_for(lambda: sum(counted().values()) == len(asked), what=f"every problem: {counted()}")
        assert counted()["rows.do_not_fit"] == 3
        assert counted()["requests.content_type_json"] == 1
        assert counted()["http.not_found"] == 1
