"""The loop in process: labels come when they come, and what is unknown costs the most."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml import predictions
from ml.data import generate
from ml.drift.verdict import DriftVerdict
from ml.replay import loop
from ml.replay.loop import FIRST, Outcome, costs_of
from ml.schema.schema import ANSWERED, PREDICTION_ID
from tests.ml.replay.tables import WINDOWS, stream


def test_each_row_is_answered_once_and_the_turn_is_learned(tmp_path: Path) -> None:
    played = stream(tmp_path)
    outcome = loop.refit(played, loop.fit(played.settings, generate(played.settings), "1"))
    assert [len(part) for part in outcome.predicted] == [200] * (WINDOWS - FIRST)
    assert outcome.retrainings == sum(step.promoted is not None for step in outcome.steps) > 0
    right = [(part == played.labels(window)).mean() for window, part in enumerate(outcome.predicted, FIRST)]
    assert right[1] > 0.85
    assert right[2] < 0.2, "the world has turned, and nobody knows yet"
    assert right[-1] > 0.85


def test_labels_that_have_not_come_are_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of no window before the last: no check has a label to judge by."""
    judged: list[bool] = []
    decide = loop.retraining_decision.decide

    def watched(settings: object, verdict: DriftVerdict) -> DriftVerdict:
        judged.append(verdict.signals.judged)
        return decide(settings, verdict)  # type: ignore[arg-type]

    monkeypatch.setattr(loop.retraining_decision, "decide", watched)
    played = stream(tmp_path, arrives=[WINDOWS] * WINDOWS)
    loop.refit(played, loop.fit(played.settings, generate(played.settings), "1"))
    assert judged == [False] * (WINDOWS - FIRST)


@pytest.mark.parametrize("fraction", [0.0, 0.0000002, 0.0000005, 0.0000009, 0.1234567])
def test_rows_are_learned_from_in_their_order_whenever_it_is_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fraction: float
) -> None:
    """Moments are compared by microseconds; two rows of one would change places, and figures their last digit."""
    played = stream(tmp_path)
    model = loop.fit(played.settings, generate(played.settings), "1")
    monkeypatch.setattr(loop.time, "time", lambda: 1_795_803_000.0 + fraction)
    _, ids = loop.answer(played, model, FIRST)
    loop.label(played, ids, played.labels(FIRST))
    rows = predictions.labelled(played.settings, rows=1_000)
    moments = rows[ANSWERED].dt.tz_localize(None).astype("datetime64[us]")
    assert rows[PREDICTION_ID].tolist() == ids
    assert moments.is_monotonic_increasing
    assert moments.is_unique


def test_nobody_is_alerted_of_the_past_and_the_cool_down_of_hours_is_off(tmp_path: Path) -> None:
    drift = stream(tmp_path, drift={"webhook_url": "http://127.0.0.1:9/alerts", "label_rows": 777}).settings.drift
    assert (drift.webhook_url, drift.cooldown_s, drift.cooldown_max_s, drift.label_rows) == ("", 0.0, 0.0, 777)


def test_a_label_that_a_model_does_not_know_costs_the_most(tmp_path: Path) -> None:
    played = stream(tmp_path)
    model = loop.fit(played.settings, generate(played.settings), "1")
    played.windows[FIRST] = played.windows[FIRST].assign(y="maybe")
    outcome = Outcome()
    outcome.add(played, model, FIRST, np.full((200, 2), 0.5))
    assert outcome.losses[0].min() > np.log(2) * 5


@pytest.mark.parametrize(("codes", "cost"), [([0, 0], 1.0), ([1, 1], 4.0), ([1, 0], 5.0), ([-1, 0], 1.0)])
def test_each_row_is_answered_with_the_class_of_the_least_expected_cost(codes: list[int], cost: float) -> None:
    """The first row with class 0 (.1 × 4 < .9 × 1), the second with class 1 (.8 × 1 < .2 × 4 is wrong by a hair)."""
    p = np.array([[0.9, 0.1], [0.79, 0.21]])
    assert costs_of(p, np.array(codes), np.array([[0.0, 1.0], [4.0, 0.0]])) == cost


def test_records_have_none_for_what_is_missing(tmp_path: Path) -> None:
    played = stream(tmp_path)
    model = loop.fit(played.settings, generate(played.settings), "1")
    frame = pd.DataFrame({"x": ["", "1.5"], "z": ["2", "3"]})
    assert loop._inputs(frame, model)[0] == {"x": None, "z": 2.0}
