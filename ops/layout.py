"""Where the stack keeps its files and which ports it takes, all derived from the settings."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ml.settings import CHECKOUT, Settings
from ops.errors import StackError

HOST = "127.0.0.1"
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
        return CHECKOUT / ".venv" / "bin"

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
    def fingerprint_file(self) -> Path:
        """What the running stack was started with (`ops.fingerprint`)."""
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
        found = private.lstat()
        if found.st_uid != os.getuid() or found.st_mode & 0o077:
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
