"""The hash chain over the ledger: each row's entry holds the hash of the entry before, so that no row changes unseen.

An entry is `SHA-256(previous hash, the row as JSON)`. Whoever can write the database can write a whole new chain, or
cut its end off: so the newest hash is also kept apart, in `var/ledger_head.json` of every machine that writes, and
`python -m ml verify` holds the two together. A row that was there before the chain began is taken as it is then.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from ml.messages import Message, message
from ml.settings import Settings
from ml.storage import database
from ml.storage.files import write_json

log = logging.getLogger(__name__)

HEAD = "ledger_head.json"

links = sa.Table(
    "ledger_chain",
    database.metadata,
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("row", sa.Integer, nullable=False),  # the ledger's id
    sa.Column("previous", sa.Text, nullable=False),  # hash of the entry before; "" at the first
    sa.Column("hash", sa.Text, nullable=False),
)


class Head(msgspec.Struct, frozen=True):
    """The newest entry that this machine wrote: content of `ledger_head.json`."""

    position: int
    row: int
    hash: str


def begin(connection: sa.Connection) -> None:
    """Before a row is added: one writer at a time. SQLite's first INSERT locks by itself."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("LOCK TABLE ledger_chain IN SHARE ROW EXCLUSIVE MODE"))


def link(connection: sa.Connection, ledger: sa.Table, row: int) -> Head:
    """Chain the row that this transaction has just added; the first time also all that stand before it."""
    newest = connection.execute(sa.select(links).order_by(links.c.position.desc()).limit(1)).mappings().first()
    wanted = sa.select(ledger).where(ledger.c.id == row if newest else ledger.c.id <= row).order_by(ledger.c.id)
    previous, position = (newest["hash"], newest["position"]) if newest else ("", 0)
    for stored in connection.execute(wanted).mappings().all():
        made, position = entry_hash(previous, stored), position + 1
        connection.execute(links.insert().values(position=position, row=stored["id"], previous=previous, hash=made))
        previous = made
    return Head(position, row, previous)


def entry_hash(previous: str, row: Mapping[Any, Any]) -> str:
    """SHA-256 over the hash before and every column of the row, by name."""
    content = json.dumps([previous, dict(row)], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def keep_head(settings: Settings, head: Head) -> None:
    """Note the newest entry apart from the database, after its commit. A failure is told, as the row is there."""
    try:
        known = read_head(settings)
        if known is None or known.position < head.position:
            write_json(settings.var / HEAD, head)
    except OSError as error:
        log.warning("the ledger's newest hash could not be kept in %s: %s", settings.var / HEAD, error)


def read_head(settings: Settings) -> Head | None:
    """The newest entry that this machine knows of, or None."""
    try:
        return msgspec.json.decode((settings.var / HEAD).read_bytes(), type=Head)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        return Head(0, 0, "")  # altered: it agrees with no entry


def violations(settings: Settings, ledger: sa.Table) -> list[Message]:
    """A message for every row that is not what was written, is missing, or was added past Refit; [] where all is well.

    Raises
    ------
    StoreUnavailable
        The database does not answer.
    """
    with database.unavailable_as_transient(), database.engine(settings).connect() as connection:
        rows = {row["id"]: row for row in connection.execute(sa.select(ledger)).mappings()}
        chain = [Link(**row) for row in connection.execute(sa.select(links).order_by(links.c.position)).mappings()]
    return [*_broken(rows, chain), *_unchained(rows, chain), *_cut(chain, read_head(settings), settings.var / HEAD)]


class Link(msgspec.Struct, frozen=True):
    """One entry of the chain, as it is stored."""

    position: int
    row: int
    previous: str
    hash: str


def _broken(rows: Mapping[int, Mapping[Any, Any]], chain: list[Link]) -> list[Message]:
    found = []
    for entry in chain:
        row = rows.get(entry.row)
        if row is None:
            found.append(message("ledger.row_missing", row=entry.row))
        elif entry_hash(entry.previous, row) != entry.hash:
            found.append(message("ledger.row_altered", row=entry.row))
    if chain and chain[0].previous:
        found.append(message("ledger.beginning_removed", row=chain[0].row))
    for before, entry in pairwise(chain):
        if entry.previous != before.hash:
            found.append(message("ledger.rewritten", row=before.row, next=entry.row))
    return found


def _unchained(rows: Mapping[int, Mapping[Any, Any]], chain: list[Link]) -> list[Message]:
    known = {entry.row for entry in chain}
    return [message("ledger.not_ours", row=row) for row in sorted(rows.keys() - known)] if chain else []


def _cut(chain: list[Link], head: Head | None, place: Path) -> list[Message]:
    """The chain may have grown since by another machine, but what this one knows must be in it."""
    if head is None:
        return [message("ledger.head_missing", file=str(place))] if chain else []
    if not head.position:
        return [message("ledger.head_altered", file=str(place))]
    at = next((entry for entry in chain if entry.position == head.position), None)
    if at is None:
        return [message("ledger.end_cut", row=head.row, file=str(place))]
    if at.hash != head.hash:
        return [message("ledger.all_rewritten", row=at.row, file=str(place))]
    return []
