"""The balancer of the compose file: who gets a request, and which is sent again."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests import fake_http, haproxy
from tests.serving.running import ROOT, wait_for


class Service(fake_http.Handler):
    """Ready or not; closes the connection without an answer where it is told to."""

    is_ready = True
    silent = False
    taken: list[str]

    def do_GET(self) -> None:
        ready = self.path == "/health/ready"
        if not ready:
            self.taken.append(self.path)
        self.answer(200 if self.is_ready or not ready else 503, {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.taken.append(self.path)
        if self.silent:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        else:
            self.answer(200, {})


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[type[Service], type[Service], int]]:
    """Two services, and the port of a balancer before them."""
    made = [type(name, (Service,), {"taken": []}) for name in ("First", "Second")]
    with contextlib.ExitStack() as stack:
        ports = [stack.enter_context(fake_http.serving(one)) for one in made]
        port = stack.enter_context(haproxy.balancing(tmp_path, ports))
        wait_for(lambda: ask(port, "GET", "/") == 200, what="the balancer answers")
        for one in made:
            one.taken.clear()
        yield made[0], made[1], port


def ask(port: int, method: str, path: str) -> int:
    """The status, over a connection of its own; 0 where nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, b"{}" if method == "POST" else None)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


Two = tuple[type[Service], type[Service], int]


def both_answer(two: Two) -> bool:
    ask(two[2], "GET", "/")
    return bool(two[0].taken and two[1].taken)


def test_one_that_is_not_ready_gets_nothing_until_it_is(two: Two) -> None:
    first, second, port = two
    wait_for(lambda: both_answer(two))
    first.is_ready = False

    def left_out() -> bool:
        first.taken.clear()
        return {ask(port, "GET", "/model") for _ in range(4)} == {200} and not first.taken

    wait_for(left_out)
    first.is_ready = True
    wait_for(lambda: ask(port, "GET", "/model") == 200 and first.taken)
    assert second.taken


@pytest.mark.parametrize("path", ["/predict", "/explain", "/feedback", "/invocations", "/v2/models/m/infer"])
def test_what_may_be_repeated_goes_to_the_other_where_one_dies(two: Two, path: str) -> None:
    first, second, port = two
    wait_for(lambda: both_answer(two))
    first.silent = True
    # Head and body come one after the other here, as many clients send them.
    assert {ask(port, "POST", path) for _ in range(20)} == {200}
    assert path in first.taken
    assert second.taken.count(path) == 20


@pytest.mark.parametrize("path", ["/predict/file", "/labels", "/"])
def test_what_may_not_is_told_to_its_caller(two: Two, path: str) -> None:
    first, second, port = two
    wait_for(lambda: both_answer(two))
    for one in (first, second):
        one.silent = True
        one.taken.clear()
    assert ask(port, "POST", path) == 502
    assert [*first.taken, *second.taken] == [path], "sent once"


def test_the_compose_file_runs_this_file_and_publishes_the_balancer_alone() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))["services"]
    assert services["balancer"]["volumes"] == ["./ops/haproxy.cfg:/usr/local/etc/haproxy/haproxy.cfg:ro"]
    assert "ports" not in services["service"], "two could not have one port"
    assert services["service"]["volumes"][0] == "/state", "a disk of its own for each"
    assert not [one for one in services["service"]["volumes"][1:] if not one.endswith(":ro")]
    assert services["service"]["command"] == ["supervisord", "-c", "ops/service.conf"]
