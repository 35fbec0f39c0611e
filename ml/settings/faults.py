"""What is wrong with settings, for people: the place that says it, the setting, what was expected, what came."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from ml.errors import SettingsError
from ml.messages import Message, Text, message
from ml.settings.sections import Section, Settings

# What msgspec calls the kinds of JSON and TOML.
KINDS = {
    "int": message("settings.kind_whole"),
    "float": message("settings.kind_number"),
    "str": message("settings.kind_text"),
    "bool": message("settings.kind_flag"),
    "array": message("settings.kind_list"),
    "object": message("settings.kind_table"),
}
PYTHON = {int: "int", float: "float", str: "str", bool: "bool", list: "array", tuple: "array", dict: "object"}
SHOWN_CHARACTERS = 60  # of a value; our choice
_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):[^@\s]*@")


class Layer(NamedTuple):
    """Settings from one place; `place` is the file, or empty where the settings' own names say enough."""

    place: Path | str
    values: Mapping[str, Any]


def environment_layers(values: Mapping[str, Any]) -> list[Layer]:
    """What variables say, each a place by its own name."""
    layers = []
    for name, value in values.items():
        if _hint([name], section=True) is not Settings:
            variable = f"REFIT_{name.upper()}__"
            layers += [Layer(variable + key.upper(), {name: {key: one}}) for key, one in value.items()]
        else:
            layers.append(Layer(f"REFIT_{name.upper()}", {name: value}))
    return layers


def fault(error: str, values: Mapping[str, Any], layers: Sequence[Layer]) -> SettingsError:
    """The error for people.

    Parameters
    ----------
    error
        What msgspec says of the values.
    values
        The layers laid over each other.
    layers
        Where they came from, the strongest last; may be empty.
    """
    found = re.fullmatch(r"(.*?)(?: - at `\$\.?(.*)`)?", error, re.DOTALL)
    what, name = (found[1], found[2] or "") if found else (error, "")
    path = [part.strip("[]") for part in re.findall(r"\[[^]]*\]|[^.\[]+", name)]
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", what):
        return _unknown_name([*path, unknown[1]], values, layers)
    if kind := re.fullmatch(r"(?:Expected `(.*)`, got `(.*)`|Invalid enum value .*)", what):
        path = _named(path, kind[2] or "", values)
        return placed(_other_kind(path, kind[1] or "", values), path, layers)
    return SettingsError(message("settings.wrong", error=what))


def _unknown_name(path: Sequence[str], values: Mapping[str, Any], layers: Sequence[Layer]) -> SettingsError:
    """There is no setting, or no section, of the name that `path` ends with: also the one that may be meant."""
    *sections, wrong = path
    name = _place_of(path, layers) or ".".join(path)
    if sections:
        why = message("settings.no_setting_in", name=name, setting=wrong, section=".".join(sections))
    elif isinstance(values.get(wrong), Mapping):
        why = message("settings.no_section", name=name, section=wrong)
    else:
        why = message("settings.no_setting", name=name, setting=wrong)
    return SettingsError(did_you_mean(why, wrong, _hint(sections, section=True)))


def did_you_mean(why: Message, name: str, owner: type) -> Message:
    """`why`, with the name of the `owner`'s that is nearest to `name`, where one is near."""
    near = difflib.get_close_matches(name, set(get_type_hints(owner)) - {name}, n=1)
    return message("settings.did_you_mean", why=why, near=near[0]) if near else why


def placed(what: Message, path: Sequence[str], layers: Sequence[Layer]) -> SettingsError:
    """The fault `what` of the setting at `path`, with that of the `layers` which says it."""
    place = _place_of(path, layers)
    return SettingsError(message("settings.at", place=place, what=what) if place else what)


def _place_of(path: Sequence[str], layers: Sequence[Layer]) -> str:
    """The last place that says something of this setting, which wins; empty where none is known."""
    setting = path[:2]
    return next((str(one.place) for one in reversed(layers) if _value(setting, one.values) is not _ABSENT), "")


def _named(path: Sequence[str], kind: str, values: Mapping[str, Any]) -> list[str]:
    """The path with the key that msgspec writes as `...`: the first whose value is of this kind."""
    named: list[str] = []
    for part in path:
        inside = _value(named, values)
        if part == "..." and isinstance(inside, Mapping):
            part = next((key for key, one in inside.items() if PYTHON.get(type(one)) == kind), part)
        named.append(part)
    return named


def _other_kind(path: Sequence[str], expected: str, values: Mapping[str, Any]) -> Message:
    hint, name, value = _hint(path), ".".join(path), _value(path, values)
    if get_origin(hint) is Literal and not isinstance(value, Mapping | list | tuple):
        allowed = list(map(str, get_args(hint)))
        return message("settings.not_one_of", setting=name, got=_short(str(value)), allowed=allowed)
    kinds = [KINDS[kind] for kind in expected.split(" | ") if kind in KINDS] or [KINDS["str"]]
    return message("settings.other_kind", setting=name, expected=kinds, got=_shown(value))


_ABSENT = object()


def _value(path: Sequence[str], values: Any) -> Any:
    """What stands there; `_ABSENT` where nothing does."""
    for name in path:
        if isinstance(values, Mapping) and name in values:
            values = values[name]
        elif isinstance(values, list | tuple) and name.isdigit() and int(name) < len(values):
            values = values[int(name)]
        else:
            return _ABSENT
    return values


def _shown(value: Any) -> Text:
    """As its file has it; of what holds several values, which may be secrets, its kind alone."""
    if isinstance(value, Mapping | list | tuple):
        return KINDS["object" if isinstance(value, Mapping) else "array"]
    return _short(repr(value) if isinstance(value, str) else str(value).lower())


def _short(text: str) -> str:
    """A value as messages may show it: an address without its password."""
    text = _PASSWORD.sub(r"\1:***@", text)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def _hint(path: Sequence[str], *, section: bool = False) -> Any:
    """The declared type of a setting; with `section` that of a section, else `Settings`."""
    hint: Any = Settings
    for name in path:
        hint = get_type_hints(hint).get(name) if isinstance(hint, type) and issubclass(hint, Section) else None
    known = isinstance(hint, type) and issubclass(hint, Section)
    return hint if known or not section else Settings
