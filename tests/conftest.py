"""For every test: a home of its own, no settings of the caller, and nothing left behind."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import postgresql

CHECKOUT = Path(__file__).resolve().parent.parent
_STATE = ("data", "models", "var")
_STACK = "tests/stack/"
_LONG = (
    _STACK,
    "tests/ml/tuning/",
    "tests/ml/pipeline/test_pipeline.py",
    "tests/serving/pages/test_pages_in_browser.py",
)
_scratch: list[Path] = []
_databases = itertools.count()
_before: dict[str, float] = {}
_left_by_workers: list[str] = []


def pytest_configure() -> None:
    """Before anything of ours or of Airflow's is imported: both read their home once."""
    for name in list(os.environ):
        if name.startswith(("REFIT_", "AIRFLOW_", "MLFLOW_")):
            del os.environ[name]
    home = _new_home()
    os.environ["REFIT_HOME"] = str(home)
    os.environ["AIRFLOW_HOME"] = str(home / "var" / "airflow")
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _before.update(_newest_state())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes first; in a parallel run, one process is busy with the real stack to the end."""
    items.sort(key=lambda item: next((i for i, long in enumerate(_LONG) if item.nodeid.startswith(long)), len(_LONG)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """In a parallel run, all others make way for the process that has the real stack: it decides how long all takes."""
    if "PYTEST_XDIST_WORKER" in os.environ and not item.nodeid.startswith(_STACK) and os.nice(0) == 0:
        os.nice(5)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """How a parallel run shares tests out: by file, for the fixtures' sake, and all of the one real stack together."""
    from xdist.scheduler import LoadFileScheduling

    class OneStack(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _STACK if nodeid.startswith(_STACK) else nodeid.split("::", 1)[0]

    return OneStack(config, log)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A suite that leaves a process running, or writes into the checkout's own state, has failed."""
    left = [child for child in psutil.Process().children(recursive=True) if _is_ours(child)]
    told = [f"process {child.pid}: {' '.join(child.cmdline())[:200]}" for child in left]
    if hasattr(session.config, "workerinput"):
        session.config.workeroutput["left"] = told
        return
    told += _left_by_workers
    told += [f"files under {CHECKOUT / name}" for name, newest in _newest_state().items() if newest > _before[name]]
    if told:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print("\nThe tests left behind: " + "; ".join(told))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A parallel worker has ended: what did it leave?"""
    _left_by_workers.extend(getattr(node, "workeroutput", {}).get("left", []))


def pytest_unconfigure() -> None:
    shutil.rmtree(_scratch.pop(), ignore_errors=True)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty REFIT_HOME."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("REFIT_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server of the tests' own."""
    with postgresql.running() as server:
        yield server.url


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The URL of an empty database there."""
    import sqlalchemy as sa

    from ml.storage import database

    name = f"test_{next(_databases)}"
    whole = sa.create_engine(postgresql_server, isolation_level="AUTOCOMMIT")
    with whole.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        url = postgresql_server.replace("/postgres?", f"/{name}?")
        yield url
        database._engine(url).dispose()
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    whole.dispose()


def _new_home() -> Path:
    """One for each session of pytest: the mutation run has many in one process, and in forks of it."""
    _scratch.append(Path(tempfile.mkdtemp(prefix="refit-tests-")))
    home = _scratch[-1] / "home"
    home.mkdir()
    return home


def _is_ours(process: psutil.Process) -> bool:
    try:
        # multiprocessing's tracker ends with the interpreter that started it.
        return process.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(process.cmdline())
    except psutil.Error:
        return False


def _newest_state() -> dict[str, float]:
    """Time of the last change below each folder of run-time state in the checkout; 0 where there is none."""
    found = {}
    for name in _STATE:
        times = [path.stat().st_mtime for path in (CHECKOUT / name).rglob("*") if path.is_file()]
        found[name] = max(times, default=0.0)
    return found
