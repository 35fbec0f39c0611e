"""Three services behind a real balancer with one PostgreSQL: what callers and promotions see of them together.

The figures of many more swaps are bench/services.py's.
"""

from __future__ import annotations

import http.client
import json
import shutil
import time
from collections.abc import Iterator

import pytest

from bench import services as bench
from bench.services import Fleet, Timed
from bench.swap import _probability
from ml import predictions
from ml.errors import PromotionError
from ml.fleet import confirmation
from ml.messages import code_of
from ml.registry import rollout
from ml.storage import database
from tests import postgresql
from tests.serving import tiny
from tests.serving.running import wait_for

VERSIONS = ["1", "2", "3", "4", "5"]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three that serve version 1; starting them takes longest, so that the tests share them."""
    with postgresql.running() as server:
        values = {"SERVING__WORKERS": "1", "SERVING__HEARTBEAT_S": "0.5"}
        try:
            with bench.fleet(tmp_path_factory.mktemp("fleet"), 3, VERSIONS, server.url, **values) as made:
                yield made
        finally:
            database._engine(server.url).dispose()


def test_each_knows_the_others(fleet: Fleet) -> None:
    assert fleet.live() == [("1",)] * 3
    for machine in fleet.machines:
        wait_for(lambda m=machine: m.server.ready()["services"] == 3)


def test_a_label_joins_its_prediction_wherever_it_is_sent(fleet: Fleet) -> None:
    one, two, three = (machine.server for machine in fleet.machines)
    ids = [json.loads(server.predict([tiny.row()])[2])["predictions"][0]["prediction_id"] for server in (one, two)]
    for server, key, label in ((three, ids[0], "1"), (one, ids[1], "0"), (two, ids[1], "1")):
        body = json.dumps([{"prediction_id": key, "label": label}]).encode()
        assert server.request("POST", "/feedback", body, {"Content-Type": "application/json"})[0] == 200
    engine = database.engine(fleet.settings)

    def joined() -> dict[str, str]:
        frame = predictions.window(engine, labelled_only=True)
        return dict(zip(frame["prediction_id"], frame["actual"], strict=True))

    wait_for(lambda: joined() == {ids[0]: "1", ids[1]: "1"}, bench.START_S)


def test_one_that_cannot_load_a_version_is_named_and_out_until_it_can(fleet: Fleet) -> None:
    bad = fleet.machines[1].server
    cache = bad.home / "var" / "serving" / "cache"
    shutil.move(cache, cache.with_name("aside"))
    cache.write_text("a file where a folder must be")
    try:
        found = fleet.promote("2")
        [without] = found.without
        assert str(bad.port) in str(without)
        assert len(found.services) == 2
        ready = wait_for(lambda: (now := bad.get("/health/ready"))[0] == 503 and now, bench.START_S)
        told = json.loads(ready[2])
        assert told["codes"] == ["connections.out_refused"]
        assert "Not a directory" in told["problems"][0] or "File exists" in told["problems"][0]
        assert json.loads(bad.predict([tiny.row()])[2])["model_version"] == "1", "what reaches it is answered"

        wait_for(lambda: versions_through(fleet) == {"2"}, bench.START_S, "the balancer has dropped it")
    finally:
        cache.unlink()
        shutil.move(cache.with_name("aside"), cache)
    rollout.notify(tiny.settings_for(bad.home))  # else it is tried again after half a minute
    wait_for(lambda: bad.get("/health/ready")[0] == 200, bench.START_S, "it is in again")
    assert json.loads(bad.predict([tiny.row()])[2])["model_version"] == "2"


def versions_through(fleet: Fleet) -> set[str]:
    """The versions of some answers through the balancer, each over a connection of its own."""
    found, body = set(), json.dumps({"rows": [tiny.row()]}).encode()
    for _ in range(6):
        connection = http.client.HTTPConnection("127.0.0.1", fleet.port, timeout=20)
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        found.add(json.loads(connection.getresponse().read())["model_version"])
        connection.close()
    return found


def test_a_version_that_none_can_load_is_not_promoted_and_all_stay_in(fleet: Fleet) -> None:
    bundle = fleet.registry.bundle("3")
    model = (bundle / "model.onnx").read_bytes()
    (bundle / "model.onnx").write_bytes(model[:-10] + b"0123456789")
    try:
        with pytest.raises(PromotionError) as caught:
            fleet.promote("3")
    finally:
        (bundle / "model.onnx").write_bytes(model)
    assert code_of(caught.value.explanation) == "release.fleet_not_confirmed"
    wait_for(lambda: fleet.live() == [("2",)] * 3)
    assert [machine.server.get("/health/ready")[0] for machine in fleet.machines] == [200] * 3


def test_no_swap_under_load_fails_or_mixes_an_answer_though_one_is_killed(fleet: Fleet) -> None:
    """The last one of this file: it ends the services."""
    time.sleep(2 * confirmation.SLACK_S)  # a refusal of just now would count as one of this try
    fleet.promote("3")
    expected = {version: _probability(fleet.registry.bundle(version)) for version in VERSIONS}
    found = bench._swap(fleet, VERSIONS[2:], Timed(expected, latest=3), connections=4)
    assert (found["swaps"], found["failures"], found["mixed"]) == (2, {}, 0)
    assert found["answered"] > 50
    assert found["of a version that was not promoted"] == found["of an older version than was confirmed"] == 0
    assert found["answered and not in the database"] == found["twice in the database"] == 0
