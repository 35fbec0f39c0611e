"""API keys: made on the command line, kept as hashes, each with the scopes it opens.

`python -m serving.auth create --scope predict --name "billing job"` prints a new key once. A key is 256 random bits,
so its SHA-256 is as hard to turn back as a slow hash would be. Keys are required as soon as the service listens
beyond loopback; the pages' and health's read-only routes need none unless they give away data (`SCOPES`).

With PostgreSQL the list is in the database, the same for all services (`ml.fleet.shared_keys`), and each follower keeps
a copy of it on its disk, so that no request asks for it. Keys of the file of before stay valid for that machine alone.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from ml.errors import SettingsError
from ml.messages import message
from ml.settings import Settings
from ml.storage.files import write_bytes

Scope = Literal["predict", "feedback", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
FILE = "api_keys.json"  # of this machine alone
COPY = "shared_api_keys.json"  # of the database's


class Key(msgspec.Struct, frozen=True):
    """One key as it is kept. `created`: seconds since 1970."""

    id: str
    name: str
    sha256: str
    scopes: tuple[Scope, ...]
    created: float


class Keys:
    """The keys in force, reread when a file of them changes."""

    def __init__(self, settings: Settings) -> None:
        self.files = files(settings)
        self.required = required(settings)
        self._seen: list[tuple[int, int] | None] = []
        self._keys: dict[str, Key] = {}
        self._next_look = 0.0

    def find(self, presented: str) -> Key | None:
        """The key that `presented` is, or None."""
        self._reread()
        digest = hashlib.sha256(presented.encode("utf-8", "surrogateescape")).hexdigest()
        key = self._keys.get(digest)
        return key if key is not None and hmac.compare_digest(key.sha256, digest) else None

    def _reread(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + 1.0
        identities = [_identity(file) for file in self.files]
        if identities != self._seen:
            self._keys = {key.sha256: key for file in self.files for key in read(file)}
            self._seen = identities


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns


def files(settings: Settings) -> list[Path]:
    """The lists of keys that count here."""
    folder = settings.var / "secrets"
    return [folder / FILE, *([folder / COPY] if _are_shared(settings) else [])]


def _are_shared(settings: Settings) -> bool:
    return settings.database_url.startswith("postgresql")


def required(settings: Settings) -> bool:
    """Whether a caller must show a key."""
    match settings.serving.require_keys:
        case "always":
            return True
        case "never":
            return False
        case _:
            return not is_loopback(settings.serving.host)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def check_bind(settings: Settings) -> None:
    """Refuse to listen beyond loopback without a single key, or, where keys are switched off, without named hosts.

    Where keys are in the database they may not have come yet: until then each request is refused.

    Raises
    ------
    SettingsError
        Saying how to make a key, or what to list.
    """
    serving = settings.serving
    if not required(settings) and not is_loopback(serving.host) and not serving.allowed_hosts:
        raise SettingsError(message("settings.no_hosts", host=serving.host))
    if required(settings) and not _are_shared(settings) and not read(settings.var / "secrets" / FILE):
        why = message("settings.host_reachable", host=settings.serving.host)
        if settings.serving.require_keys == "always":
            why = message("settings.keys_always")
        raise SettingsError(message("settings.no_key", why=why))


def read(file: Path) -> list[Key]:
    """The kept keys."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[Key])
    except FileNotFoundError:
        return []
    except msgspec.DecodeError as error:
        raise SettingsError(message("settings.no_key_list", file=str(file), error=str(error))) from error


def create(settings: Settings, scopes: tuple[Scope, ...], name: str) -> str:
    """Make a key, keep its hash, return it: it cannot be shown again.

    Parameters
    ----------
    scopes
        What the key opens.
    name
        What people call it in listings.
    """
    file = settings.var / "secrets" / FILE
    presented = "rk_" + secrets.token_urlsafe(32)
    digest = hashlib.sha256(presented.encode()).hexdigest()
    key = Key(secrets.token_hex(4), name, digest, scopes, time.time())
    if _are_shared(settings):
        from ml.fleet import shared_keys  # not for a worker: it takes SQLAlchemy

        shared_keys.add(settings, msgspec.convert(key, shared_keys.SharedKey, from_attributes=True))
        mirror(settings)
    else:
        _write(file, [*read(file), key])
    return presented


def mirror(settings: Settings) -> None:
    """Copy the database's keys to this disk, where they are others; nothing where it has none.

    Raises
    ------
    StoreUnavailable
        The database does not answer: the copy stays.
    """
    if not _are_shared(settings):
        return
    from ml.fleet import shared_keys

    found = [msgspec.convert(key, Key, from_attributes=True) for key in shared_keys.known(settings)]
    file = settings.var / "secrets" / COPY
    if found != read(file):
        _write(file, found)


def revoke(settings: Settings, key_id: str) -> bool:
    """Forget a key; workers follow within a second, those of other machines after the next heartbeat.

    False when there is none of that id.
    """
    gone = False
    if _are_shared(settings):
        from ml.fleet import shared_keys

        gone = shared_keys.remove(settings, key_id)
        mirror(settings)
    file = settings.var / "secrets" / FILE
    keys = read(file)
    remaining = [key for key in keys if key.id != key_id]
    if len(remaining) < len(keys):
        _write(file, remaining)
    return gone or len(remaining) < len(keys)


def _write(file: Path, keys: list[Key]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_bytes(file, msgspec.json.encode(keys), mode=0o600)


def commands() -> Any:
    """The command line: create, list, revoke."""
    import click

    from ml import settings as settings_module

    @click.group(help="API keys of the service.")
    def group() -> None: ...

    @group.command("create", help="Make a key and print it; it cannot be shown again.")
    @click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES))
    @click.option("--name", required=True, help="Who will use it.")
    def _create(scopes: tuple[Scope, ...], name: str) -> None:
        click.echo(create(settings_module.load(), scopes, name))

    @group.command("list", help="Show the keys that are in force, without the keys themselves.")
    def _list() -> None:
        settings = settings_module.load()
        mirror(settings)
        for file in files(settings):
            for key in read(file):
                created = time.strftime("%Y-%m-%d", time.gmtime(key.created))
                here = "  (this machine alone)" if len(files(settings)) > 1 and file.name == FILE else ""
                click.echo(f"{key.id}  {created}  {','.join(key.scopes)}  {key.name}{here}")

    @group.command("revoke", help="Forget a key.")
    @click.argument("key_id")
    def _revoke(key_id: str) -> None:
        if not revoke(settings_module.load(), key_id):
            raise click.ClickException(f"there is no key {key_id}; `list` shows them")

    return group
