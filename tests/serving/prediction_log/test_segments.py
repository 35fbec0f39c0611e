"""Packed rows say what the rows in JSON say, whatever columns are private, hashed, missing or words."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from ml.exploration.policy import Action
from ml.predictions import packed
from serving.prediction_log import segments
from serving.prediction_log.records import Model, Predictions

NUMBERS, CATEGORIES, CLASSES = ("x", "y", "z"), ("c", "d"), ("no", "yes")


def model(*absent: str) -> Model:
    return Model("7", NUMBERS, CATEGORIES, CLASSES, absent, "ab" * 32, b"{}")


def record(n: int, *, hashed: bool = False, categories: bool = True, warned: bool = True) -> Predictions:
    rng = np.random.default_rng(n)
    numbers = rng.normal(size=(n, 3)).astype("<f4")
    numbers[0, 1] = np.nan
    positive = rng.uniform(size=n).astype("<f4")
    return Predictions(
        123.5,
        "7",
        [f"id {i}" for i in range(n)],
        numbers.tobytes(),
        [["ä", ""] if i % 2 else ["", "b"] for i in range(n)] if categories else [],
        ["yes"] * n,
        positive.tobytes(),
        np.stack([1 - positive, positive], axis=1).tobytes(),
        [["x is out of range"]] + [[]] * (n - 1) if warned else [],
        {"y": ["5f"] + [""] * (n - 1)} if hashed else {},
        tuple(f"who {i}" for i in range(n)) if hashed else (),
        (Action("approve", 0.9, None), *[None] * (n - 1)) if warned else (),
    )


@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("absent", [(), ("y",), ("x", "c"), ("x", "y", "z"), ("c", "d")], ids="-".join)
@pytest.mark.parametrize("hashed", [False, True])
@pytest.mark.parametrize("warned", [False, True])
def test_packed_rows_are_those_of_the_json(n: int, absent: tuple[str, ...], hashed: bool, warned: bool) -> None:
    one = record(n, hashed=hashed, warned=warned)
    layout, found = segments.packed_rows(one, model(*absent), 456.0)
    packed.learn([layout.content])
    for ours, theirs in zip(found, segments.rows(one, model(*absent)), strict=True):
        assert packed.inputs_of(ours.inputs) == theirs["inputs"]
        assert packed.probabilities_of(ours.probabilities, ours.inputs) == theirs["probabilities"]
        assert msgspec.json.decode(ours.flags) == theirs["flags"]
        same = {"prediction_id", "model_version", "model_sha256", "row_id", "label", "probability"}
        assert {name: getattr(ours, name) for name in same} == {name: theirs[name] for name in same}
        assert ours.time == 456.0
        told = {} if ours.followed is None else msgspec.structs.asdict(ours.followed) | {"told_at": None}
        assert told.get("action") == theirs.get("action")
        assert told.get("propensity") == theirs.get("propensity")


def test_a_model_without_categories_has_no_words() -> None:
    plain = Model("7", NUMBERS, (), CLASSES, (), "ab" * 32, b"{}")
    _, [row] = segments.packed_rows(record(1, categories=False), plain, 1.0)
    assert len(row.inputs) == packed.START + 4 * len(NUMBERS)
