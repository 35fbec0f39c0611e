"""The services that live: each is a row that its follower renews, and that is stale by the database's own clock.

Used where the database is PostgreSQL, which several machines can share; one service on one machine needs no row. A
service's row is gone when its follower ends, stale after `MISSED` heartbeats that did not come, and deleted later by
whoever beats then. No machine's clock is compared with another's: moments are the database's, and what a service tells
of its own past is an age.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa

from ml.messages import Message, Text, message
from ml.settings import Settings
from ml.storage import database

MISSED = 5  # heartbeats in a row that did not come: the service is taken for dead; our choice
FORGET_S = 3_600.0  # a stale row is shown for so long, and then deleted; our choice

table = sa.Table(
    "services",
    database.metadata,
    sa.Column("id", sa.Text, primary_key=True),  # random, of one run of the follower
    sa.Column("model_name", sa.Text, nullable=False),  # homes of several models may share a database
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("home", sa.Text, nullable=False),
    sa.Column("started", sa.Double, nullable=False),  # when it was first seen, by the database's clock
    sa.Column("seen", sa.Double, nullable=False),  # its newest heartbeat, by the same
    sa.Column("every", sa.Double, nullable=False),  # seconds between its heartbeats
    sa.Column("state", sa.Text, nullable=False),  # JSON of `State`
)


class Loaded(msgspec.Struct, frozen=True):
    """A version that a worker serves, with the hash of its bundle; "" where it serves none."""

    version: str = ""
    sha256: str = ""


class Refused(msgspec.Struct, frozen=True):
    """A version that a service could not take over, why, and how many seconds before the heartbeat that was."""

    version: str
    reason: Text
    age_s: float


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a service tells of itself: what each worker serves, what it refused last, the fingerprint of the key of
    `log.hash_columns` ("" without one), and why it is out of rotation ("" where it is not)."""

    workers: tuple[Loaded, ...] = ()
    refused: Refused | None = None
    hash_key: str = ""
    out: Text = ""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One row. Moments are seconds since 1970 by the database's clock; `stale` where it is taken for dead."""

    id: str
    host: str
    address: str
    started: float
    seen: float
    stale: bool
    state: State

    @property
    def name(self) -> Message:
        """What people call it."""
        return message("release.service_named", host=self.host, address=self.address)

    @property
    def answers(self) -> bool:
        """Whether it lives and has workers."""
        return not self.stale and bool(self.state.workers)

    @property
    def versions(self) -> tuple[str, ...]:
        """What its workers serve, each version once."""
        return tuple(dict.fromkeys(loaded.version or "none" for loaded in self.state.workers))

    @property
    def refused_at(self) -> float:
        """When it refused what it refused last, by the database's clock; 0 where it refused nothing."""
        return self.seen - self.state.refused.age_s if self.state.refused else 0.0


class Fleet(msgspec.Struct, frozen=True):
    """Every service that is known, oldest first, and the database's clock at that moment."""

    now: float
    services: tuple[Service, ...]

    @property
    def live(self) -> tuple[Service, ...]:
        """Those that live and have workers."""
        return tuple(service for service in self.services if service.answers)


def is_used(settings: Settings) -> bool:
    """Whether services register themselves."""
    return database.url(settings).startswith("postgresql")


def beat(settings: Settings, identity: str, state: State) -> Fleet:
    """Renew the row of the service, and return all of them. The first heartbeat replaces what an earlier run left.

    Parameters
    ----------
    identity
        Random, the same for all heartbeats of one run.
    state
        What it tells.

    Raises
    ------
    StoreUnavailable
        The database does not answer.
    """
    t, now = table.c, _now()
    values = {
        "id": identity,
        "model_name": settings.registry.model_name,
        "host": socket.gethostname(),
        "address": address(settings),
        "home": str(settings.home),
        "every": settings.serving.heartbeat_s,
        "state": msgspec.json.encode(state).decode(),
    }
    insert = database.insert(table, "postgresql").values(values | {"started": now, "seen": now})
    renewed = {name: insert.excluded[name] for name in ("address", "every", "state", "seen")}
    place = [t[name] == values[name] for name in ("model_name", "host", "address", "home")]
    engine = database.engine(settings)
    with database.unavailable_as_transient(), engine.begin() as connection:
        connection.execute(insert.on_conflict_do_update(index_elements=[t.id], set_=renewed))
        connection.execute(sa.delete(table).where(t.id != identity, sa.or_(sa.and_(*place), t.seen < now - FORGET_S)))
        return _read(settings, connection)


def withdraw(settings: Settings, identity: str) -> None:
    """Delete the row of a service that ends."""
    engine = database.engine(settings)
    with database.unavailable_as_transient(), engine.begin() as connection:
        connection.execute(sa.delete(table).where(table.c.id == identity))


def known(settings: Settings) -> Fleet:
    """Every service of this model, the stale ones too; none where services do not register."""
    if not is_used(settings):
        return Fleet(0.0, ())
    engine = database.engine(settings)
    with database.unavailable_as_transient(), engine.connect() as connection:
        return _read(settings, connection)


def address(settings: Settings) -> str:
    """Where the service is reached, for people: what it binds, or this machine's address on the way to the database."""
    host = settings.serving.host
    if host in ("0.0.0.0", "::", ""):
        host = _outward(urlsplit(database.url(settings)).hostname or "")
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.serving_port}"


def _outward(towards: str) -> str:
    try:
        kind, *_, place = socket.getaddrinfo(towards, 5432, type=socket.SOCK_DGRAM)[0]
        with socket.socket(kind, socket.SOCK_DGRAM) as sock:  # sends nothing: the system only chooses a way
            sock.connect(place)
            return str(sock.getsockname()[0])
    except OSError:
        return socket.gethostname()


def _now() -> sa.ColumnElement[float]:
    return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double)


def _read(settings: Settings, connection: sa.Connection) -> Fleet:
    t = table.c
    query = sa.select(_now()), sa.select(table).where(t.model_name == settings.registry.model_name)
    now = float(connection.execute(query[0]).scalar_one())
    rows = connection.execute(query[1].order_by(t.started, t.id)).all()
    return Fleet(
        now,
        tuple(
            Service(
                id=row.id, host=row.host, address=row.address, started=row.started, seen=row.seen,
                stale=row.seen < now - MISSED * row.every, state=msgspec.json.decode(row.state, type=State),
            )
            for row in rows
        ),
    )  # fmt: skip
