"""The catalogue, the code that makes messages of it, and the Vietnamese of it: none knows what another does not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
from babel.messages.pofile import read_po

from ml.messages import Message, message
from ml.messages.catalogue import ROOMS, TEMPLATES, holes
from ml.messages.message import parsed
from tests.conftest import CHECKOUT

FOLDERS = ("ml", "serving", "dags", "plugins", "ops", "demo")
MADE_BY = {"message"}
PO = CHECKOUT / "serving" / "translations" / "vi" / "LC_MESSAGES" / "messages.po"


class Use(NamedTuple):
    """A call that makes a message: which codes, with which values (None: not all are written out)."""

    place: str
    codes: tuple[str, ...]
    values: frozenset[str] | None


def uses() -> Iterator[Use]:
    """Every call of `message` with a code."""
    for file in (file for folder in FOLDERS for file in sorted((CHECKOUT / folder).rglob("*.py"))):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MADE_BY and node.args:
                names = [keyword.arg for keyword in node.keywords]
                written = None if None in names else frozenset(name for name in names if name)
                yield Use(f"{file.relative_to(CHECKOUT)}:{node.lineno}", _constants(node.args[0]), written)


def _constants(node: ast.expr) -> tuple[str, ...]:
    match node:
        case ast.Constant(value=str(code)):
            return (code,)
        case ast.IfExp(body=body, orelse=other):
            return (*_constants(body), *_constants(other))
    return ()  # of a table of codes, which `test_every_code_is_used` sees


USES = tuple(uses())


def test_every_code_that_is_used_is_in_the_catalogue() -> None:
    """Else it fails when it is made, and only then."""
    assert USES
    assert [use for use in USES if any(code not in TEMPLATES for code in use.codes)] == []


def test_every_message_is_made_with_the_values_of_its_template() -> None:
    """As far as they are written out in the call; all are checked when it is made."""
    wrong = [use for use in USES for code in use.codes if use.values is not None and use.values != holes(code)]
    assert wrong == []


def test_every_code_is_used() -> None:
    """A code stands somewhere in the code as it is in the catalogue."""
    texts = {
        node.value
        for folder in FOLDERS
        for file in (CHECKOUT / folder).rglob("*.py")
        if not file.is_relative_to(CHECKOUT / "ml" / "messages")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert sorted(set(TEMPLATES) - texts) == []


def test_codes_are_named_by_their_room_and_each_is_of_one() -> None:
    """`gate.too_slow` is in `ml/messages/gate.py`."""
    for room in ROOMS:
        name = room.__name__.rpartition(".")[2]
        assert [code for code in room.TEMPLATES if not re.fullmatch(rf"{name}\.[a-z0-9_]+", code)] == []
    assert len(TEMPLATES) == sum(len(room.TEMPLATES) for room in ROOMS)


def test_every_template_has_a_vietnamese_one_with_the_same_holes() -> None:
    """With the formats of numbers; what joins a list is the language's. A template without words needs none."""
    with PO.open("rb") as file:
        known = {entry.id: str(entry.string) for entry in read_po(file)}
    for code, template in TEMPLATES.items():
        if re.search("[a-z]", re.sub(r"\{[^}]*\}", "", template), re.IGNORECASE):
            assert known.get(template), f"{code} has no Vietnamese"
            assert _holes(known[template]) == _holes(template), code


def _holes(template: str) -> list[tuple[str, str]]:
    number = re.compile(r",?(\.\d+)?[fg%]?")
    return sorted((n, spec if number.fullmatch(spec) else "") for _, n, spec in parsed(template) if n is not None)


def test_values_are_raw_and_plain() -> None:
    """NumPy's numbers become Python's, tuples lists: the record is JSON."""
    made = message("gate.too_slow", ms=np.float64(80), allowed=np.int64(50))
    assert made == Message("gate.too_slow", {"ms": 80.0, "allowed": 50}, "too slow: 80.0 ms a row, allowed 50 ms")
    assert [type(value) for value in made.values.values()] == [float, int]
    other = message("gate.other_classes", old=("no", "yes"), new=[1, "yes"])
    assert other.values == {"old": ["no", "yes"], "new": ["1", "yes"]}


def test_what_is_no_message_is_refused_where_it_is_made() -> None:
    """A wrong name or a missing value; a value that no JSON holds."""
    with pytest.raises(KeyError):
        message("gate.too_fast")
    with pytest.raises(TypeError, match=r"gate\.too_slow takes \['allowed', 'ms'\], got \['ms'\]"):
        message("gate.too_slow", ms=80)
    with pytest.raises(TypeError, match="not dict"):
        message("gate.not_servable", reason={})


def test_rooms_are_all_in_the_catalogue() -> None:
    """A module of templates that nobody reads would be one of dead sentences."""
    files = {file.stem for file in (CHECKOUT / "ml" / "messages").glob("[a-z]*.py")} - {
        "catalogue",
        "document",
        "message",
    }
    assert files == {room.__name__.rpartition(".")[2] for room in ROOMS}
