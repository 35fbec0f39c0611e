"""Generated secrets under `var/secrets`, readable by the owner alone."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from ml.errors import SettingsError
from ml.messages import message
from ml.settings import Settings
from ml.storage.files import sync_folder

MAX_KEY_BYTES = 64  # of BLAKE2b; a longer key is hashed


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


def hash_key(settings: Settings) -> bytes:
    """The key that `log.hash_columns` are hashed with: the file that is named, else one of this home's own.

    Raises
    ------
    SettingsError
        The file that is named cannot be read, or is empty; or none is named on machines that share no disk.
    """
    named = settings.log.hash_key_file
    if not named:
        own = settings.var / "secrets" / "log_hash_key"
        if settings.storage.url and not own.exists():  # each machine would make another
            raise SettingsError(message("settings.no_common_hash_key"))
        return secret(own)
    try:
        key = Path(named).read_bytes().strip()
    except OSError as error:
        raise SettingsError(message("settings.no_hash_key", file=named, error=str(error))) from error
    if not key:
        raise SettingsError(message("settings.no_hash_key", file=named, error="0 bytes"))
    return key if len(key) <= MAX_KEY_BYTES else hashlib.sha256(key).digest()
