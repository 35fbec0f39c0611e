"""What another machine finds of a search that was begun elsewhere."""

from __future__ import annotations

from pathlib import Path

from ml.pipeline.shared_trials import SharedTrials
from ml.pipeline.workspace import Workspace
from ml.tuning.trial import Trial, TrialStore
from tests.ml.pipeline.machines import machine


def test_the_other_machine_goes_on_with_the_same_search(tmp_path: Path) -> None:
    """With the width that it was begun with, which decides its next trials, as well as with its trials."""
    here, there = (Workspace(machine(tmp_path, name), "a") for name in ("one", "two"))
    begun = TrialStore(here.path / "tune" / "search-1")
    assert begun.settle(12) == 12
    begun.save(Trial(number=0, family="logistic", params={}, seed=1), None)
    shared = SharedTrials(here)
    shared.keep()
    shared.finish()
    SharedTrials(there).fetch()
    found = TrialStore(there.path / "tune" / "search-1")
    assert list(found.load()) == [0]
    assert found.settle(6) == 12
