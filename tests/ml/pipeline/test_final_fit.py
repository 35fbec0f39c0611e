"""What is served: the recipe that was judged, with the rows that judged it, and figures of the fit before."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from ml import data, registry
from ml.bundle.reader import Bundle
from ml.bundle.writer import probability_column
from ml.gate import evidence, fitted_rows, regression_rows
from ml.gate.fitted_rows import FittedRows
from ml.messages import code_of
from ml.pipeline import final_fit, pipeline
from ml.pipeline.stages import evaluate
from ml.pipeline.stages.records import EvaluationRecord, SnapshotRecord
from ml.pipeline.workspace import Workspace
from ml.retraining import window_policy
from ml.settings import Settings, from_values
from tests.ml import worlds


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A champion of 1,000 rows, 1,000 labelled answers of it, and a second run that the policy promotes."""
    folder = tmp_path_factory.mktemp("home")
    frame, y, _ = worlds.draw(1_000, 50)
    frame.assign(y=y).to_csv(folder / "base.csv", index=False)
    settings = from_values(
        {
            "home": str(folder),
            "data": {"source": "file", "path": str(folder / "base.csv"), "target": "y", "positive_label": "1"},
            "train": {"families": ["logistic"]},
            "tune": {"max_evals": 2, "workers": 1, "n_bootstrap": 50},
            "gate": {"policy": "always", "n_bootstrap": 200},
            "serving": {}, "registry": {"confirm": "never"},
        }
    )  # fmt: skip
    assert pipeline.run_all(settings, "first").promoted
    frame, y, p = worlds.draw(1_000, 51)
    worlds.serve(settings, frame, p, at=registry.champion(settings).created + 60, labels=y)  # type: ignore[union-attr]
    assert pipeline.run_all(settings, "second").promoted
    return settings


def bundle_of(settings: Settings, key: str) -> Bundle:
    return Bundle.open(settings.home / Workspace(settings, key).needed(EvaluationRecord).bundle)


def learnt(settings: Settings, key: str) -> FittedRows:
    """What the run's version was fitted on, as the run has it."""
    return fitted_rows.of(settings, bundle_of(settings, key), "", beside=Workspace(settings, key).path / "fitted_rows")


def snapshot_of(settings: Settings, key: str) -> Any:
    from ml.data import snapshot

    return snapshot.open(settings, bundle_of(settings, key).metrics["snapshot"])


def hashes(part: Any, settings: Settings) -> Any:
    return regression_rows.row_hashes(part.X, part.y, snapshot_of(settings, "second").schema)


def test_a_first_champion_has_no_more_rows_than_it_was_judged_with(home: Settings) -> None:
    """Its test rows become the regression rows, all of them: there is nothing to add."""
    first = bundle_of(home, "first")
    assert first.metrics["rows_trained"] == first.metrics["rows_judged_fit"] == 800
    assert not (Workspace(home, "first").path / evaluate.JUDGED).exists()


def test_what_is_served_has_learnt_the_rows_that_judged_it(home: Settings) -> None:
    """Told wherever the verdict is; no later gate judges it on them, and the regression rows are outside."""
    record, bundle = Workspace(home, "second").needed(EvaluationRecord), bundle_of(home, "second")
    recent = snapshot_of(home, "second").part("recent")
    assert len(recent.y) >= 100
    assert bundle.metrics["rows_trained"] == bundle.metrics["rows_judged_fit"] + len(recent.y)
    assert code_of(record.message) == "gate.with_notes"
    assert code_of(record.message.values["notes"][-1]) == "gate.final_fit"  # type: ignore[union-attr]
    assert record.message.values["notes"][-1].values == {"n": len(recent.y)}  # type: ignore[union-attr]
    assert "held back from" in record.sentence
    trained = learnt(home, "second").rows
    assert np.isin(hashes(recent, home), trained).all()
    kept = regression_rows.load(home, bundle.schema)
    assert kept is not None
    assert not np.isin(regression_rows.row_hashes(*kept, bundle.schema), trained).any()
    assert "those that judged it included" in (bundle.path / "model_card.md").read_text(encoding="utf-8")


