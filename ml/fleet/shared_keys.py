"""The API keys that all services take: rows in the database, where an administrator makes and deletes them.

Of a key only its hash is there. Services do not ask for it at a request: each follower copies the list to its disk with
every heartbeat.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from ml.settings import Settings
from ml.storage import database

table = sa.Table(
    "api_keys",
    database.metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("model_name", sa.Text, nullable=False),  # homes of several models may share a database
    sa.Column("name", sa.Text, nullable=False),  # what people call it
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),  # JSON list
    sa.Column("created", sa.Double, nullable=False),
)


class SharedKey(msgspec.Struct, frozen=True):
    """One row. `created`: seconds since 1970."""

    id: str
    name: str
    sha256: str
    scopes: tuple[str, ...]
    created: float


def add(settings: Settings, key: SharedKey) -> None:
    """Let every service take a key.

    Raises
    ------
    StoreUnavailable
        The database does not answer.
    """
    values = msgspec.structs.asdict(key) | {"scopes": msgspec.json.encode(key.scopes).decode()}
    engine = database.engine(settings)
    with database.unavailable_as_transient(), engine.begin() as connection:
        connection.execute(sa.insert(table).values(values | {"model_name": settings.registry.model_name}))


def remove(settings: Settings, key_id: str) -> bool:
    """Delete a key; False where there is none of that id."""
    t, engine = table.c, database.engine(settings)
    mine = sa.and_(t.id == key_id, t.model_name == settings.registry.model_name)
    with database.unavailable_as_transient(), engine.begin() as connection:
        return connection.execute(sa.delete(table).where(mine)).rowcount > 0


def known(settings: Settings) -> list[SharedKey]:
    """Every key, oldest first."""
    t, engine = table.c, database.engine(settings)
    query = sa.select(t.id, t.name, t.sha256, t.scopes, t.created).where(t.model_name == settings.registry.model_name)
    with database.unavailable_as_transient(), engine.connect() as connection:
        rows = connection.execute(query.order_by(t.created, t.id)).all()
    return [
        SharedKey(row.id, row.name, row.sha256, tuple(msgspec.json.decode(row.scopes)), row.created) for row in rows
    ]
