"""A PostgreSQL server of a test's own, which can be frozen, and ended as a crash ends it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

USER = "postgres"  # the server refuses to run as root
OPTIONS = "-c listen_addresses= -c wal_writer_delay=10s -c bgwriter_delay=10s -c fsync=on"


def binaries() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, the newest version's; None where PostgreSQL is not installed."""
    found = [Path(name).parent for name in (shutil.which("initdb"),) if name]
    found += [path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    return found[-1] if found else None


class Server:
    """One on the data folder `data`, at a socket in `place`."""

    def __init__(self, data: Path, place: Path, options: str = OPTIONS) -> None:
        self.data, self._place, self._options = data, place, f"{options} -k {place}"

    @property
    def url(self) -> str:
        """For `database_url`."""
        return f"postgresql+psycopg2://{USER}@/{USER}?host={self._place}"

    def make(self) -> None:
        """The data folder, small: it will be copied."""
        _run("initdb", "-D", self.data, "-A", "trust", "-U", USER, "--wal-segsize=1", "-E", "UTF8", "--locale=C")

    def start(self) -> None:
        """Start, and wait until it answers."""
        _run("pg_ctl", "-D", self.data, "-o", self._options, "-l", self._place / "log", "-w", "start")

    def crash(self) -> None:
        """End it at once, as a crash of it would."""
        _run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")

    @contextlib.contextmanager
    def frozen(self, only: str = "") -> Iterator[None]:
        """Inside, none of its processes moves, or none whose title has `only` in it."""
        main = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
        processes = [
            process
            for process in (main, *main.children(recursive=True))
            if only in " ".join(process.cmdline()) and process.status() != psutil.STATUS_STOPPED
        ]
        assert processes, f"none of the server's processes is called {only}"
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def running(options: str = OPTIONS + " -c fsync=off") -> Iterator[Server]:
    """One on an empty data folder, while the block lasts; a power cut is nothing to it, which is quicker."""
    assert binaries() is not None, "needs PostgreSQL's initdb and pg_ctl: install it (Debian: apt install postgresql)"
    with folder() as place:
        made = Server(own(place / "data"), own(place / "socket"), options)
        made.make()
        made.start()
        try:
            yield made
        finally:
            made.crash()


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """One that the server's user may enter, which pytest's are not."""
    made = Path(tempfile.mkdtemp(prefix="refit-pg-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def own(path: Path) -> Path:
    """Make a folder that is the server's user's."""
    path.mkdir(exist_ok=True)
    shutil.chown(path, USER)
    return path


def _run(name: str, *arguments: object) -> None:
    where = binaries()
    assert where is not None
    user = USER if os.geteuid() == 0 else None
    subprocess.run(
        [where / name, *map(str, arguments)], check=True, user=user, cwd="/", stdout=subprocess.DEVNULL, timeout=120
    )
