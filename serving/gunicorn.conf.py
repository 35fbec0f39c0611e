"""gunicorn's configuration, from Refit's settings.

`gunicorn -c serving/gunicorn.conf.py 'serving.app:create_app()'`
"""

import os
import select
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from ml import settings as settings_module
from serving import logs, processes
from serving.auth import keys

settings = settings_module.load()
keys.check_bind(settings)
_serving = settings.serving
_folder = settings.var / "serving"
# One thread is one worker's share of the machine; ONNX Runtime and NumPy would take them all.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# One allocator, so that what a large table took can be given back.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
os.environ.setdefault("MALLOC_ARENA_MAX", "2")
# Settled now: found out later, with a file that is made and written, there would be no folder on a full disk.
tempfile.tempdir = os.environ.get("TMPDIR") or "/tmp"

proc_name = "refit-serving"
bind = f"{_serving.host}:{settings.serving_port}"
workers = _serving.workers
_fast = _serving.worker_class == "fast" and hasattr(select, "epoll")
worker_class = "serving.http.worker.FastWorker" if _fast else _serving.worker_class.replace("fast", "gthread")
threads = _serving.threads if worker_class == "gthread" else 1
worker_connections = _serving.max_connections
backlog = 4096  # connections that wait to be accepted; Linux's own limit (net.core.somaxconn)
keepalive = round(_serving.keepalive_s)
graceful_timeout = round(_serving.graceful_timeout_s)
timeout = 60  # a worker that has not reported for so long is replaced
preload_app = True  # modules are imported once and shared; a replaced worker is back within tenths of a second
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a heartbeat must not wait for a disk
control_socket_disable = True
accesslog = None  # serving/api/guard.py writes it, with request ids
logconfig_dict = logs.config()


class NoPandas:
    """pyarrow imports pandas with the first table it makes, where there is one: .5 s and 30 MB for nothing."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """As if it were not installed."""
        if name == "pandas":
            raise ModuleNotFoundError("a worker does without pandas", name=name)


sys.meta_path.insert(0, NoPandas())


def on_starting(server: Any) -> None:
    """One service a home. gunicorn says a RuntimeError in a line."""
    server.home = processes.hold_home(_folder)


def post_fork(server: Any, worker: Any) -> None:
    """In the forked worker: the home is the master's, and free as soon as that is dead."""
    os.close(server.home)


def when_ready(server: Any) -> None:
    """The port is ours: what a service before this one left behind can go."""
    shutil.rmtree(_folder / "workers", ignore_errors=True)
    (_folder / "fleet.json").unlink(missing_ok=True)


def post_worker_init(worker: Any) -> None:
    """In the forked worker, before its first request."""
    worker.wsgi.extensions["refit"].start()


def worker_exit(server: Any, worker: Any) -> None:
    """In the worker, at its end: nothing that was answered stays in memory."""
    wsgi = getattr(worker, "wsgi", None)
    if wsgi is not None:
        wsgi.extensions["refit"].close()


def child_exit(server: Any, worker: Any) -> None:
    """In the master: a dead worker counts no more among the live ones."""
    (_folder / "workers" / f"{worker.pid}.json").unlink(missing_ok=True)
