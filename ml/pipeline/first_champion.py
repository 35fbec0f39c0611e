"""The outcome of a run that ends without a champion: what was decided, and what a first champion would need."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml.settings import Settings


def without_champion(settings: Settings, judged: Mapping[str, Any], version: str) -> str:
    """Lines for a person.

    Parameters
    ----------
    judged
        The record of `evaluate`, JSON-able.
    version
        What was registered, "" for nothing.
    """
    lines = [str(judged.get("sentence", "")), "Nothing is served: there is no champion."]
    if needed := _needed(settings, settings.home / str(judged.get("bundle", ""))):
        lines.append(f"Needed: {needed}")
    if version:
        lines.append(f"Or decide yourself: python -m ml promote --version {version} --reason …")
    return "\n".join(line for line in lines if line)


def _needed(settings: Settings, bundle: Path) -> str:
    """How many rows would show the gain over the class shares, were it to stay as it is; "" where that is not known.

    The distance of mean and lower bound falls with the root of the rows.
    """
    try:
        gate, metrics = (json.loads((bundle / name).read_text()) for name in ("gate.json", "metrics.json"))
        gain = gate["numbers"]["floor_gain"]
        mean, lower, rows = float(gain["mean"]), float(gain["lower"]), int(gain["rows"])
        rarest = min(sum(row) for row in metrics["confusion"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    floor = settings.gate.floor_gain
    if lower > floor:
        return ""
    judged = f"it was judged on {rows:,} rows, {rarest:,} of the rarest class"
    if mean <= floor:
        return f"columns that tell more of the target; more rows alone would not do ({judged})"
    factor = ((mean - lower) / (mean - floor)) ** 2
    more = math.ceil(rows * factor)
    return (
        f"about {more:,} labelled rows to judge on, {math.ceil(rarest * factor):,} of the rarest class, if its gain "
        f"stays as it is ({judged}; an estimate)"
    )
