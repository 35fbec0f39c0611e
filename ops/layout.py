"""Where the stack keeps its files and which ports it takes, derived from the settings; and its secrets.

Secrets are generated once, in files readable by their owner alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ml.settings import CHECKOUT, Settings
from ml.storage.files import sync_folder
from ops import StackError

HOST = "127.0.0.1"
ADMIN = "admin"
# A unix socket's path must fit sockaddr_un: 108 bytes on Linux, 104 on macOS.
_SOCKET_PATH_LIMIT = 100


@dataclass(frozen=True)
class Layout:
    """Paths and ports of one stack; there is one stack a `REFIT_HOME`."""

    settings: Settings

    @property
    def home(self) -> Path:
        return self.settings.home

    @property
    def checkout(self) -> Path:
        return CHECKOUT

    @property
    def bin(self) -> Path:
        """Console scripts of the environment that runs this."""
        return Path(sys.prefix) / "bin"

    @property
    def logs(self) -> Path:
        return self.settings.var / "logs"

    @property
    def secrets(self) -> Path:
        return self.settings.var / "secrets"

    @property
    def airflow_home(self) -> Path:
        return self.settings.var / "airflow"

    @property
    def mlflow_home(self) -> Path:
        return self.settings.var / "mlflow"

    @property
    def supervisor_config(self) -> Path:
        return self.settings.var / "supervisord.conf"

    @property
    def supervisor_pid(self) -> Path:
        """Where the supervisor keeps its number while it runs, and leaves it when it is killed."""
        return self.settings.var / "supervisord.pid"

    @property
    def fingerprint_file(self) -> Path:
        """What the running stack was started with (`ops.supervision.fingerprint`)."""
        return self.settings.var / "stack.json"

    @property
    def password_file(self) -> Path:
        """Airflow's users and their passwords, as its simple auth manager reads them."""
        return self.secrets / "airflow_passwords.json"

    @cached_property
    def socket(self) -> Path:
        """The supervisor's control socket: in `var/`, or in a short private directory for a deep home."""
        near = self.settings.var / "supervisor.sock"
        if len(os.fsencode(near)) <= _SOCKET_PATH_LIMIT:
            return near
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        private = Path(tempfile.gettempdir()) / f"refit-{os.getuid()}-{digest}"
        private.mkdir(mode=0o700, exist_ok=True)
        stat = private.lstat()
        if stat.st_uid != os.getuid() or stat.st_mode & 0o077:
            raise StackError(f"{private} is not ours alone: remove it, or set TMPDIR to a directory of your own")
        return private / "supervisor.sock"

    @property
    def ports(self) -> dict[str, int]:
        """Every port the stack listens on, by the name of what listens; Airflow's two lie side by side."""
        airflow = self.settings.airflow_port
        return {
            "service": self.settings.serving_port,
            "mlflow": self.settings.mlflow_port,
            "airflow": airflow,
            "airflow-execution": airflow + 1,
        }

    def url(self, name: str) -> str:
        """`http://127.0.0.1:<port>` of one of `ports`."""
        return f"http://{HOST}:{self.ports[name]}"


def ensure_secrets(layout: Layout) -> dict[str, str]:
    """Airflow's JWT secret, API secret and fernet key; makes what is missing, also the admin's password."""
    layout.secrets.mkdir(parents=True, exist_ok=True)
    layout.secrets.chmod(0o700)
    _once(layout.password_file, lambda: json.dumps({ADMIN: secrets.token_urlsafe(18)}) + "\n")
    return {
        # HS512 wants a key of at least 64 bytes; Airflow warns below that.
        "jwt_secret": _once(layout.secrets / "airflow_jwt", lambda: secrets.token_urlsafe(64)),
        "api_secret": _once(layout.secrets / "airflow_api", lambda: secrets.token_urlsafe(32)),
        "fernet_key": _once(
            layout.secrets / "airflow_fernet", lambda: base64.urlsafe_b64encode(os.urandom(32)).decode()
        ),
    }


def admin_password(layout: Layout) -> str:
    """The admin's password."""
    return str(json.loads(layout.password_file.read_text(encoding="utf-8"))[ADMIN])


def _once(path: Path, make: Callable[[], str]) -> str:
    """The file's text, made by `make` when there is none; never half written, never readable by others."""
    if not path.exists():
        write_private(path, make())
    return path.read_text(encoding="utf-8").strip()


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path` atomically with mode 0600."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(fresh, path)
    sync_folder(path.parent)