def test_figures_and_reference_are_of_the_fit_that_had_not_seen_them(home: Settings) -> None:
    """Scores on rows of its own training would make what comes after them look like a fall."""
    bundle = bundle_of(home, "second")
    judged = Bundle.open(Workspace(home, "second").path / evaluate.JUDGED)
    recent = snapshot_of(home, "second").part("recent")
    expected, own = evidence.predict(judged, recent.X), evidence.predict(bundle, recent.X)
    columns = [probability_column(label) for label in bundle.classes]
    assert np.array_equal(bundle.reference()[columns].to_numpy(), expected)
    assert not np.array_equal(expected, own)
    test = snapshot_of(home, "second").part("test")
    loss = -np.log(evidence.predict(judged, test.X)[np.arange(len(test.y)), test.y]).mean()
    assert bundle.metrics["metrics"]["log_loss"]["value"] == pytest.approx(loss, rel=1e-5)


def test_judged_again_it_is_the_judged_fit_that_is_judged(home: Settings) -> None:
    """On the same rows with the same outcome; where that fit is gone, on none that the served one has learnt."""
    space = Workspace(home, "second")
    before = space.needed(EvaluationRecord)
    space.forget(EvaluationRecord)
    again = pipeline.evaluate(home, "second")
    assert (again.sha256, again.messages) == (before.sha256, before.messages)
    kept = space.path / "aside"
    shutil.move(space.path / evaluate.JUDGED, kept)
    try:
        space.forget(EvaluationRecord)
        told = pipeline.evaluate(home, "second")
        assert "gate.no_rows" in [reason.code for reason in told.messages]
    finally:
        shutil.move(kept, space.path / evaluate.JUDGED)


def test_the_next_gate_without_new_labels_has_unseen_rows(home: Settings) -> None:
    """The regression rows, which are test rows of the first snapshot."""
    snapshot = data.generate(home)
    rows = evidence.rows_to_judge(home, snapshot, learnt(home, "second"))
    deciding = rows.parts["recent"]
    assert deciding.sum() >= home.gate.min_rows
    assert not evidence.seen_in_training(
        learnt(home, "second"), rows.X[deciding], rows.y[deciding], snapshot.schema
    ).any()


@pytest.mark.parametrize("train_on_base", [True, False])
def test_test_rows_are_learnt_where_their_source_is(
    home: Settings, monkeypatch: pytest.MonkeyPatch, train_on_base: bool
) -> None:
    """Else they are of a world that has passed, and the newest labelled rows alone are added."""
    monkeypatch.setattr(regression_rows, "MOST_ROWS", 50)
    other = msgspec.structs.replace(home, registry=msgspec.structs.replace(home.registry, model_name="Other"))
    labelled = window_policy.select(home, version="1", created=0.0).labelled
    snapshot = data.generate(other, labelled=labelled, train_on_base=train_on_base)
    recent, test = len(snapshot.part("recent").y), len(snapshot.part("test").y)
    view = final_fit.AllRows(snapshot, other)
    assert view.added == recent + (test - 50 if train_on_base else 0)
    whole = view.part("train")
    assert len(whole.y) == len(snapshot.part("train").y) + view.added == len(whole.X)
    assert len(view.part("validation").y) == len(snapshot.part("validation").y)


def judged_rows(n: int = 400) -> tuple[Any, Any]:
    frame, y, _ = worlds.draw(n, 60)
    return frame, (y == "1").astype(np.int64)


@pytest.mark.parametrize(
    ("recent", "regression", "code"),
    [
        (0.0, 0.0, None),
        (0.2, 0.2, None),
        (-0.01, 0.0, "gate.final_fit_worse"),
        (0.0, -0.04, None),
        (0.0, -0.06, "gate.final_fit_worse"),
    ],
)
def test_a_final_fit_that_is_worse_than_the_judged_one_is_not_served(
    home: Settings, monkeypatch: pytest.MonkeyPatch, recent: float, regression: float, code: str | None
) -> None:
    """On rows that it has learnt at all; on the regression rows by more than their margin. Gains in nats a row."""
    frame, y = judged_rows()
    first = np.arange(400) < 200
    loss = np.where(first, 0.5 - recent, 0.5 - regression)

    def answers(bundle: Any, _: Any) -> Any:
        p = np.exp(-(loss if bundle == "final" else np.full(400, 0.5)))
        return np.where(np.arange(2) == y[:, None], p[:, None], 1 - p[:, None])

    monkeypatch.setattr(evidence, "predict", answers)
    monkeypatch.setattr(evidence, "servability", lambda _: evidence.Servability())
    rows = evidence.Rows(frame, y, {"recent": first, "regression": ~first})
    why = final_fit.objection(home, rows, "judged", "final", seed=0)  # type: ignore[arg-type]
    assert (why and why.code) == code
    if why:
        assert why.values == {"n": 200, "loss": pytest.approx(-min(recent, regression))}


