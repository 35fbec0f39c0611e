"""Machines that share no disk: each stage of a run in another, empty home ends as all of them in one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from ml import registry
from ml.gate import regression_rows
from ml.gate.regression_rows import RegressionRowsLost
from ml.pipeline import pipeline
from ml.pipeline.stages.records import EvaluationRecord, TuningRecord
from ml.pipeline.workspace import STAGES, Workspace, latest
from ml.registry import contract, ledger
from ml.settings import Settings
from ml.storage import shared
from ml.tuning import executors, trial
from tests.ml.pipeline.machines import machine, outcome
from tests.ml.pipeline.runs import SMALL


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("machines")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Everything on one machine, and no storage."""
    root = tmp_path_factory.mktemp("alone")
    settings = machine(root, "only", storage={"url": ""})
    for key in ("first", "second"):
        for name in STAGES:
            getattr(pipeline, name)(settings, key)
    return settings


@pytest.fixture(scope="module")
def spread(root: Path) -> Path:
    """The same two runs, every stage in a home that was empty before it and is gone after."""
    for key in ("first", "second"):
        for name in STAGES:
            settings = machine(root, f"{key}-{name}")
            getattr(pipeline, name)(settings, key)
            shutil.rmtree(settings.home)
    return root


@pytest.mark.parametrize("key", ["first", "second"])
def test_a_run_whose_stages_are_on_machines_with_empty_disks_ends_as_on_one(
    alone: Settings, spread: Path, key: str
) -> None:
    """The second one is judged against the first, on the regression rows that were kept then."""
    assert outcome(machine(spread, "reader"), key) == outcome(alone, key)


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the code may catch it."""


def test_a_killed_search_is_gone_on_with_on_another_machine(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the trials that were finished, to the same end."""
    more = {"tune": {"max_evals": 6}}
    begun, other = machine(root, "begun", **more), machine(root, "other", **more)
    for name in ("generate", "train"):
        getattr(pipeline, name)(begun, "killed")
    ran: list[int] = []

    def run(request: trial.TrialRequest, *given: Any) -> trial.Trial:
        if len(ran) == 4:
            ran.append(-1)
            raise Killed
        ran.append(request.number)
        return trial.run(request, *given)

    monkeypatch.setattr(executors, "run", run)
    with pytest.raises(Killed):
        pipeline.tune(begun, "killed")
    shutil.rmtree(begun.home)
    record = pipeline.tune(other, "killed")
    assert ran == [0, 1, 2, 3, -1, 4, 5]
    assert record.trials == 6
    monkeypatch.undo()
    whole = machine(root, "whole", storage={"url": ""}, **more)
    for name in ("generate", "train", "tune"):
        getattr(pipeline, name)(whole, "whole")
    assert Workspace(whole, "whole").needed(TuningRecord).best_loss == record.best_loss


def test_what_is_done_again_elsewhere_is_judged_by_the_fit_that_was_judged(spread: Path) -> None:
    """The registered one may have learnt the rows of the gate."""
    settings = machine(spread, "again")
    space = Workspace(settings, "second")
    space.forget(EvaluationRecord)
    assert Workspace(machine(spread, "looks"), "second").result(EvaluationRecord) is None
    pipeline.evaluate(settings, "second")
    first = Workspace(machine(spread, "looks"), "first").needed(EvaluationRecord)
    again = Workspace(machine(spread, "looks"), "second").needed(EvaluationRecord)
    assert again.champion == "1"
    assert first.champion == ""


def test_the_newest_run_is_found_and_has_its_settings(spread: Path) -> None:
    settings = machine(spread, "knows nothing", tune={"max_evals": 9})
    assert latest(settings) in ("second", "killed")
    recalled = Workspace(settings, "first").recall_settings(settings)
    assert recalled.tune.max_evals == SMALL["tune"]["max_evals"]
    assert (recalled.home, recalled.storage) == (settings.home, settings.storage)


def test_a_machine_without_the_regression_rows_does_not_judge_without_them(spread: Path) -> None:
    """They are drawn again where their snapshot is there, to the same rows; else the run ends and says what to do."""
    settings = machine(spread, "judges")
    champion = registry.champion(settings)
    assert champion is not None
    known = contract.in_force(settings)
    assert known is not None
    stored = shared.of(settings)
    assert stored is not None
    kept = regression_rows.load(settings, known.schema)
    assert kept is not None
    shutil.rmtree(settings.var / "golden")
    shutil.rmtree(spread / "storage" / "sets" / "golden")
    again = regression_rows.load(settings, known.schema)
    assert again is not None
    assert again[0].equals(kept[0])
    assert len(stored.names("golden")) == 1
    for folder in (settings.var / "golden", settings.data_dir, spread / "storage" / "sets" / "golden"):
        shutil.rmtree(folder)
    shutil.rmtree(spread / "storage" / "sets" / "snapshots")
    with pytest.raises(RegressionRowsLost, match='"renew"'):
        regression_rows.load(settings, known.schema)
    anew = machine(spread, "judges", gate={"regression_rows": "renew"})
    assert regression_rows.load(anew, known.schema) is None
    assert ledger.newest_move(settings) is not None
