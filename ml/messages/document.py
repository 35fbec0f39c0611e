"""A document of messages: headings, paragraphs, list items and tables, as Markdown in the reader's language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Literal

import msgspec

from ml.messages.message import Text

Kind = Literal["heading", "text", "item", "table"]


class Block(msgspec.Struct, frozen=True):
    """A part of a document. `rows` is one cell, but of a table, whose first row is its head.

    Texts of others stand in it with Markdown's own signs escaped.
    """

    kind: Kind
    rows: list[list[Text]]


Document = list[Block]


def block(kind: Literal["heading", "text", "item"], text: Text) -> Block:
    """A part with one text."""
    return Block(kind, [[text]])


def markdown(document: Sequence[Block], translate: Callable[[Text], str] = str) -> str:
    """The document with each of its texts translated, by itself in English.

    >>> markdown([block("heading", "Data"), block("item", "a"), block("item", "b"), Block("table", [["n"], ["1"]])])
    '## Data\\n\\n- a\\n- b\\n\\n| n |\\n|---|\\n| 1 |\\n'
    """
    parts = []
    for kind, blocks in groupby(document, key=lambda one: one.kind):
        translated = [[[translate(cell) for cell in row] for row in section.rows] for section in blocks]
        match kind:
            case "item":
                parts.append("\n".join(f"- {rows[0][0]}" for rows in translated))
            case "heading":
                parts += [f"## {rows[0][0]}" for rows in translated]
            case "text":
                parts += [rows[0][0] for rows in translated]
            case "table":
                parts += [_table(rows) for rows in translated]
    return "\n\n".join(parts) + "\n"


def _table(rows: list[list[str]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])