def test_a_final_fit_that_cannot_be_served_is_not(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, y = judged_rows()
    monkeypatch.setattr(evidence, "servability", lambda _: evidence.Servability(problem="examples differ"))
    rows = evidence.Rows(frame, y, {"recent": np.ones(400, bool)})
    why = final_fit.objection(home, rows, None, None, seed=0)  # type: ignore[arg-type]
    assert why is not None
    assert (why.code, why.values) == ("gate.final_fit_not_servable", {"reason": "examples differ"})


@pytest.mark.parametrize("change", ["setting", "objection"])
def test_the_judged_fit_is_served_where_that_is_set_or_the_final_one_is_worse(
    home: Settings, monkeypatch: pytest.MonkeyPatch, change: str, up_to_tune: Callable[[Settings, str], None]
) -> None:
    """The reason is in the verdict."""
    settings = home
    if change == "setting":
        settings = msgspec.structs.replace(home, gate=msgspec.structs.replace(home.gate, refit=False))
    else:
        why = evidence.message("gate.final_fit_worse", n=1, loss=0.5)
        monkeypatch.setattr(final_fit, "objection", lambda *_, **__: why)
    up_to_tune(settings, change)
    record = pipeline.evaluate(settings, change)
    bundle = bundle_of(settings, change)
    assert bundle.metrics["rows_trained"] == bundle.metrics["rows_judged_fit"]
    assert not (Workspace(settings, change).path / evaluate.JUDGED).exists()
    notes = record.message.values.get("notes", []) if code_of(record.message) == "gate.with_notes" else []  # type: ignore[union-attr]
    told = [note.code for note in notes if note.code.startswith("gate.final_fit")]
    assert told == ([] if change == "setting" else ["gate.final_fit_not_kept"])


@pytest.fixture
def up_to_tune() -> Callable[[Settings, str], None]:
    from tests.ml.pipeline.runs import up_to

    return lambda settings, key: up_to(settings, key, "tune")


def test_rows_of_whom_a_regression_row_is_about_stay_outside(tmp_path: Path) -> None:
    """Others of the same customer, also where they are new."""
    found = worlds.home(tmp_path)
    snapshot = data.generate(found)
    part = snapshot.part("test")
    ids = np.array([f"{i:016x}{0:016x}" for i in range(1, len(part.y) + 1)], dtype=object)
    ids[1] = ids[0]
    named = part._replace(ids=ids)
    kept = regression_rows.row_hashes(part.X.iloc[:1], part.y[:1], snapshot.schema)
    left = final_fit._without(named, kept, snapshot.schema)
    assert len(left.y) == len(part.y) - 2
    assert not np.isin(ids[0], left.ids)
    assert len(final_fit._without(part, kept, snapshot.schema).y) == len(part.y) - 1
    pd.testing.assert_frame_equal(left.X, part.X.iloc[2:].reset_index(drop=True))


def test_which_labelled_rows_were_learned_from_is_told_with_the_reason(home: Settings) -> None:
    """At the command line and in the card; a table without labelled rows has nothing to tell of them."""
    first, second = (Workspace(home, key).needed(SnapshotRecord) for key in ("first", "second"))
    told = [one for one in second.found if one.code == "data.labelled_policy"]
    assert [one.values for one in told] == [{"policy": second.policy, "reason": second.policy_message}]
    assert str(told[0]).endswith(second.policy_reason)
    card = (bundle_of(home, "second").path / "model_card.md").read_text()
    assert str(told[0]) in card
    assert not any(one.code == "data.labelled_policy" for one in first.found)
    assert "(retrain.policy)" not in (bundle_of(home, "first").path / "model_card.md").read_text()
