"""A document as Markdown."""

from __future__ import annotations

import msgspec

from ml.messages import message
from ml.messages.document import Block, Document, block, markdown

NO_ROWS = message("gate.no_rows")
PARTS = [
    block("heading", "Data"),
    block("text", "first"),
    block("text", "second"),
    block("item", NO_ROWS),
    block("item", "b"),
    Block("table", [["name", NO_ROWS], ["x", "1"], ["y", "2"]]),
    block("heading", "Limits"),
]


def test_paragraphs_are_apart_and_items_together() -> None:
    """A table has its head first."""
    assert markdown(PARTS) == (
        f"## Data\n\nfirst\n\nsecond\n\n- {NO_ROWS}\n- b\n\n"
        f"| name | {NO_ROWS} |\n|---|---|\n| x | 1 |\n| y | 2 |\n\n## Limits\n"
    )


def test_each_text_is_translated_by_itself() -> None:
    """The page of another language asks so."""
    told = markdown(PARTS, lambda text: text if isinstance(text, str) else text.code)
    assert told.count("gate.no_rows") == 2


def test_it_comes_back_from_json_whole() -> None:
    """The bundle keeps it."""
    assert msgspec.json.decode(msgspec.json.encode(PARTS), type=Document) == PARTS
