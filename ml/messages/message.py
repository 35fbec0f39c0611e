"""A message: a code with values, and the English text they give."""

from __future__ import annotations

import functools
import string
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from ml.commands import spoken
from ml.messages.dates import told


class Message(msgspec.Struct, frozen=True):
    """A sentence of ours. `values` are raw, JSON-able, and named as the holes of the code's template.

    >>> str(Message("gate.too_slow", {"ms": 80.0, "allowed": 50.0}, "too slow: 80.0 ms a row, allowed 50 ms"))
    'too slow: 80.0 ms a row, allowed 50 ms'
    """

    code: str
    values: dict[str, Value]
    text: str

    def __str__(self) -> str:
        return self.text

    def __hash__(self) -> int:
        return hash((self.code, self.text))


Value: TypeAlias = str | int | float | bool | Message | list[str | Message] | None
Text: TypeAlias = Message | str  # a sentence of ours, or a person's own words


def english(value: Any) -> Any:
    """What `msgspec.to_builtins` made of a record, with every message as its English text.

    >>> english({"reasons": [{"code": "gate.no_rows", "values": {}, "text": "no labelled rows to judge on"}, "mine"]})
    {'reasons': ['no labelled rows to judge on', 'mine']}
    """
    match value:
        case {"code": str(), "values": {}, "text": str(text), **rest} if not rest:
            return text
        case dict():
            return {key: english(item) for key, item in value.items()}
        case list():
            return [english(item) for item in value]
        case _:
            return value


def code_of(text: Text) -> str:
    """The code of a sentence of ours; "" for a person's words."""
    return text.code if isinstance(text, Message) else ""


def N_(text: str) -> str:
    """Mark for the catalogue of translations; the text itself stays as it is."""
    return text


@functools.cache
def parsed(template: str) -> tuple[tuple[str, str | None, str], ...]:
    """Of a template: (text before a hole, the hole's name or None at the end, its format specification).

    >>> parsed("too slow: {ms:.1f} ms")
    (('too slow: ', 'ms', '.1f'), (' ms', None, ''))
    """
    return tuple((text, name, spec or "") for text, name, spec, _ in string.Formatter().parse(spoken(template)))


def fill(
    template: str,
    values: Mapping[str, Any],
    *,
    translate: Callable[[Text], str] = str,
    localise: Callable[[str], str] = str,
    date: Callable[[str], str] = told,
) -> str:
    """A template with its holes filled.

    Parameters
    ----------
    translate
        A message or a person's words in the reader's language.
    localise
        A number as Python writes it, with the reader's signs.
    date
        A date of ISO 8601 as the reader writes it: what stands in a hole like `{first:date}`.

    Raises
    ------
    KeyError, ValueError, TypeError
        The values are not those of the template.

    >>> fill("{n:,} rows: {reasons:; }", {"n": 1200, "reasons": ["too slow", "too large"]})
    '1,200 rows: too slow; too large'
    """

    def filled(name: str, spec: str) -> str:
        match values[name]:
            case list() as several:
                return spec.join(map(translate, several))
            case str() as text if spec == "date":
                return date(text)
            case Message() | str() as text:
                return translate(text)
            case number:
                return localise(format(number, spec))

    return "".join(text + (filled(name, spec) if name is not None else "") for text, name, spec in parsed(template))
