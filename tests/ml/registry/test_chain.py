"""No row of the ledger changes, goes or comes without being named."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ml.messages import Message, message
from ml.registry import chain, ledger
from ml.settings import Settings, from_values


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A ledger of five rows."""
    found = from_values({"home": str(tmp_path)})
    for i in range(5):
        ledger.append(found, ledger.REGISTERED, who="ann", to_version=str(i), why="überprüft", numbers={"gain": 0.1})
    return found


def sql(settings: Settings, *statements: str) -> None:
    with closing(sqlite3.connect(settings.var / "refit.db")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def violations(settings: Settings) -> list[Message]:
    return chain.violations(settings, ledger.table)


def test_an_untouched_ledger_has_no_fault(settings: Settings) -> None:
    assert violations(settings) == []
    head = chain.read_head(settings)
    assert head is not None
    assert (head.position, head.row) == (5, 5)


@pytest.mark.parametrize("column", ["who", "what", "why", "to_version", "numbers", "time", "intention"])
def test_an_altered_cell_names_its_row_and_no_other(settings: Settings, column: str) -> None:
    sql(settings, f"UPDATE ledger SET {column} = 7 WHERE id = 3")
    assert violations(settings) == [message("ledger.row_altered", row=3)]


def rehash(settings: Settings, first: int) -> None:
    """What somebody would do who knows the chain: new hashes from a row on."""
    sql(settings, f"UPDATE ledger SET who = 'eve' WHERE id = {first}")
    with closing(sqlite3.connect(settings.var / "refit.db")) as connection, connection:
        connection.row_factory = sqlite3.Row
        for row in connection.execute("SELECT * FROM ledger WHERE id >= ? ORDER BY id", (first,)).fetchall():
            (previous,) = connection.execute("SELECT hash FROM ledger_chain WHERE row = ?", (row["id"] - 1,)).fetchone()
            made = chain.entry_hash(previous, dict(row))
            connection.execute(
                "UPDATE ledger_chain SET hash = ?, previous = ? WHERE row = ?", (made, previous, row["id"])
            )


@pytest.mark.parametrize(
    ("harm", "code", "values"),
    [
        (lambda s: sql(s, "DELETE FROM ledger WHERE id = 2"), "ledger.row_missing", {"row": 2}),
        (
            lambda s: sql(s, "DELETE FROM ledger WHERE id = 2", "DELETE FROM ledger_chain WHERE row = 2"),
            "ledger.rewritten", {"row": 1, "next": 3},
        ),
        (
            lambda s: sql(s, "DELETE FROM ledger WHERE id > 3", "DELETE FROM ledger_chain WHERE row > 3"),
            "ledger.end_cut", {"row": 5},
        ),
        (
            lambda s: sql(s, "DELETE FROM ledger WHERE id < 3", "DELETE FROM ledger_chain WHERE row < 3"),
            "ledger.beginning_removed", {"row": 3},
        ),
        (lambda s: rehash(s, 3), "ledger.all_rewritten", {"row": 5}),
        (
            lambda s: sql(s, "INSERT INTO ledger (time, who, what) VALUES (1, 'eve', 'promoted')"),
            "ledger.not_ours", {"row": 6},
        ),
        (lambda s: (s.var / chain.HEAD).unlink(), "ledger.head_missing", {}),
        (lambda s: (s.var / chain.HEAD).write_text("{"), "ledger.head_altered", {}),
    ],
    ids=["deleted", "deleted with its link", "tail cut", "front cut", "rehashed", "added", "no head", "torn head"],
)  # fmt: skip
def test_what_was_done_past_refit_is_named(
    settings: Settings, harm: Callable[[Settings], None], code: str, values: dict[str, int]
) -> None:
    harm(settings)
    (found,) = violations(settings)
    assert found.code == code
    assert found.values | values == found.values


def test_after_a_cut_the_ledger_takes_rows_again_and_still_tells(settings: Settings) -> None:
    """The same ids come again then: it must neither stop promotions nor heal by itself."""
    sql(settings, "DELETE FROM ledger WHERE id > 3")
    assert ledger.append(settings, ledger.PROMOTED, who="ann", to_version="4") == 4
    assert [fault for fault in violations(settings) if fault.values.get("row") in (4, 5)]


def test_rows_of_before_the_chain_are_taken_in(settings: Settings) -> None:
    sql(settings, "DELETE FROM ledger_chain")
    (settings.var / chain.HEAD).unlink()
    ledger.append(settings, ledger.PROMOTED, who="ann", to_version="4")
    assert violations(settings) == []
    sql(settings, "UPDATE ledger SET who = 'eve' WHERE id = 2")
    assert violations(settings) == [message("ledger.row_altered", row=2)]


def test_writers_at_once_make_one_chain(settings: Settings) -> None:
    def write(name: str) -> None:
        for _ in range(10):
            ledger.append(settings, ledger.REGISTERED, who=name)

    threads = [threading.Thread(target=write, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert violations(settings) == []
    assert len(ledger.events(settings)) == 45


def test_a_head_that_cannot_be_kept_does_not_undo_the_row(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(chain, "write_json", full)
    ledger.append(settings, ledger.PROMOTED, who="ann")
    assert "could not be kept" in caplog.text
    assert violations(settings) == [], "an older head is in the chain as well"
