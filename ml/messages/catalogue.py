"""The catalogue: the English templates of all rooms by code, and what makes a message of one."""

from __future__ import annotations

import functools
import numbers
from types import NoneType
from typing import Any

from ml.messages.message import Message, Text, Value, fill, parsed
from ml.messages.templates import (
    bundle,
    card,
    drift,
    evaluation,
    gate,
    ledger,
    release,
    retraining,
    settings,
    training,
)
from ml.messages.templates.service import connections, engine, http, protocols, requests
from ml.messages.templates.tables import data, exploration, files, findings, replay, rows

PLAIN = frozenset({str, int, float, bool, NoneType, Message})  # what a record holds as it is
ROOMS = (
    bundle,
    card,
    drift,
    evaluation,
    gate,
    ledger,
    release,
    retraining,
    settings,
    training,
    connections,
    engine,
    http,
    protocols,
    requests,
    data,
    exploration,
    files,
    findings,
    replay,
    rows,
)
TEMPLATES: dict[str, str] = {code: template for room in ROOMS for code, template in room.TEMPLATES.items()}


@functools.cache
def holes(code: str) -> frozenset[str]:
    """The names of the values that a code's template takes.

    >>> sorted(holes("gate.too_slow"))
    ['allowed', 'ms']
    """
    return frozenset(name for _, name, _ in parsed(TEMPLATES[code]) if name is not None)


@functools.cache
def _has_dates(code: str) -> bool:
    return any(spec == "date" for _, _, spec in parsed(TEMPLATES[code]))


def message(code: str, **values: Any) -> Message:
    """Make a message.

    Parameters
    ----------
    values
        Those of the code's template: texts, numbers (NumPy's too), messages, or lists of texts and messages.

    Raises
    ------
    KeyError
        There is no such code.
    TypeError
        The values are not those of its template.

    >>> message("gate.too_slow", ms=80, allowed=50.0).text
    'too slow: 80.0 ms a row, allowed 50 ms'
    """
    if values.keys() != holes(code):
        raise TypeError(f"{code} takes {sorted(holes(code))}, got {sorted(values)}")
    plain = {name: value if type(value) in PLAIN else _plain(value) for name, value in values.items()}
    if list in map(type, plain.values()) or _has_dates(code):
        return Message(code, plain, fill(TEMPLATES[code], plain))
    return Message(code, plain, TEMPLATES[code].format_map(plain))  # as `fill`, in a tenth of its time


def moved(text: Text, old: str, new: str) -> Text:
    """A message that names a file's place, with another name of that place.

    Parameters
    ----------
    old, new
        Parts of the values' texts: every `old` becomes `new`, in messages and lists within the values too.

    >>> moved(message("bundle.link", file="/tmp/x/a"), "/tmp/x", "bundle 12ab").text
    'bundle 12ab/a: a symbolic link has no place in a bundle'
    """
    if not isinstance(text, Message):
        return text

    def there(value: Any) -> Any:
        match value:
            case str():
                return value.replace(old, new)
            case Message():
                return moved(value, old, new)
            case list():
                return [there(one) for one in value]
        return value

    return message(text.code, **{name: there(value) for name, value in text.values.items()})


def _plain(value: Any) -> Value:
    """As JSON has it: no tuples, no numbers of NumPy."""
    match value:
        case bool():
            return value
        case str():
            return str(value)
        case numbers.Integral():
            return int(value)
        case numbers.Real():
            return float(value)
        case list() | tuple():
            return [item if isinstance(item, Message) else str(item) for item in value]
        case _:
            raise TypeError(f"a message holds texts, numbers, messages and lists of them, not {type(value).__name__}")
