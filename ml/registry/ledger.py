"""The ledger: every registration, verdict, promotion and rollback, with who, when and why. Rows are only added.

A move of the alias is two rows: an intention before it, and an outcome after it that names the intention.
An intention without an outcome is a move that was cut short; `ml.registry.reconcile` finishes it.
A version is its number, for people, and the hash of its bundle: another registry has the number too. Rows from before
the hashes were kept are told apart by the number alone.
Rows are chained by hashes (`ml.registry.chain`), so that an altered or removed one is noticed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa

from ml.messages import Message, Text
from ml.registry import chain
from ml.settings import Settings
from ml.storage import clock, database

# What happened. The first two are intentions, kept out of what people read.
PROMOTING = "promoting"
ROLLING_BACK = "rolling back"
REGISTERED = "registered"
SHADOW = "in shadow"
REFUSED = "refused"
PROMOTED = "promoted"
PROMOTION_FAILED = "promotion failed"
ROLLED_BACK = "rolled back"
ROLLBACK_FAILED = "rollback failed"
QUARANTINED = "quarantined"
RELEASED = "released from quarantine"
ALIAS_GONE = "alias deleted"  # in MLflow's registry: what served, serves on
NOT_COMPARED = "not compared"  # a promotion that cannot be watched beside what it replaced
NEW_CONTRACT = "new contract"  # the move before it changed what callers send or get: history stops here
NOT_SERVED = "not served"  # a service did not take over what the alias names: altered, not signed, does not load
INTENTIONS = (PROMOTING, ROLLING_BACK)
MOVES = (PROMOTED, PROMOTION_FAILED, ROLLED_BACK, ROLLBACK_FAILED)
SERVED = (PROMOTED, ROLLED_BACK)  # outcomes after which `to_version` serves

table = sa.Table(
    "ledger",
    database.metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("from_version", sa.Text, nullable=False, server_default=""),
    sa.Column("to_version", sa.Text, nullable=False, server_default=""),
    sa.Column("why", sa.Text, nullable=False, server_default=""),
    sa.Column("run_key", sa.Text, nullable=False, server_default=""),
    sa.Column("intention", sa.Integer, nullable=True),  # id of the row that this one is the outcome of
    sa.Column("model_name", sa.Text, nullable=False, server_default=""),
    # JSON: what the verdict rested on; "sha256": of both bundles; "message": `why` by code, where it is ours
    sa.Column("numbers", sa.Text, nullable=False, server_default="{}"),
    sa.Index("ledger_by_intention", "intention"),
)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One row. `time` is seconds since 1970 UTC; versions are "" where there is none, hashes where they are not known.

    `message` is what `why` says in English, by code; None where that is in a person's words alone.
    """

    id: int
    time: float
    who: str
    what: str
    from_version: str = ""
    to_version: str = ""
    from_sha256: str = ""  # of the bundles
    to_sha256: str = ""
    why: str = ""
    run_key: str = ""
    intention: int | None = None
    model_name: str = ""
    numbers: dict[str, Any] = {}
    message: Message | None = None

    def is_to(self, version: str, sha256: str) -> bool:
        """Whether it is about this very version."""
        return same((self.to_version, self.to_sha256), (version, sha256))

    @property
    def because(self) -> Text:
        """Why, by code where it is a sentence of ours."""
        return self.message or self.why


