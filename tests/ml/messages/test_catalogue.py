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
    """`gate.too_slow` is in `ml/messages/templates/gate.py`."""
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
    files = {file.stem for file in (CHECKOUT / "ml" / "messages" / "templates").rglob("[a-z]*.py")}
    assert files == {room.__name__.rpartition(".")[2] for room in ROOMS}


TOLD_TO_PEOPLE = frozenset({"RefitError"})  # and whatever is made of it
FINDINGS = frozenset(
    {"report", "place"}
)  # what a data-quality finding is added to; what an error of a table is made by
ALLOWED: dict[str, str] = {}  # place of a text without a code → why


def errors() -> frozenset[str]:
    """The names of every error class that reaches people."""
    made: dict[str, set[str]] = {}
    for tree in CODE.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                made.setdefault(node.name, set()).update(name for base in node.bases if (name := _last(base)))
    found = set(TOLD_TO_PEOPLE)
    while more := {name for name, bases in made.items() if bases & found} - found:
        found |= more
    return frozenset(found)


def _last(node: ast.expr) -> str:
    """The last name of `a.b.name`; "" where it is none."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _is_text(node: ast.expr, known: frozenset[str]) -> bool:
    """Whether a value is words made in the code: not a message, nor what another said."""
    match node:
        case ast.Constant(value=str(words)):
            return " " in words
        case ast.JoinedStr():
            return True
        case ast.BinOp(left=left, right=right) | ast.IfExp(body=left, orelse=right):
            return _is_text(left, known) or _is_text(right, known)
        case ast.Call(func=ast.Attribute(attr="join" | "format" | "replace")):
            return True
        case ast.List(elts=several) | ast.Tuple(elts=several):
            return any(_is_text(one, known) for one in several)
        case ast.Name(id=name):
            return name in known
    return False


def _texts_of(function: ast.AST) -> frozenset[str]:
    """The names that a function gives words made in it."""
    return frozenset(
        target.id
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and _is_text(node.value, frozenset())
        for target in node.targets
        if isinstance(target, ast.Name)
    )


def _told(call: ast.Call, told: frozenset[str]) -> list[ast.expr]:
    """What a call hands to people: as an error, a finding, an alert, a row of the ledger."""
    given = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "why")]
    match call.func:
        case ast.Attribute(value=owner, attr="warn" | "info" | "error"):
            return given if _last(owner) in FINDINGS else []
        case ast.Attribute(value=owner, attr="send" | "append"):  # after the settings and the kind
            return given[2:] if _last(owner) in ("alerts", "ledger") else []
    return given if _last(call.func) in told else []


CODE = {
    file: ast.parse(file.read_text(encoding="utf-8"))
    for folder in ("ml", "serving", "dags", "plugins")
    for file in sorted((CHECKOUT / folder).rglob("*.py"))
}


def test_what_people_are_told_is_told_by_code() -> None:
    """No error for people, finding, alert or ledger row is made of words: no page could translate it, no machine tell
    it apart. Errors of Python's own (TypeError, ValueError …) are for developers, and stay words."""
    told = errors()
    assert {"Problem", "DataError", "TensorError", "BundleError"} <= told
    bare = set()
    for file, tree in CODE.items():
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        for place in (tree, *functions):
            known = frozenset() if place is tree else _texts_of(place)
            for node in ast.walk(place):
                if isinstance(node, ast.Call) and any(_is_text(value, known) for value in _told(node, told)):
                    bare.add(f"{file.relative_to(CHECKOUT)}: {ast.unparse(node)[:80]}")
    assert sorted(bare - set(ALLOWED)) == []
    assert sorted(set(ALLOWED) - bare) == []
