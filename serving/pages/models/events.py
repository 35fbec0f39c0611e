"""Lines of the ledger in the reader's words."""

from __future__ import annotations

from typing import Any

from serving.pages.i18n import formats
from serving.status.reader import LedgerEntry, Status


def ledger_row(entry: LedgerEntry) -> dict[str, Any]:
    """A ledger entry in the reader's words."""
    text, kind = formats.EVENTS.get(entry.what, (entry.what, ""))
    return {
        "when": formats.when(entry.time),
        "what": text,
        "kind": kind,
        "source": entry.from_version or "–",
        "to": entry.to_version or "–",
        "who": formats.WATCHERS.get(entry.who, entry.who),
        "why": entry.why,
    }


def outside(known: Status) -> dict[str, Any] | None:
    """The newest move where it was made in MLflow's registry, or the alias deleted there; None where it was ours."""
    newest = next((e for e in known.ledger if e.what in ("promoted", "rolled back", "alias deleted")), None)
    return ledger_row(newest) if newest is not None and newest.who == formats.IN_MLFLOW else None