def same(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two are one version: of one number and, where both say it, of one bundle.

    >>> same(("1", "ab"), ("1", "cd")), same(("1", "ab"), ("1", ""))
    (False, True)
    """
    return one[0] == other[0] and (one[1] == other[1] or not (one[1] and other[1]))


def append(
    settings: Settings,
    what: str,
    *,
    who: str,
    why: Text = "",
    from_version: str = "",
    to_version: str = "",
    from_sha256: str = "",
    to_sha256: str = "",
    run_key: str = "",
    intention: int | None = None,
    numbers: dict[str, Any] | None = None,
) -> int:
    """Add a row; returns its id.

    Parameters
    ----------
    what
        One of the words above.
    who, why
        A person or a part of Refit; a reason in their words, or by code.
    from_version, to_version, from_sha256, to_sha256
        "" where there is none; the hashes of their bundles.
    intention
        The id of the row that this one is the outcome of.
    numbers
        JSON-able: what it rests on.

    Raises
    ------
    StoreUnavailable
        The database does not answer: nothing was written.
    """
    facts = {**(numbers or {}), **({"message": msgspec.to_builtins(why)} if isinstance(why, Message) else {})}
    if from_sha256 or to_sha256:
        facts["sha256"] = [from_sha256, to_sha256]
    values = {
        "time": clock.now(settings),
        "who": who,
        "what": what,
        "from_version": from_version,
        "to_version": to_version,
        "why": str(why),
        "run_key": run_key,
        "intention": intention,
        "model_name": settings.registry.model_name,
        "numbers": json.dumps(facts, default=str),
    }
    engine = database.engine(settings)
    with database.unavailable_as_transient(), engine.begin() as connection:
        chain.begin(connection)
        key = connection.execute(table.insert().values(values)).inserted_primary_key
        assert key is not None  # an INSERT of one row has one
        head = chain.link(connection, table, int(key[0]))
    chain.keep_head(settings, head)
    return head.row


def events(
    settings: Settings, *, limit: int | None = None, what: Iterable[str] = (), run_key: str | None = None
) -> list[Event]:
    """Rows of this model, newest first; intentions only when asked for by name.

    Parameters
    ----------
    limit
        At most so many; None: all.
    what
        Kinds of events; none: every kind but intentions.
    run_key
        Of one run; None: of all.
    """
    query = sa.select(table).where(table.c.model_name == settings.registry.model_name).order_by(table.c.id.desc())
    wanted = list(what)
    query = query.where(table.c.what.in_(wanted) if wanted else table.c.what.not_in(INTENTIONS))
    if run_key is not None:
        query = query.where(table.c.run_key == run_key)
    return _read(settings, query.limit(limit) if limit is not None else query)


def open_intention(settings: Settings) -> Event | None:
    """The newest intention that has no outcome, or None."""
    outcome = table.alias("outcome")
    query = (
        sa.select(table)
        .where(table.c.model_name == settings.registry.model_name, table.c.what.in_(INTENTIONS))
        .where(~sa.exists().where(outcome.c.intention == table.c.id))
        .order_by(table.c.id.desc())
        .limit(1)
    )
    newest = _read(settings, query)
    return newest[0] if newest else None


def newest_move(settings: Settings) -> Event | None:
    """The move that brought what serves, as far as the ledger knows; None before the first promotion."""
    return next(iter(events(settings, limit=1, what=SERVED)), None)


def serving(settings: Settings) -> str:
    """The version that the ledger knows to serve; "" before the first promotion."""
    newest = newest_move(settings)
    return newest.to_version if newest is not None else ""


def served_before(settings: Settings, version: str, sha256: str) -> list[tuple[str, str]]:
    """Versions that really served before `version` came to serve, each with the hash of its bundle ("": not kept).

    Most recent first, each once.
    """
    order: list[tuple[str, str]] = []
    for event in events(settings, what=SERVED):  # newest first
        for one in ((event.to_version, event.to_sha256), (event.from_version, event.from_sha256)):
            if one[0] and not (order and same(order[-1], one)):
                order.append(one)
    here = (version, sha256)
    at = next((i for i, one in enumerate(order) if same(one, here)), -1)
    found: list[tuple[str, str]] = []
    for one in order[at + 1 :]:
        if not any(same(one, known) for known in (here, *found)):
            found.append(one)
    return found


def _read(settings: Settings, query: Any) -> list[Event]:
    engine = database.engine(settings)
    with database.unavailable_as_transient(), engine.connect() as connection:
        rows = connection.execute(query).mappings().all()
    return [_event(dict(row)) for row in rows]


def _event(row: dict[str, Any]) -> Event:
    numbers = json.loads(row["numbers"])
    message, (old, new) = numbers.pop("message", None), numbers.pop("sha256", None) or ("", "")
    known = {"numbers": numbers, "from_sha256": old, "to_sha256": new}
    return Event(**row | known, message=msgspec.convert(message, Message | None))
