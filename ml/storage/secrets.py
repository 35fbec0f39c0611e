"""Generated secrets under `var/secrets`, readable by the owner alone."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from ml.storage.files import sync_folder


def secret(file: Path, make: Callable[[], bytes] = lambda: secrets.token_bytes(32)) -> bytes:
    """The secret in `file`, made at the first call; two processes that make it at once get the same one."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not file.exists():
        temporary = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(make())
            stream.flush()
            os.fsync(stream.fileno())
        try:
            # Fails when another was first, unlike a rename.
            os.link(temporary, file)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
        sync_folder(file.parent)
    return file.read_bytes()
