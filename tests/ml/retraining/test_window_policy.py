"""Which rows a retraining learns from: labelled ones, each once, and never those of its gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from ml import data, predictions
from ml.data.snapshot import Snapshot
from ml.drift import verdict_history
from ml.drift.verdict import DriftVerdict, FreshModelProbe, Rehearsal, Signals, Window
from ml.gate import regression_rows
from ml.messages import message
from ml.registry import ledger
from ml.retraining import window_policy
from ml.schema.schema import ANSWERED, LABEL_PROPENSITY, PREDICTION_ID, QUESTION, ROW_ID
from ml.settings import Settings
from ml.storage import database
from tests.ml import worlds

HOUR = 3_600.0
MADE = worlds.START - HOUR  # when the champion was made


@pytest.fixture
def found(tmp_path: Path) -> Settings:
    """A home with the snapshot that the champion was made from."""
    return worlds.home(tmp_path)


def serve(found: Settings, hour: int, n: int, *, concept: float = 0.0, labelled: bool = True) -> list[str]:
    frame, y, p = worlds.draw(n, 400 + hour, concept=concept)
    return worlds.serve(found, frame, p, at=worlds.START + hour * HOUR, labels=y if labelled else None)


def made(found: Settings) -> tuple[window_policy.Selection, Snapshot]:
    chosen = window_policy.select(found, version="1", created=MADE)
    return chosen, data.generate(
        found, labelled=chosen.labelled, gate_since=chosen.gate_since, train_on_base=chosen.train_on_base
    )


def degraded(found: Settings, hour: int) -> None:
    at = worlds.START + hour * HOUR
    verdict = DriftVerdict(
        id=f"{hour:03d}", time=at + 60, verdict="degraded", retrain=False, decision="", reasons=[], model_version="1",
        window=Window(start=at, end=at + 1, rows=1), signals=Signals(degraded=True, judged=True),
    )  # fmt: skip
    verdict_history.save(found, verdict)


def test_without_labels_there_is_only_the_source(found: Settings) -> None:
    """Predictions without a label are not trained on."""
    serve(found, 0, 500, labelled=False)
    chosen = window_policy.select(found, version="1", created=MADE)
    assert (chosen.labelled, chosen.policy, chosen.train_on_base) == (None, "all", True)
    serve(found, 1, 400)
    chosen, snapshot = made(found)
    assert chosen.labelled is not None
    assert len(chosen.labelled) == 400
    assert snapshot.manifest.labelled.given == 400


def test_a_label_that_comes_twice_counts_once_and_the_later_one(found: Settings) -> None:
    """However often it was sent."""
    ids = serve(found, 0, 400)
    truth = ["1"] * 400
    worlds.answer(found, ids, truth, worlds.START + HOUR)
    worlds.answer(found, ids, truth, worlds.START + HOUR)
    chosen = window_policy.select(found, version="1", created=MADE)
    assert chosen.labelled is not None
    assert len(chosen.labelled) == 400
    assert set(chosen.labelled["y"]) == {"1"}


def test_a_label_that_is_no_class_is_not_learnt(found: Settings) -> None:
    """It is counted in the manifest."""
    ids = serve(found, 0, 400)
    worlds.answer(found, ids[:100], ["maybe"] * 100, worlds.START + HOUR)
    _, snapshot = made(found)
    assert snapshot.manifest.labelled.unusable == 100
    assert snapshot.schema.classes == ("0", "1")


def test_late_labels_are_learnt_when_they_come(found: Settings) -> None:
    """In the order of the answers, not of the labels."""
    ids = serve(found, 0, 300, labelled=False)
    serve(found, 5, 300)
    worlds.answer(found, ids, ["0"] * 300, worlds.START + 9 * HOUR)
    chosen = window_policy.select(found, version="1", created=MADE)
    assert chosen.labelled is not None
    assert chosen.labelled[ANSWERED].is_monotonic_increasing
    assert (chosen.labelled["y"].iloc[:300] == "0").all()


def test_rows_of_the_gate_are_newer_than_the_champion_and_never_trained_on(found: Settings) -> None:
    """Rows answered before it was made may have trained it."""
    at = MADE - 10 * HOUR
    frame, y, p = worlds.draw(600, 390)
    worlds.serve(found, frame, p, at=at, labels=y)
    serve(found, 0, 130)
    _, snapshot = made(found)
    recent = snapshot.part("recent")
    assert 0 < len(recent.y) <= 130
    judged = regression_rows.row_hashes(recent.X, recent.y, snapshot.schema)
    for name in ("train", "validation", "test"):
        part = snapshot.part(name)
        assert not np.isin(regression_rows.row_hashes(part.X, part.y, snapshot.schema), judged).any()


def test_rows_that_a_gate_judged_on_are_trained_on_by_the_next(found: Settings) -> None:
    """But then they are not in its gate: the parts move on with time."""
    serve(found, 0, 400)
    _, first = made(found)
    serve(found, 1, 400)
    chosen = window_policy.select(found, version="2", created=worlds.START + HOUR / 2)
    second = data.generate(found, labelled=chosen.labelled, gate_since=chosen.gate_since)
    before = regression_rows.row_hashes(first.part("recent").X, first.part("recent").y, first.schema)
    now = regression_rows.row_hashes(second.part("recent").X, second.part("recent").y, second.schema)
    learnt = [
        regression_rows.row_hashes(second.part(n).X, second.part(n).y, second.schema) for n in ("train", "validation")
    ]
    assert np.isin(before, np.concatenate(learnt)).all()
    assert not np.isin(before, now).any()


@pytest.mark.parametrize(
    ("policy", "rows", "base"), [("all", 1_200, True), ("sliding", 350, False), ("since drift", 600, False)]
)
def test_configured_policy_is_followed(found: Settings, policy: str, rows: int, base: bool) -> None:
    """`since drift` begins with the first window of the newest run of degraded ones."""
    found = msgspec.structs.replace(
        found,
        retrain=msgspec.structs.replace(found.retrain, policy=policy, sliding_rows=350),  # type: ignore[arg-type]
    )
    for hour in range(4):
        serve(found, hour, 300)
    degraded(found, 2)
    degraded(found, 3)
    chosen = window_policy.select(found, version="1", created=MADE)
    assert chosen.labelled is not None
    assert (chosen.policy, len(chosen.labelled), chosen.train_on_base) == (policy, rows, base)


@pytest.mark.parametrize(("new", "held"), [(150, 100), (200, 100), (320, 100), (500, 150), (2_000, 500)], ids=str)
def test_just_after_a_shift_the_challenger_sees_the_new_world_too(found: Settings, new: int, held: int) -> None:
    """The gate takes a share of the rows of the changed world, enough to judge on, and never all that there are."""
    serve(found, 0, 1_500)
    serve(found, 1, new, concept=0.8)
    degraded(found, 1)
    _, snapshot = made(found)
    assert len(snapshot.part("recent").y) == held


def test_late_labels_do_not_hide_when_the_drift_began(tmp_path: Path) -> None:
    """Real checks over labels that come two windows late: the rows since the change are known, not the windows."""
    found = worlds.home(tmp_path, drift={"track": False, "report_rows": 0, "cooldown_s": 0.0})
    late: list[tuple[int, list[str], np.ndarray]] = []
    for hour in range(8):
        frame, y, p = worlds.draw(300, 700 + hour, concept=0.8 if hour >= 4 else 0.0)
        late.append((hour, worlds.serve(found, frame, p, at=worlds.START + hour * HOUR), y))
        if hour >= 2:
            _, ids, truth = late[hour - 2]
            worlds.answer(found, ids, truth, worlds.START + (hour + 0.1) * HOUR)
        verdict = worlds.check(found, now=worlds.START + (hour + 0.5) * HOUR, baseline=worlds.baseline())
        if verdict.retrain:
            break
    assert (verdict.verdict, hour) == ("degraded", 6)
    began = window_policy.drift_began(found, "1")
    assert began is not None
    assert abs((began.timestamp() - worlds.START) / HOUR - 4) < 0.1
    since = window_policy.windows(found, predictions.labelled(found), began)["since drift"]
    assert 280 <= len(since) <= 310
    # It has not lasted for as long as labels take, so it is not learnt from alone.
    chosen = window_policy.select(found, version="1", created=MADE)
    assert chosen.policy == "sliding"
    assert chosen.reason.code == "retraining.drift_too_young"
    assert (chosen.reason.values["n"], chosen.reason.values["late"]) == (len(since), 600)
    assert "the evidence" in str(chosen.reason)  # why it is this window, too


def test_a_check_without_new_labels_says_nothing_of_performance(found: Settings) -> None:
    """It does not end the run of degraded windows."""
    for hour in range(4):
        serve(found, hour, 300)
    degraded(found, 2)
    at = worlds.START + 3 * HOUR
    quiet = msgspec.structs.replace(
        verdict_history.history(found)[0], id="003", time=at, verdict="drift", signals=Signals(drifted=True),
        window=Window(start=at, end=at + 1, rows=1),
    )  # fmt: skip
    verdict_history.save(found, quiet)
    found = msgspec.structs.replace(found, retrain=msgspec.structs.replace(found.retrain, policy="since drift"))
    chosen = window_policy.select(found, version="1", created=MADE)
    assert chosen.labelled is not None
    assert len(chosen.labelled) == 600


def test_policy_with_too_few_rows_gives_way(found: Settings) -> None:
    """A handful of rows since the drift is nothing to learn from alone."""
    found = msgspec.structs.replace(found, retrain=msgspec.structs.replace(found.retrain, policy="since drift"))
    serve(found, 0, 400)
    serve(found, 1, 100)
    degraded(found, 1)
    chosen = window_policy.select(found, version="1", created=MADE)
    assert chosen.policy == "all"
    assert chosen.reason.code == "retraining.too_few_for_policy"


@pytest.mark.parametrize(
    ("concept", "policy", "code"),
    [(0.0, "all", "no_window_better"), (1.0, "since drift", "backtest")],
    ids=["same world", "turned"],
)
def test_a_drift_that_has_just_begun_is_held_against_all_rows(
    found: Settings, concept: float, policy: str, code: str
) -> None:
    """Old rows stay while they help; where they teach the contrary, they go."""
    for hour in range(3):
        serve(found, hour, 500)
    for hour in (3, 4):
        serve(found, hour, 500, concept=concept)
        degraded(found, hour)
    chosen = window_policy.select(found, version="1", created=MADE)
    assert (chosen.policy, chosen.reason.code) == (policy, f"retraining.{code}")


def shown(found: Settings, hour: int, **probe: Any) -> None:
    """A check that has shown so much of newer models."""
    at = worlds.START + hour * HOUR
    verdict = DriftVerdict(
        id=f"{hour:03d}", time=at + 60, verdict="drift", retrain=False, reasons=[], model_version="1",
        window=Window(start=at, end=at + 1, rows=1), signals=Signals(judged=True),
        fresh_model_probe=FreshModelProbe(labels_until=at, **probe),
    )  # fmt: skip
    verdict_history.save(found, verdict)


@pytest.mark.parametrize(
    ("evidence", "policy", "code"),
    [(4.7, "sliding", "window_of_evidence"), (4.6, "all", "no_window_better")],
)
def test_a_challenger_learns_from_what_the_evidence_is_for(
    found: Settings, evidence: float, policy: str, code: str
) -> None:
    """As the newest check has it, and not where it does not suffice."""
    for hour in range(3):
        serve(found, hour, 500)
    shown(found, 0, evidence=9.0, model="all (logistic)", labels=500)
    shown(found, 1, evidence=evidence, model="sliding (logistic)", labels=1_000)
    chosen = window_policy.select(found, version="1", created=MADE)
    assert (chosen.policy, chosen.reason.code) == (policy, f"retraining.{code}")
    if policy == "sliding":
        expected = {"model": "sliding (logistic)", "evidence": evidence, "n": 1_000}
        assert chosen.reason.values == expected


def test_a_window_for_which_the_rows_are_too_few_by_now_gives_way_to_all(found: Settings) -> None:
    serve(found, 0, 500)
    shown(found, 0, evidence=9.0, model="since drift (logistic)", labels=500)
    assert window_policy.select(found, version="1", created=MADE).policy == "all"


@pytest.mark.parametrize(("ones", "policy"), [(1, "sliding"), (0, "all")])
def test_a_window_that_lacks_a_class_is_not_trained_on(found: Settings, ones: int, policy: str) -> None:
    """Of its rows the newest are for the gate: what they hold is not learnt."""
    found = msgspec.structs.replace(found, retrain=msgspec.structs.replace(found.retrain, sliding_rows=400))
    serve(found, 0, 500)
    frame, y, p = worlds.draw(400, 404)
    y[:280] = "0"
    y[:ones] = "1"
    worlds.serve(found, frame, p, at=worlds.START + HOUR, labels=y)
    shown(found, 1, evidence=9.0, model="sliding (logistic)", labels=500)
    chosen = window_policy.select(found, version="1", created=MADE)
    assert chosen.policy == policy
    data.generate(found, labelled=chosen.labelled, gate_since=chosen.gate_since, train_on_base=chosen.train_on_base)


@pytest.mark.parametrize(("over", "policy"), [(2.6, "sliding"), (2.4, "all")])
def test_without_evidence_a_window_must_be_sure_over_all_checks(found: Settings, over: float, policy: str) -> None:
    """By standard errors of the paired difference: 100 rows that differ by one nat each have an error of 10."""
    for hour in range(2):
        serve(found, hour, 500)
    total = float(over * 10 / np.sqrt(1 + over**2 / 100))  # the variance is about the mean
    sums = Rehearsal(rows=100, gain=1.0, over_all=total, over_all_squares=100.0, over_all_rows=100)
    shown(found, 1, rehearsals={"all (logistic)": Rehearsal(rows=100), "sliding (logistic)": sums}, labels=100)
    chosen = window_policy.select(found, version="1", created=MADE)
    assert chosen.policy == policy
    if policy == "sliding":
        assert chosen.reason == message("retraining.window_by_sums", policy="sliding", errors=2.5, n=100)


def test_the_drift_that_a_champion_was_made_for_is_the_beginning_of_its_world(found: Settings) -> None:
    """It has none of its own, and the rows since then are the ones that teach what holds now."""
    for hour in range(2):
        serve(found, hour, 300)
    degraded(found, 1)
    for old, new in [("1", "2"), ("2", "3")]:
        ledger.append(found, ledger.PROMOTED, who="ann", from_version=old, to_version=new)
    began = window_policy.drift_began(found, "1")
    assert began is not None
    assert began.timestamp() == worlds.START + HOUR
    assert window_policy.drift_began(found, "3") == began
    assert window_policy.drift_began(found, None) is None
    assert window_policy.drift_began(worlds.settings(found.home / "other"), "3") is None


def test_labelled_rows_carry_what_generate_needs(found: Settings) -> None:
    """Raw inputs, target, id, moment."""
    serve(found, 0, 300)
    rows = predictions.labelled(found)
    assert set(rows) == {"x0", "x1", "x2", "x3", "c", "y", QUESTION, PREDICTION_ID, ROW_ID, LABEL_PROPENSITY, ANSWERED}
    assert isinstance(rows[ANSWERED].dtype, pd.DatetimeTZDtype)
    window = predictions.window(database.engine(found), labelled_only=True)
    pd.testing.assert_frame_equal(predictions.training_rows(found, window), rows)
