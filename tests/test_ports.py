from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests import ports


def test_a_port_is_none_of_the_kernels_and_none_is_given_twice() -> None:
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    found = ports.free_ports(100, 10_000)
    assert len(set(found)) == 100
    assert all(port >= ports.FIRST and port + 10_000 < low for port in found)
    assert not {port + 1 for port in found} & set(found), "Airflow's second port is the one after the first"


def test_a_taken_port_and_one_with_a_taken_neighbour_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        port = ports.free_port()
        taken.bind(("127.0.0.1", port))
        taken.listen()
        free = ports.free_port()
        monkeypatch.setattr(ports, "_numbers", lambda: iter([port, port - 1, free]))
        assert ports.free_port(1) == free


def test_processes_of_one_run_draw_different_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for name in ("gw0", "gw1", "gw7"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", name)
        drawn.append(set(ports._numbers.__wrapped__()))
    assert len(set.union(*drawn)) == sum(map(len, drawn))
