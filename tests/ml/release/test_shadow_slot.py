"""From the pipeline into the shadow and out of it: what a run, a drift check, the ledger and `status` say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from ml import data, drift, predictions, registry, tracking
from ml.cli import loop, status
from ml.messages import message
from ml.monitoring import check, retraining_decision
from ml.monitoring import status as standing
from ml.pipeline import pipeline
from ml.pipeline.stages.records import EvaluationRecord
from ml.pipeline.workspace import Workspace
from ml.registry import ledger
from ml.release import replay_scoring, shadow_slot, watch
from ml.retraining import blockers
from ml.settings import Settings, from_values
from ml.storage import database
from ml.storage.files import write_json
from tests.ml import worlds
from tests.ml.pipeline.runs import SMALL, up_to

NEEDED = 120


def settings_of(home: Path) -> Settings:
    """Whatever challenges the champion passes the gate, and waits in shadow."""
    values: dict[str, Any] = json.loads(json.dumps(SMALL))
    values["gate"] |= {"policy": "always", "shadow_rows": NEEDED}
    values["registry"] |= {"tracking_uri": f"sqlite:///{home / 'var' / 'mlflow' / 'mlflow.db'}"}
    return from_values(values | {"home": str(home), "drift": {"track": False, "report_rows": 0}})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where run "one" made the champion, and run "two" has only to be promoted."""
    home = tmp_path_factory.mktemp("made")
    (home / "var" / "mlflow").mkdir(parents=True)
    found = settings_of(home)
    assert pipeline.run_all(found, "one").promoted is True, "there is none to wait beside"
    up_to(found, "two", "register")
    return home


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Settings:
    """A copy of it, database, registry and all; only the artifacts stay where they are."""
    shutil.copytree(made, tmp_path / "home", ignore=shutil.ignore_patterns("artifacts"))
    return settings_of(tmp_path / "home")


def champion(own: Settings) -> str:
    found = registry.champion(own)
    assert found is not None
    return found.run_key


def serve(own: Settings, version: str, at: float) -> None:
    """The champion's answers to the rows of its own test part, with their labels."""
    part = data.ingestion.latest(own).part("test")  # type: ignore[union-attr]
    bundle = replay_scoring.open_version(own, version)
    rows = part.X.astype(object).to_dict("records") * 2
    truth = [bundle.classes[code] for code in part.y] * 2
    ids = [f"{at}-{i}" for i in range(len(rows))]
    logged = [
        {
            "prediction_id": key, "time": at + i, "model_version": version, "inputs": row, "label": label,
            "probability": 0.9, "probabilities": dict(zip(bundle.classes, (0.1, 0.9), strict=True)),
        }
        for i, (key, row, label) in enumerate(zip(ids, rows, truth, strict=True))
    ]  # fmt: skip
    predictions.insert(database.engine(own), logged)
    worlds.answer(own, ids, truth, at + 1_000)


def test_a_run_ends_in_shadow_and_a_drift_check_ends_the_shadow(own: Settings) -> None:
    """Registered, waiting, compared, promoted; the same on every way of looking at it."""
    result = pipeline.promote(own, "two")
    assert (result.promoted, result.shadow, result.champion) == (False, True, "1")
    assert result.message == message("release.in_shadow", version="2", needed=NEEDED)
    assert champion(own) == "one"
    info = registry.by_alias(own, registry.SHADOW)
    assert info is not None
    assert info.run_key == "two"
    assert ledger.events(own, limit=1)[0].what == ledger.SHADOW
    assert tracking.client(own).get_run(info.run_id).info.status == "FINISHED"
    bare = standing.read(own).shadow
    assert bare is not None
    assert (bare.message.code, bare.rows, bare.needed) == ("release.waits", 0, NEEDED)

    serve(own, "1", info.created + 1)
    few = msgspec.structs.replace(own, gate=msgspec.structs.replace(own.gate, shadow_rows=10_000))
    now = info.created + 3_600
    found = worlds.watch_and_check(few, now=now).shadow
    assert found is not None
    assert (found.rows, found.champion_accuracy) == (160, 1.0)
    assert standing.read(few).shadow == found
    told = status.gather(few).shadow
    assert (told["version"], told["rows"], told["accuracy"], told["problem"]) == ("2", 160, found.accuracy, "")
    assert f"shadow     {found.sentence} Until" in status._text(status.gather(few))

    decided = worlds.watch_and_check(own, now=now + 60)
    assert decided.shadow is not None
    assert decided.shadow.state == "promoted"
    assert decided.model_version == "2", "what is checked is what serves by now"
    assert champion(own) == "two"
    assert status.gather(own).shadow is None
    assert standing.read(own).shadow is None


