"""The manifest of a snapshot: where a table came from and what it holds. Light: commands import it."""

from __future__ import annotations

from typing import Literal

import msgspec

from ml.schema.findings import Finding
from ml.schema.schema import Schema


class Labelled(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the labelled production rows: how many were given, could not be used, and went to which part.

    `other_question` counts those that answer another question than what is trained, `same_id_judged` rows that are not
    trained on as others of their ids are judged on, `without_chance` those whose action gave no chance of the label
    that came, `added` those that are in the snapshot; `weighed`: these are weighed by inverse propensity.
    """

    given: int = 0
    other_question: int = 0
    repeated: int = 0
    unusable: int = 0
    same_id_judged: int = 0
    without_chance: int = 0
    added: int = 0
    weighed: bool = False
    train: int = 0
    validation: int = 0
    recent: int = 0
    time_range: tuple[str, str] | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Content of `<id>.json`: where the table came from and what it holds.

    `split` is "stratified", "time" or "group"; `parent` the
    id of the snapshot before; `report` what was noticed.
    """

    id: str
    sha256: str
    created: str
    rows: int
    columns: tuple[str, ...]
    classes: dict[str, int]
    parts: dict[str, int]
    seed: int
    parent: str | None = None
    time_range: tuple[str, str] | None = None
    report: tuple[Finding, ...] = ()
    schema: Schema
    source: dict[str, str] = {}
    split: Literal["stratified", "time", "group"] = "stratified"
    labelled: Labelled = Labelled()
