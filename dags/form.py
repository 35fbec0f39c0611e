"""The trigger form of `retrain`: typed, sectioned, and every empty field keeps what is configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param

from ml.settings import Settings, options
from ml.settings.options import RUN_OPTIONS, RunOption

_SHOWN = {"gate": "gate: only on evidence", "always": "always: whatever the gate says", "never": "never: register only"}
_TYPES = {"whole": "integer", "list": "array"}


def params(settings: Settings) -> dict[str, Param]:
    """Fields with their types, limits and what happens when they stay empty."""
    return {option.field: _param(option, settings) for option in RUN_OPTIONS if option.field}


def overrides(params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The filled-in fields as a nested mapping for `ml.settings.load`.

    >>> overrides({"max_evals": 5, "seed": None})
    {'tune': {'max_evals': 5}}
    """
    return options.overrides({option.name: params.get(option.field) for option in RUN_OPTIONS if option.field})


def _param(option: RunOption, settings: Settings) -> Param:
    texts = [option.help, option.note]
    if option.settings and option.kind != "choice":
        texts.append(f"Empty: as configured ({_configured(option, settings)}).")
    return Param(
        None,
        type=["null", _TYPES.get(option.kind, "string")],
        section=option.group,
        title=option.title,
        description=" ".join(filter(None, texts)),
        **_limits(option, settings),
    )


def _limits(option: RunOption, settings: Settings) -> dict[str, Any]:
    """What Airflow's form knows of a field beyond its type."""
    if option.kind == "choice":
        labels = {choice: _SHOWN[choice] for choice in option.choices if choice in _SHOWN}
        display = {None: f"as configured ({_configured(option, settings)})", **labels}
        return {"enum": [None, *option.choices], "values_display": display}
    if option.kind == "whole":
        return {"minimum": option.minimum, "maximum": option.maximum}
    if option.kind == "list":
        examples = list(settings.train.families)
        return {"items": {"type": "string"}, "minItems": 1, "uniqueItems": True, "examples": examples}
    if option.name == "target":
        return {"minLength": 1}  # an empty name is a mistake of whoever wrote it; the form itself sends null
    return {} if option.settings else {"format": "multiline", "maxLength": 2_000}


def _configured(option: RunOption, settings: Settings) -> str:
    section, _, key = option.settings[0].partition(".")
    value = getattr(getattr(settings, section), key)
    if isinstance(value, int):
        return f"{value:,}"
    return (", ".join(value) if isinstance(value, tuple) else value) or "none"