def test_only_the_watch_moves_the_alias_and_once(own: Settings) -> None:
    """Whatever is due, comparing leaves it; the watch does it, and done again, as after a kill, finds it done."""
    pipeline.promote(own, "two")
    info = registry.by_alias(own, registry.SHADOW)
    assert info is not None
    serve(own, "1", info.created + 1)
    now = info.created + 3_600
    before = ledger.events(own)
    compared = check.compare(own, now=now)
    retraining_decision.decide(own, compared, now=now)
    assert (ledger.events(own), champion(own)) == (before, "one")
    release = watch.watch(own, now=now)
    assert release.shadow is not None
    assert (release.shadow.state, champion(own)) == ("promoted", "two")
    assert release.shadow.message.code == "release.left_shadow"
    assert msgspec.convert(json.loads(json.dumps(release.to_dict())), watch.ReleaseWatch) == release
    moved = ledger.events(own)
    assert worlds.watch_and_check(own, now=now + 60).model_version == "2"
    assert (ledger.events(own), champion(own)) == (moved, "two")


def test_the_command_does_the_three_and_says_each(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml.cli.loop.settings_for", lambda _given: own)
    done = CliRunner().invoke(loop.drift_check, [])
    assert done.exit_code == 0, done.output
    watched, compared, requested = done.output.splitlines()
    assert watched == "watch the release: no release to decide on"
    assert compared.startswith("compare: insufficient data: 0 new predictions of version 1")
    assert requested == "request: no retraining, no reason to retrain"
    told = json.loads(CliRunner().invoke(loop.drift_check, ["--json"]).output)
    assert {"id", "verdict", "retrain", "decision", "reasons", "sentence", "model_version", "shadow"} <= set(told)
    assert len(drift.history(own)) == 1


def test_a_run_that_is_done_again_waits_once(own: Settings) -> None:
    """Killed after its work and before its record."""
    first = pipeline.promote(own, "two")
    (Workspace(own, "two").path / "promote.json").unlink()
    second = pipeline.promote(own, "two")
    assert second == msgspec.structs.replace(first, seconds=second.seconds)
    assert len(ledger.events(own, what=[ledger.SHADOW])) == 1


@pytest.mark.parametrize(("everyone", "promoted"), [(False, True), (True, False)], ids=["does not wait", "waits too"])
def test_the_successor_of_a_degraded_champion(own: Settings, everyone: bool, promoted: bool) -> None:
    """Waiting beside a champion that is known to be bad costs more than the way back, unless it is asked for."""
    own = msgspec.structs.replace(own, gate=msgspec.structs.replace(own.gate, shadow_degraded=everyone))
    space = Workspace(own, "two")
    write_json(space.path / "evaluate.json", msgspec.structs.replace(space.needed(EvaluationRecord), degraded=True))
    result = pipeline.promote(own, "two")
    assert result.promoted is promoted
    found = shadow_slot.find(own)
    assert (found is not None and found.degraded) is not promoted


def test_a_person_need_not_wait(own: Settings) -> None:
    """A promotion by hand ends the wait."""
    pipeline.promote(own, "two")
    registry.promote(own, "2", who="ann", why="I have looked at it")
    assert shadow_slot.find(own) is None
    worlds.watch_and_check(own)
    assert registry.by_alias(own, registry.SHADOW) is None
    (Workspace(own, "two").path / "promote.json").unlink()
    assert pipeline.promote(own, "two").promoted is True


def test_what_cannot_be_compared_is_told_by_status(own: Settings) -> None:
    """It does not fail."""
    pipeline.promote(own, "two")
    registry.quarantine(own, "2", who="ann", why="a wrong column")
    told = status.gather(own).shadow
    assert told["problem"] == "version 2 is quarantined (a wrong column)"
    assert "it cannot be compared: version 2 is quarantined" in status._text(status.gather(own))


def test_no_retraining_by_drift_while_one_waits(tmp_path: Path) -> None:
    """Except where the champion has dropped, which the one that waits knows nothing of."""
    found = worlds.settings(tmp_path)
    ledger.append(found, ledger.SHADOW, who="test", from_version="1", to_version="2")
    now = ledger.events(found)[0].time + found.drift.cooldown_s + 1
    assert [h.reason for h in blockers.blockers(found, now, None)] == [message("retraining.shadow_first", version="2")]
    assert blockers.blockers(found, now, None, degraded=True) == []
    ledger.append(found, ledger.SHADOW, who="test", from_version="1", to_version="3", numbers={"degraded": True})
    now = ledger.events(found)[0].time + found.drift.cooldown_s + 1
    assert len(blockers.blockers(found, now, None, degraded=True)) == 1


def test_refusals_that_judge_nothing_do_not_open_the_breaker(tmp_path: Path) -> None:
    """Labels that did not come, or a turn that was not its own, say nothing of the challengers."""
    found = worlds.settings(tmp_path)
    for number in range(found.drift.breaker_refusals):
        ledger.append(found, ledger.REFUSED, who="test", to_version=str(number), numbers={shadow_slot.UNJUDGED: True})
    now = ledger.events(found)[0].time + found.drift.cooldown_s + 1
    assert blockers.blockers(found, now, None) == []
    for number in range(found.drift.breaker_refusals):
        ledger.append(found, ledger.REFUSED, who="test", to_version=str(number))
    assert blockers.blockers(found, now, None)[0].reason.code == "retraining.breaker"
