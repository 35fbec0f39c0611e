"""refit.toml from the declarations in `ml.settings`: `python -m ml.settings.toml > refit.toml`.

The comments beside the fields are the file's comments, so that both say the same; a test compares them.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec

from ml.settings import Section, Settings

_WIDTH = 110  # of a line of refit.toml
_HEAD = """\
# Refit's settings. Everything stands at its default: change what you need, delete the rest if you like.
#
# The environment is laid over this file: REFIT_<SECTION>__<KEY>, for example REFIT_DATA__TARGET=Churn,
# and REFIT_<KEY> for a key outside of a section. Lists are comma-separated there, or JSON.
# An unknown key is an error that names it. Your own table: docs/own-data.md.
# REFIT_HOME (environment only) is where data/, models/ and var/ are made; REFIT_CONFIG names another file.
"""


def render(settings: Settings | None = None) -> str:
    """The text of refit.toml: every setting with its comment, at its default or as `settings` has it."""
    settings = settings or Settings()
    parts = [_HEAD, "\n".join(_keys(settings, skip={"home", *sections(settings)}))]
    for name, section in sections(settings).items():
        title = textwrap.fill(inspect.getdoc(section) or "", _WIDTH, initial_indent="# ", subsequent_indent="# ")
        parts.append(f"{title}\n[{name}]\n" + "\n".join(_keys(section)))
    return "\n".join(f"{part.rstrip()}\n" for part in parts)


class Declaration(NamedTuple):
    """One setting as it is declared: its name, its value as TOML ("" where it has none), and what it means."""

    name: str
    value: str
    note: str


def declarations(section: Section, skip: set[str] | None = None) -> Iterator[Declaration]:
    """The settings of a section, with the values that it has."""
    kind = type(section)
    comments, hints = _comments(kind), get_type_hints(kind)
    for field in msgspec.structs.fields(kind):
        if field.name in (skip or ()):
            continue
        notes = [comments.get(field.name, "")]
        options = [option for option in get_args(hints[field.name]) if isinstance(option, str)]
        if options:
            notes.insert(0, "one of " + ", ".join(f'"{option}"' for option in options))
        value = getattr(section, field.name)
        yield Declaration(field.name, "" if value is None else _value(value), "; ".join(filter(None, notes)))


def sections(settings: Settings) -> dict[str, Section]:
    """Name → section, in the order of the file."""
    found = ((f.name, getattr(settings, f.name)) for f in msgspec.structs.fields(Settings))
    return {name: section for name, section in found if isinstance(section, Section)}


def _keys(section: Section, skip: set[str] | None = None) -> Iterator[str]:
    for name, value, note in declarations(section, skip):
        line = f"{name} = {value}" if value else f"# {name} = []"
        if note and len(line) + len(note) + 4 > _WIDTH:
            yield textwrap.fill(note, _WIDTH, initial_indent="# ", subsequent_indent="# ")
            yield line
        else:
            yield f"{line}  # {note}" if note else line


def _comments(kind: type[Section]) -> dict[str, str]:
    """Field → the comment on its line, read from the class's source."""
    source = textwrap.dedent(inspect.getsource(kind))
    lines = source.splitlines()
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    values = {}
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.end_lineno:
            rest = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode().strip()
            values[node.target.id] = rest.removeprefix("#").strip()
    return values


def _value(value: Any) -> str:
    """As TOML; JSON's text, number and list forms are TOML's too."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {_value(item)}' for key, item in value.items()) + " }" if value else "{}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:_}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return repr(value)
    return msgspec.json.encode(value).decode()


if __name__ == "__main__":
    sys.stdout.write(render())
