"""A start that was cut short, by real processes under the real supervisor: running the command again heals it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml.settings import Settings
from ops import stack, supervision
from ops.layout import Layout
from tests.ports import free_ports
from tests.serving.running import wait_for

ROOT = Path(__file__).resolve().parents[2]

# Answers as each of the real programs does, or with what is no HTTP.
PROGRAM = """
import http.server, json, pathlib, socketserver, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        well = {"status": "healthy"}
        self.wfile.write(json.dumps(dict.fromkeys(("scheduler", "dag_processor", "triggerer"), well)).encode())
class Noise(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"\\0\\1 220 mail.example ready" * 99)
noisy = pathlib.Path(sys.argv[0]).with_name("noisy").exists()
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Noise if noisy else Answer).serve_forever()
"""

# The command's own start, over these programs in place of those that take minutes.
COMMAND = """
import signal, sys, time
from pathlib import Path
from ml.settings import Settings
from ops import airflow_config, command, stack, supervision
from ops.layout import Layout
from ops.terminal import Terminal
home, service, mlflow, airflow = Path(sys.argv[1]), *map(int, sys.argv[2:])
layout = Layout(Settings(home=home, serving_port=service, mlflow_port=mlflow, airflow_port=airflow))
ports = {"service": service, "mlflow": mlflow, "airflow-api": airflow, "airflow-execution": airflow + 1}
programs = [
    supervision.Program(
        name, [sys.executable, str(home / "program.py"), str(port)], stop_s=2, at_once="air" not in name
    )
    for name, port in ports.items()
]
sleeper = supervision.Program("follower", ["/bin/sleep", "1000"], at_once=False)
supervision.AIRFLOW_PROGRAMS = ("airflow-api", "airflow-execution")
supervision.programs = lambda _: [*programs, sleeper]
airflow_config.write = lambda _: None
stack.START_LIMIT_S = 15
stack.NEEDED_MEMORY_GB = stack.NEEDED_DISK_GB = 0.0
stack.migrate = lambda *_: time.sleep(1000 if (home / "slow").exists() else 0)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup, where the tests run under it, ignores it
command.ensure_running(layout, Terminal())
"""


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    ports = dict(zip(("serving_port", "mlflow_port", "airflow_port"), free_ports(3, 1), strict=True))
    made = Layout(Settings(home=tmp_path, **ports))
    try:
        yield made
    finally:
        stack.stop(made)


def started(layout: Layout) -> subprocess.Popen[str]:
    ports = [str(layout.ports[name]) for name in ("service", "mlflow", "airflow")]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(layout.home), *ports],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(layout: Layout) -> tuple[int, str]:
    """(exit code, what it said) of the command."""
    process = started(layout)
    said, _ = process.communicate(timeout=120)
    return process.returncode, said


def all_run(layout: Layout) -> bool:
    found = supervision.states(layout)
    return len(found) == 5 and all(state.running for state in found)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_a_command_that_is_killed_in_the_middle_is_made_up_for_by_the_next(layout: Layout, number: int) -> None:
    """Half of the programs run then, and the other half nobody starts; a closed terminal does the same."""
    (layout.home / "slow").touch()
    first = started(layout)
    wait_for(lambda: stack.listens(layout.ports["service"]), 60, "the service, before Airflow is started")
    first.send_signal(number)
    first.communicate(timeout=120)
    (layout.home / "slow").unlink()
    code, said = run(layout)
    assert code == 0, said
    assert "the last start was cut short" in said
    assert all_run(layout)
    code, said = run(layout)
    assert (code, "Restarting" in said) == (0, False), said


def test_what_answers_with_no_http_leaves_nothing_behind_and_the_next_start_heals(layout: Layout) -> None:
    (layout.home / "noisy").touch()
    code, said = run(layout)
    assert code != 0
    assert "mlflow does not answer after 15 s" in said
    assert supervision.states(layout) == []
    assert not any(map(stack.listens, layout.ports.values()))
    (layout.home / "noisy").unlink()
    code, said = run(layout)
    assert code == 0, said
    assert all_run(layout)


def test_airflows_database_that_was_half_made_is_made_anew_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(Settings(home=tmp_path))
    for folder in (layout.airflow_home, layout.logs):
        folder.mkdir(parents=True)
    database = layout.airflow_home / "airflow.db"
    seen: list[str] = []

    def migrate(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        seen.append(database.read_text() if database.exists() else "")
        database.write_text("half")
        if len(seen) == 1:
            raise KeyboardInterrupt
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", migrate)
    with pytest.raises(KeyboardInterrupt):
        stack.migrate(layout)
    stack.migrate(layout)
    stack.migrate(layout)
    (layout.airflow_home / "migrated").write_text("2.0", encoding="ascii")
    stack.migrate(layout)
    assert seen == ["", "", "half"], "an older version's database keeps what is in it"


def test_a_port_that_the_kernel_gives_away_is_warned_of(tmp_path: Path) -> None:
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split())
    [sentence] = stack.warnings(Layout(Settings(home=tmp_path, serving_port=high, mlflow_port=low - 1)))
    assert sentence.startswith(f"Port {high} for service is one that the kernel gives to outgoing connections")
    assert f"REFIT_SERVING_PORT below {low} is safe" in sentence
