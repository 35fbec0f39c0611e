"""A program that keeps dying, as all do on a full disk, under the real supervisor and its listener."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path

import pytest

from ml.settings import Settings
from ops import stack, supervision
from ops.layout import Layout, write_private
from tests.serving.running import wait_for
from tests.small_disk import SmallDisk, mounted

# Says much, and ends where it cannot make a file.
PROGRAM = """
import sys, time
while True:
    print("x" * 4000, flush=True)
    with open(sys.argv[1], "wb") as file:
        file.write(b"x" * 8192)
    time.sleep(0.05)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "disk", 8) as made:
        yield made


@pytest.fixture
def supervised(disk: SmallDisk) -> Iterator[Layout]:
    """The supervisor as configured, over two small programs: one that writes files, one that never starts."""
    layout = Layout(Settings(home=disk.path / "home"))
    layout.logs.mkdir(parents=True)
    parser = RawConfigParser()
    parser.read_file(io.StringIO(supervision.supervisor_config(layout)))
    model = dict(parser["program:log-shipper"]) | {"startretries": "1", "startsecs": "1"}
    for section in parser.sections():
        if section.startswith("program:"):
            parser.remove_section(section)
    (layout.home / "program.py").write_text(PROGRAM, encoding="utf-8")
    writes = f"{sys.executable} {layout.home / 'program.py'} {layout.home / 'file'}"
    parser["program:writer"] = model | {"command": writes}
    parser["program:broken"] = model | {"command": f"{sys.executable} -c 1/0"}
    text = io.StringIO()
    parser.write(text)
    write_private(layout.supervisor_config, text.getvalue())
    command = [str(layout.bin / "supervisord"), "-c", str(layout.supervisor_config)]
    subprocess.run(command, env=stack.environment(layout), check=True)
    try:
        yield layout
    finally:
        disk.make_room()
        stack.stop(layout)


def test_a_full_disk_ends_no_program_for_good(supervised: Layout, disk: SmallDisk) -> None:
    """Nor the supervisor, whose logs are on that disk; a program that never ran stays given up, for a person to see."""

    def state(name: str) -> str:
        return next(found.state for found in supervision.states(supervised) if found.name == name)

    wait_for(lambda: supervision.states(supervised) and state("writer") == "RUNNING", 30, "it runs")
    wait_for(lambda: state("broken") == "FATAL", 30, "the broken one is given up")
    disk.fill()
    log = supervised.logs / "supervisord.log"
    wait_for(lambda: state("writer") == "BACKOFF", 30, "it cannot run on a full disk")
    for _ in range(3):  # given up by the supervisor after two tries, and started again each time
        wait_for(lambda: state("writer") == "STARTING", 30, "it is tried again")
        wait_for(lambda: state("writer") == "BACKOFF", 30, "it fails again")
    disk.make_room()
    wait_for(lambda: state("writer") == "RUNNING", 30, "it runs again by itself")
    assert state("broken") == "FATAL"
    assert log.is_file()
