"""A real HAProxy with the configuration of the compose file, before services of a test's own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.serving.running import ROOT

CONFIGURATION = ROOT / "ops" / "haproxy.cfg"
BIND = "bind :8000\n"
SERVERS = "server-template service 1-32 service:8000 resolvers network init-addr libc,none\n"


def configured(port: int, ports: list[int]) -> str:
    """The file as it is but for two lines: where it listens, and services by port in place of a name in DNS."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    assert text.count(BIND) == text.count(SERVERS) == 1
    servers = "    ".join(f"server service{i} 127.0.0.1:{each}\n" for i, each in enumerate(ports))
    return text.replace(BIND, f"bind 127.0.0.1:{port}\n").replace(SERVERS, servers)


@contextlib.contextmanager
def balancing(folder: Path, ports: list[int]) -> Iterator[int]:
    """One before services at these ports of this machine; its own port."""
    if shutil.which("haproxy") is None:
        pytest.fail("needs HAProxy: install it (Debian: apt install haproxy)")
    port, file = free_port(), folder / "haproxy.cfg"
    file.write_text(configured(port, ports), encoding="utf-8")
    with (folder / "haproxy.log").open("ab") as log:
        process = subprocess.Popen(["haproxy", "-db", "-f", file], stdout=log, stderr=log)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)
