"""What is told before anything is started, and set-ups that were left half done."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from configparser import RawConfigParser
from pathlib import Path

import psutil
import pytest

from demo import own_stack
from ml.settings import Settings, load
from ops import command, environment, stack, supervision
from ops.layout import Layout, admin_password, ensure_secrets, write_private
from tests.ports import free_port
from tests.serving.running import wait_for

ROOT = Path(__file__).resolve().parent.parent.parent


def _layout(home: Path, **ports: int) -> Layout:
    return Layout(Settings(home=home, **{f"{name}_port": port for name, port in ports.items()}))


def test_a_taken_port_is_told_with_its_holder_and_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        [sentence] = stack.troubles(_layout(tmp_path, serving=port, airflow=18490, mlflow=18494))
    assert f"Port {port} for service is taken by process {os.getpid()}" in sentence
    assert "REFIT_SERVING_PORT" in sentence


def test_two_programs_on_one_port_are_told(tmp_path: Path) -> None:
    [sentence] = stack.troubles(_layout(tmp_path, serving=18490, airflow=18489, mlflow=18494))
    assert sentence.startswith("Port 18490 is wanted by service and by airflow-execution")


@pytest.mark.parametrize("amount", ["NEEDED_MEMORY_GB", "NEEDED_DISK_GB"])
def test_too_little_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, amount: str) -> None:
    monkeypatch.setattr(stack, amount, 1e6)
    [sentence] = stack.troubles(_layout(tmp_path, serving=18490, airflow=18492, mlflow=18494))
    assert "1000000 GB are needed" in sentence


def test_a_deep_home_gets_a_short_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unix socket's path has about 100 bytes."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    deep = tmp_path / ("d" * 90)
    found = _layout(deep).socket
    assert len(os.fsencode(found)) <= 100 or not found.is_relative_to(deep)
    assert found.parent.stat().st_mode & 0o077 == 0
    assert _layout(Path("/h")).socket == Path("/h/var/supervisor.sock")


def test_odd_signs_in_paths_survive_the_supervisors_configuration(tmp_path: Path) -> None:
    from supervisor.options import ServerOptions

    home = tmp_path / 'a b\'s "home"'
    layout = _layout(home)
    layout.logs.mkdir(parents=True)
    write_private(layout.supervisor_config, supervision.supervisor_config(layout))
    options = ServerOptions()
    options.realize(["-c", str(layout.supervisor_config)])
    commands = {group.name: group.process_configs[0].command for group in options.process_group_configs}
    assert set(commands) == {program.name for program in supervision.programs(layout)} | {"reaper"}
    assert f"sqlite:///{layout.mlflow_home}" in commands["mlflow"].replace('\\"', '"')


def test_a_path_that_the_supervisor_cannot_write_is_told(tmp_path: Path) -> None:
    [sentence] = stack.troubles(_layout(tmp_path / "50%s", serving=18490, airflow=18492, mlflow=18494))
    assert "a path with '%' in it" in sentence


def test_secrets_are_made_once(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    first = ensure_secrets(layout)
    assert ensure_secrets(layout) == first
    assert len(first["jwt_secret"]) >= 64
    assert len(admin_password(layout)) >= 16


def test_nothing_runs_nothing_to_stop(tmp_path: Path) -> None:
    environment = {**os.environ, "REFIT_HOME": str(tmp_path)}
    for arguments, code in ((["--status"], 3), (["--stop"], 0)):
        done = subprocess.run([sys.executable, "-m", "ops", *arguments], cwd=ROOT, env=environment, capture_output=True)
        assert done.returncode == code


def test_the_fingerprint_sees_settings_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = _layout(tmp_path)
    before = supervision.fingerprint(layout)
    assert supervision.fingerprint(layout) == before
    monkeypatch.setenv("REFIT_TUNE__MAX_EVALS", "3")
    after = supervision.fingerprint(layout)
    assert [part for part in after if after[part] != before[part]] == ["environment"]


def test_the_fingerprint_sees_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that run looked for an optional library when they began."""
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path / "site-packages"))
    layout = _layout(tmp_path)
    (tmp_path / "site-packages" / "numpy-2.0.dist-info").mkdir(parents=True)
    layout.fingerprint_file.parent.mkdir(parents=True)
    layout.fingerprint_file.write_text(json.dumps(supervision.fingerprint(layout)), encoding="utf-8")
    assert supervision.changed(layout) == []
    (tmp_path / "site-packages" / "lightgbm-4.7.0.dist-info").mkdir()
    assert supervision.changed(layout) == ["packages"]


