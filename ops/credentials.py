"""Secrets, generated once, in files readable by their owner alone."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from ops.layout import Layout

ADMIN = "admin"


def ensure(layout: Layout) -> dict[str, str]:
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


def password(layout: Layout) -> str:
    """The admin's password."""
    return str(json.loads(layout.password_file.read_text(encoding="utf-8"))[ADMIN])


def _once(path: Path, make: Callable[[], str]) -> str:
    """The file's text, made by `make` when there is none; never half written, never readable by others."""
    if not path.exists():
        private(path, make())
    return path.read_text(encoding="utf-8").strip()


def private(path: Path, text: str) -> None:
    """Write `text` to `path` atomically with mode 0600."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(fresh, path)