def test_the_environment_example_is_one_of_settings() -> None:
    """Each REFIT_ line loads; nothing of it is a name that the settings do not know."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    pairs = [line.lstrip("# ").split("=", 1) for line in lines if "REFIT_" in line and "=" in line]
    values = {name: value for name, value in pairs if name.startswith("REFIT_") and name.isupper()}
    assert len(values) >= 8
    load(values)


class TestEnvironment:
    """`.venv`: made, quick when it is there, and made anew when it was half made. pip is replaced by a recorder."""

    @pytest.fixture
    def root(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        (tmp_path / "ops" / "lock").mkdir(parents=True)
        (tmp_path / environment.LOCKS / environment.RUNTIME).write_text("a==1\n", encoding="ascii")
        (tmp_path / environment.LOCKS / environment.DEV).write_text("b==1\n", encoding="ascii")
        (tmp_path / environment.LOCKS / environment.ENGINE).write_text("c==1\n", encoding="ascii")
        self.commands: list[list[str]] = []

        def record(command: list[str], what: str) -> None:
            self.commands.append(command)
            if "venv" in command:
                (Path(command[-1]) / "bin").mkdir(parents=True)
                (Path(command[-1]) / "bin" / "python").symlink_to(sys.executable)

        monkeypatch.setattr(environment, "_run", record)
        return tmp_path

    def test_the_second_time_does_nothing(self, root: Path) -> None:
        assert environment.ensure(root)
        assert len(self.commands) == 3
        assert not environment.ensure(root)
        assert len(self.commands) == 3

    def test_a_changed_lock_is_installed(self, root: Path) -> None:
        environment.ensure(root)
        (root / environment.LOCKS / environment.RUNTIME).write_text("a==2\n", encoding="ascii")
        assert environment.ensure(root)
        assert [Path(c[-1]).name for c in self.commands[-2:]] == ["runtime.txt", "torch-cpu.txt"]
        assert all({"--require-hashes", "--no-deps"} <= set(command) for command in self.commands[1:])
        assert len(self.commands) == 5

    @pytest.mark.parametrize("cuda", [True, False])
    def test_without_a_cpu_build_it_is_pypis_with_what_it_needs(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, cuda: bool
    ) -> None:
        recorded = environment._run

        def run(command: list[str], what: str) -> None:
            recorded(command, what)
            if command[-1].endswith(environment.TORCH_CPU):
                raise environment.SetupError("no such build")

        monkeypatch.setattr(environment, "_run", run)
        monkeypatch.setattr(environment, "_needs_cuda", lambda venv: cuda)
        environment.ensure(root, dev=True)
        wanted = ["runtime.txt", "torch-cpu.txt", "torch.txt", *(["cuda.txt"] if cuda else []), "dev.txt", "engine.txt"]
        assert [Path(c[-1]).name for c in self.commands[1:]] == wanted

    @pytest.mark.parametrize(
        ("torch", "locks"),
        [("cpu", ["runtime.txt", "torch-cpu.txt"]), ("cuda", ["runtime.txt", "torch.txt", "cuda.txt"])],
    )
    def test_an_image_says_which_torch_it_wants(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, torch: str, locks: list[str]
    ) -> None:
        """And has the CPU build from PyTorch's own index, which no other build is looked for in."""
        monkeypatch.setattr(environment, "_needs_cuda", lambda venv: True)
        environment.install(root / ".venv", root / environment.LOCKS / environment.RUNTIME, torch)
        assert [Path(command[-1]).name for command in self.commands] == locks
        asked = {Path(command[-1]).name for command in self.commands if environment.CPU_INDEX in command}
        assert asked == {"torch-cpu.txt"} & set(locks)

    def test_a_half_made_one_is_made_anew(self, root: Path) -> None:
        environment.ensure(root)
        (root / ".venv" / "half").touch()
        (root / ".venv" / environment.UNFINISHED).touch()
        assert environment.ensure(root)
        assert not (root / ".venv" / "half").exists()

    def test_a_failed_installation_is_not_taken_for_a_good_one(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(command: list[str], what: str) -> None:
            raise environment.SetupError("no network")

        with monkeypatch.context() as broken:
            broken.setattr(environment, "_run", fail)
            with pytest.raises(environment.SetupError):
                environment.ensure(root)
        assert environment.ensure(root)

    def test_too_little_disk_is_told_before_anything_is_made(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(environment, "NEEDED_GB", 1e6)
        with pytest.raises(environment.SetupError, match="GB of disk are free"):
            environment.ensure(root)
        assert not (root / ".venv").exists()


HOLDER = """
import fcntl, os, sys
handle = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(handle, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
INSTALLS = """
import sys
from pathlib import Path
from ops import environment
with environment._only_one(Path(sys.argv[1])):
    print("its turn", flush=True)
"""
STARTS = """
import sys
from pathlib import Path
from ml.settings import Settings
from ops import command
from ops.layout import Layout
with command.only_one(Layout(Settings(home=Path(sys.argv[1])))):
    print("its turn", flush=True)
"""


@pytest.mark.parametrize(
    ("code", "locked", "told"),
    [(INSTALLS, ".", "is installing into .venv: waiting"), (STARTS, "var", "is starting or stopping the stack: wait")],
)
def test_a_command_that_waits_for_another_says_so(tmp_path: Path, code: str, locked: str, told: str) -> None:
    """At once, before the wait; one that waits for nobody says nothing."""
    (tmp_path / "var").mkdir()
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    command = [sys.executable, "-c", code, str(tmp_path)]
    alone = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (alone.stdout, alone.stderr) == ("its turn\n", "")
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / locked)], **piped) as holder:
        assert holder.stdout.readline() == "held\n"
        with subprocess.Popen(command, **piped) as waiting:
            assert told in waiting.stderr.readline()
            assert waiting.poll() is None
            holder.stdin.close()
            assert waiting.communicate(timeout=60)[0] == "its turn\n"


def test_a_missing_python_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "bash").symlink_to("/bin/bash")
    (tmp_path / "dirname").symlink_to(Path("/usr/bin/dirname"))
    done = subprocess.run(
        ["/bin/bash", ROOT / "run_pipeline.sh"], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Refit needs Python 3.11")
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_demonstrations_choices_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**own_stack.CHOICES, "REFIT_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    assert load().data.source == "customers"


def test_the_demonstration_takes_the_commands_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a program that is there, found from any folder."""
    started: list[list[str]] = []

    def start(_program: str, words: list[str], environment: dict[str, str]) -> None:
        assert Path(environment["PYTHONPATH"]) == ROOT
        started.append(words)

    monkeypatch.setattr(os, "execve", start)
    command.demo_drift(_layout(tmp_path))
    [[_, dash_m, module, *options]] = started
    assert dash_m == "-m"
    assert importlib.util.find_spec(f"{module}.__main__")
    with pytest.raises(SystemExit, match="0"):
        importlib.import_module(f"{module}.__main__").main([*options, "--help"])


# Without the environment that it was started with: a title overwrites it.
LEFT = "/usr/bin/env -i {python} -m http.server --bind 127.0.0.1 {port}"


def _supervised(layout: Layout, command: str) -> psutil.Process:
    """This home's supervisor, as it is configured, over one program; returns its process."""
    layout.logs.mkdir(parents=True)
    parser = RawConfigParser()
    parser.read_string(supervision.supervisor_config(layout))
    model = dict(parser["program:log-shipper"])
    for section in parser.sections():
        if section.startswith("program:"):
            parser.remove_section(section)
    parser["program:left"] = model | {"command": command}
    text = io.StringIO()
    parser.write(text)
    write_private(layout.supervisor_config, text.getvalue())
    program = [str(layout.bin / "supervisord"), "-c", str(layout.supervisor_config)]
    subprocess.run(program, env=stack.environment(layout), check=True)
    control = wait_for(lambda: supervision.supervisor(layout), what="the supervisor")
    return psutil.Process(control.getPID())


def _listener(port: int) -> int:
    return next(one.pid for one in psutil.net_connections("tcp") if one.laddr.port == port and one.status == "LISTEN")


def test_what_a_killed_supervisor_left_on_a_port_is_told_and_ended(tmp_path: Path) -> None:
    """And nothing else on its ports: a program that a person started in this very directory, or its shell."""
    port = free_port(1)
    layout = _layout(tmp_path, serving=port, mlflow=port + 1, airflow=1)
    environment = {**os.environ, "REFIT_HOME": str(tmp_path), "REFIT_SERVING_PORT": str(port),
                   "REFIT_MLFLOW_PORT": str(port + 1), "REFIT_AIRFLOW_PORT": "1"}  # fmt: skip
    theirs = subprocess.Popen(
        ["/bin/bash", "-c", f"{sys.executable} -m http.server --bind 127.0.0.1 {port + 1}; true"],
        cwd=tmp_path, start_new_session=True,
    )  # fmt: skip

    def ops(argument: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ops", argument]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    try:
        supervisor = _supervised(layout, LEFT.format(python=sys.executable, port=port))
        wait_for(lambda: stack.listens(port) and stack.listens(port + 1), what="both listen")
        left, other = _listener(port), _listener(port + 1)
        supervisor.kill()
        supervisor.wait(10)
        said = ops("--status")
        assert said.returncode == 1
        assert f"service                answers on port {port} (process {left})" in said.stdout
        assert "mlflow" not in said.stdout, "what another started is not ours to name or end"
        assert "Stopped." in ops("--stop").stdout
        wait_for(lambda: not psutil.pid_exists(left), what="its end")
        assert stack.listens(port + 1)
        assert theirs.poll() is None
        assert ops("--status").returncode == 3
        assert "Nothing runs." in ops("--stop").stdout
        assert f"Port {port + 1} for mlflow is taken by process {other}" in ops("--start").stderr
        assert theirs.poll() is None
    finally:
        stack.stop(layout)
        os.killpg(theirs.pid, signal.SIGKILL)
        theirs.wait()


def test_a_number_that_another_process_has_by_now_is_no_supervisors(tmp_path: Path) -> None:
    """The file of a machine that lost power: the same number is a person's shell after the next start."""
    port = free_port()
    layout = _layout(tmp_path, serving=port, airflow=1)
    layout.supervisor_pid.parent.mkdir(parents=True)
    command = ["/bin/bash", "-c", f"{sys.executable} -m http.server --bind 127.0.0.1 {port}; true"]
    theirs = subprocess.Popen(command, cwd=tmp_path, start_new_session=True)
    try:
        layout.supervisor_pid.write_text(f"{theirs.pid}\n", encoding="ascii")
        wait_for(lambda: stack.listens(port), what="it listens")
        assert stack.left_listening(layout) == {}
        assert stack.sweep(layout) == 0
        assert theirs.poll() is None
    finally:
        os.killpg(theirs.pid, signal.SIGKILL)
        theirs.wait()
