"""The whole loop in one process: it ends with a champion, and no kill or repetition changes that end."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Literal

import mlflow
import msgspec
import numpy as np
import pandas as pd
import pytest

from ml import registry, tracking
from ml.bundle.reader import Bundle
from ml.drift import DriftVerdict, verdict_history
from ml.drift.verdict import FreshModelProbe
from ml.errors import ChampionChanged, DataError, RegistryError, SchemaError, SettingsError, TrainingError
from ml.gate import evidence, fitted_rows, regression_rows
from ml.messages import Message, message
from ml.origin import Origin
from ml.pipeline import pipeline
from ml.pipeline.stages import release
from ml.pipeline.stages.records import (
    RECORDS,
    EvaluationRecord,
    RegistrationRecord,
    SnapshotRecord,
    StageRecord,
    TrainingRecord,
    TuningRecord,
)
from ml.pipeline.workspace import STAGES, RecordError, StageMissing, Workspace
from ml.registry import catalog, ledger, promotion
from ml.settings import Settings, from_values
from ml.tracking.trial_log import TRIAL
from ml.training.candidate import load_candidate
from ml.training.course_grid import Grid
from tests.ml.pipeline.runs import SMALL, up_to


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the code may catch it."""


def kill(*_: Any, **__: Any) -> Any:
    raise Killed


def small(home: Path, **changes: dict[str, Any]) -> Settings:
    values = json.loads(json.dumps(SMALL)) | {"home": str(home)}
    for section, change in changes.items():
        values[section] = values.get(section, {}) | change
    return from_values(values)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for the module, with an MLflow store in it, which takes seconds to make."""
    home = tmp_path_factory.mktemp("home")
    tracking.experiment(small(home))
    return home


@pytest.fixture(scope="module")
def done(home: Path) -> Settings:
    """A home in which run "first" went through."""
    settings = small(home, registry={"model_name": "Done"})
    pipeline.run_all(settings, "first", origin=Origin(who="ann", reason="a test"))
    return settings


@pytest.fixture
def own(home: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """A home of the test's own, on the module's MLflow store."""
    name = "M_" + "".join(c if c.isalnum() else "_" for c in request.node.name)
    store = f"sqlite:///{home / 'var' / 'mlflow' / 'mlflow.db'}"
    return small(tmp_path / "own", registry={"model_name": name, "experiment": name, "tracking_uri": store})


def results(settings: Settings, key: str) -> dict[str, Any]:
    return {record.stage_name(): Workspace(settings, key).needed(record).to_dict() for record in RECORDS}


def test_train_logs_each_model_and_the_curves_of_the_network(own: Settings) -> None:
    """Also where another family wins: what was fitted can be opened from MLflow, and its training looked at."""
    settings = from_values(json.loads(json.dumps(SMALL)) | {
        "home": str(own.home), "registry": {"experiment": own.registry.experiment, "tracking_uri": tracking.uri(own)},
        "train": {"families": ["logistic", "mlp"], "device": "cpu"},
    })  # fmt: skip
    up_to(settings, "curves", "train")
    client, parent = tracking.client(settings), tracking.run(settings, "curves")
    assert [f.path for f in client.list_artifacts(parent, "figures")] == ["figures/training_curves_mlp.svg"]
    fitted = client.search_runs([tracking.experiment(settings)], f"tags.`{tracking.PARENT}` = '{parent}'")
    assert {run.data.tags["refit.kind"] for run in fitted} == {"grid", "baseline"}
    assert len(fitted) == 17
    for run in fitted:
        folder = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="model"))
        assert load_candidate(folder).spec.family == run.data.params["family"]


def test_pipeline_ends_with_a_champion(done: Settings) -> None:
    """All six stages: a version with the alias, whose bundle repeats its examples and carries its history."""
    info = registry.champion(done)
    assert info is not None
    assert info.run_key == "first"
    bundle = Bundle.open(registry.download(done, info), sha256=info.sha256)
    bundle.self_check()
    assert bundle.metrics["metrics"]["accuracy"]["value"] > 0.6
    assert bundle.metrics["rows_trained"] == 320
    assert bundle.json("gate.json")["promote"] is True
    assert len(bundle.json("trials.json")) == 3
    grid = msgspec.convert(bundle.json("grid.json"), Grid)
    assert (len(grid.points), grid.beside_report) == (15, True)
    assert len(bundle.reference()) == 80
    drawn = {file.stem for file in (bundle.path / "figures").glob("*.svg")}
    assert {"roc", "precision_recall", "calibration", "confusion", "importance", "model", "tuning_space"} <= drawn
    importance = bundle.metrics["importance"]
    assert set(importance) == {column.name for column in bundle.schema.columns}
    assert list(importance.values()) == sorted(importance.values(), reverse=True)
    assert importance[next(iter(importance))] > 0.1
    card = (bundle.path / "model_card.md").read_text()
    assert "## Limits" in card
    assert f"| {next(iter(importance))} |" in card.partition("## What it goes by")[2].partition("##")[0]
    assert [e.what for e in ledger.events(done)] == [ledger.PROMOTED, ledger.REGISTERED]
    assert {e.who for e in ledger.events(done)} == {"ann"}


def test_results_are_small_and_plain(done: Settings) -> None:
    """What a stage returns fits into an Airflow result: JSON, a few kilobytes."""
    for name, result in results(done, "first").items():
        assert json.loads(json.dumps(result)) == result
        assert len(json.dumps(result)) < 20_000, name


def test_finished_run_is_answered_from_its_records(done: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Running it all again does nothing and gives the same."""
    before = results(done, "first")
    for module in (tracking, tracking.connection):
        monkeypatch.setattr(module, "client", kill)
    pipeline.run_all(done, "first")
    assert results(done, "first") == before


def test_mlflow_has_one_parent_with_its_trials(done: Settings) -> None:
    """One run a run key; the grid, the baseline and every trial once below it."""
    run_id = tracking.run(done, "first")
    kept = tracking.children(done, run_id, TRIAL)
    assert {k for k in kept if k.startswith("tune-")} == {"tune-0", "tune-1", "tune-2"}
    assert len([k for k in kept if k.startswith("train-")]) == 16
    found = tracking.client(done).get_run(run_id)
    assert found.data.metrics["test_accuracy"] > 0.6
    assert found.data.tags["refit.reason"] == "a test"
    assert found.data.tags["refit.undefined_metrics"] == ""
    assert found.inputs.dataset_inputs[0].dataset.digest == Workspace(done, "first").needed(SnapshotRecord).snapshot
    assert found.info.status == "FINISHED"


@pytest.mark.parametrize("record", RECORDS, ids=STAGES)
def test_stage_run_again_after_its_record_was_lost(done: Settings, record: type[StageRecord]) -> None:
    """Killed after its work and before its record: the second time ends in the same state, with one version."""
    space, stage = Workspace(done, "first"), record.stage_name()
    before, origin = space.needed(record).to_dict(), space.origin() if stage == "generate" else Origin()
    (space.path / f"{stage}.json").unlink()
    after = getattr(pipeline, stage)(done, "first", origin=origin).to_dict()
    differ = {"seconds", "candidates", "bundle"}  # times; and a registered bundle is read from the cache
    differ |= {"contract_of"}  # by now the run's own model is the champion, and `generate` is held to its contract
    assert {k: v for k, v in after.items() if k not in differ} == {k: v for k, v in before.items() if k not in differ}
    assert len(registry.versions(done)) == 1
    assert [e.what for e in ledger.events(done)] == [ledger.PROMOTED, ledger.REGISTERED]


def test_stage_before_its_turn_names_the_command(own: Settings) -> None:
    """Asked too early, a stage says what to run first."""
    with pytest.raises(StageMissing, match="python -m ml generate --run early"):
        pipeline.train(own, "early")


def test_record_of_another_format_is_told(own: Settings) -> None:
    """A record that another version wrote is neither believed nor written over: the command that helps is named."""
    pipeline.generate(own, "old")
    space = Workspace(own, "old")
    file = space.path / "generate.json"
    written = json.loads(file.read_text())
    assert (written["stage"], written["format"], written["run_key"]) == ("generate", 2, "old")
    file.write_text(json.dumps(written | {"format": 1}))
    with pytest.raises(RecordError, match="python -m ml generate --force --run old"):
        pipeline.generate(own, "old")
    assert json.loads(file.read_text())["format"] == 1
    assert pipeline.generate(own, "old", force=True).snapshot == written["snapshot"]


def test_force_forgets_the_stages_after_it(own: Settings) -> None:
    """What was trained on a snapshot that is made anew is no longer done; what came before it still is."""
    up_to(own, "again", "train")
    before = Workspace(own, "again").needed(SnapshotRecord)
    pipeline.train(own, "again", force=True)
    assert Workspace(own, "again").needed(SnapshotRecord) == before
    pipeline.generate(own, "again", force=True)
    with pytest.raises(StageMissing, match="has no train yet"):
        Workspace(own, "again").needed(TrainingRecord)


def test_killed_search_goes_on(own: Settings) -> None:
    """A search that is killed after a trial leaves no record; the next one only runs the others."""
    up_to(own, "k", "train")

    def die_at_two(stage: str, finished: int, total: int, note: str) -> None:
        if finished == 2:
            raise Killed

    with pytest.raises(Killed):
        pipeline.tune(own, "k", progress=die_at_two)
    assert Workspace(own, "k").result(TuningRecord) is None
    kept = {f.name: f.read_bytes() for f in (Workspace(own, "k").path / "tune").rglob("trial-*.json")}
    assert len(kept) == 2
    assert pipeline.tune(own, "k").trials == 3
    after = {f.name: f.read_bytes() for f in (Workspace(own, "k").path / "tune").rglob("trial-*.json")}
    assert {name: after[name] for name in kept} == kept
    trials = tracking.children(own, tracking.run(own, "k"), TRIAL)
    assert {k for k in trials if k.startswith("tune-")} == {"tune-0", "tune-1", "tune-2"}


@pytest.mark.parametrize("moment", ["before the version", "before the ledger"])
def test_register_killed_in_the_middle_makes_one_version(
    own: Settings, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Whenever `register` is killed, the next call ends with one version and one line in the ledger."""
    up_to(own, "k", "evaluate")
    with monkeypatch.context() as patch:
        patch.setattr(*((registry, "register", kill) if moment == "before the version" else (ledger, "append", kill)))
        with pytest.raises(Killed):
            pipeline.register(own, "k")
    assert Workspace(own, "k").result(RegistrationRecord) is None
    result = pipeline.register(own, "k")
    assert [v.version for v in registry.versions(own)] == [result.version]
    assert [e.what for e in ledger.events(own)] == [ledger.REGISTERED]


def test_promote_killed_in_the_middle_is_finished(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The alias had moved, the record had not been written: the next call finishes and writes one promotion."""
    up_to(own, "k", "register")
    with monkeypatch.context() as patch:
        patch.setattr(promotion, "_outcome_of", kill)
        with pytest.raises(Killed):
            pipeline.promote(own, "k")
    assert pipeline.promote(own, "k").promoted is True
    assert [e.what for e in ledger.events(own)] == [ledger.PROMOTED, ledger.REGISTERED]


def test_same_data_again_is_refused_with_a_reason(own: Settings) -> None:
    """The twin of the champion is registered, refused in words, and no alias moves."""
    pipeline.run_all(own, "one")
    result = pipeline.run_all(own, "two", origin=Origin(who="ann", reason="new prices"))
    assert result.promoted is False
    assert ledger.events(own, limit=1)[0].why.endswith("Started because: new prices.")
    assert ledger.events(own, limit=1)[0].numbers["codes"] == ["gate.indistinguishable"]
    champion = registry.champion(own)
    assert champion is not None
    assert champion.run_key == "one"
    newest = registry.versions(own)[0]
    assert (newest.run_key, newest.tags[catalog.VERDICT]) == ("two", "refused")
    judged, refused = Workspace(own, "two").needed(EvaluationRecord), ledger.events(own, limit=1)[0]
    assert (judged.champion, judged.champion_sha256) == (champion.version, champion.sha256)
    assert (refused.from_sha256, refused.to_sha256) == (champion.sha256, newest.sha256)
    assert [e.what for e in ledger.events(own)][:2] == [ledger.REFUSED, ledger.REGISTERED]


def test_what_the_checks_have_proved_is_not_asked_again_of_a_run_by_schedule(own: Settings) -> None:
    """The twin of a champion that newer models have been proved to outdo need not be proved better on fewer rows."""
    pipeline.run_all(own, "one")
    champion = registry.champion(own)
    assert champion is not None
    verdict = DriftVerdict(
        id="1", time=time.time(), verdict="drift", retrain=False, reasons=[], model_version=champion.version,
        model_sha256=champion.sha256, fresh_model_probe=FreshModelProbe(evidence=5.0),
    )  # fmt: skip
    verdict_history.save(own, verdict)
    assert pipeline.run_all(own, "two", origin=Origin(who="schedule")).promoted
    judged = Workspace(own, "two").needed(EvaluationRecord)
    assert (judged.outdone, [reason.code for reason in judged.messages]) == (True, ["gate.not_worse_than_outdone"])
    assert pipeline.run_all(own, "three", origin=Origin(who="schedule", drift=verdict)).promoted is False
    assert Workspace(own, "three").needed(EvaluationRecord).outdone is False  # it was of the champion before


def test_challenger_of_an_old_champion_is_not_promoted(home: Path, own: Settings) -> None:
    """Two runs at once: the second to end was judged against nobody, and must be judged again."""
    up_to(own, "slow", "register")
    pipeline.run_all(own, "quick")
    with pytest.raises(ChampionChanged):
        pipeline.promote(own, "slow")
    versions = len(registry.versions(own))
    result = pipeline.run_all(own, "slow")
    assert result.promoted is False, "it is the twin of the one that serves"
    judged = Workspace(own, "slow").needed(EvaluationRecord)
    assert [reason.code for reason in judged.messages] == ["gate.indistinguishable"]
    assert len(registry.versions(own)) == versions
    assert registry.version(own, result.version).tags[catalog.VERDICT] == "refused"


def test_approval_stops_before_the_alias(home: Path, own: Settings) -> None:
    """With a person in the loop the run waits, registered."""
    waits = msgspec.structs.replace(own, approval="required")
    assert pipeline.run_all(waits, "w").stage_name() == "register"
    assert registry.champion(own) is None
    assert pipeline.promote(waits, "w", origin=Origin(who="bob", reason="looks right")).promoted is True
    assert "looks right" in ledger.events(own)[0].why


def test_a_yes_is_of_the_bundle_that_was_judged(own: Settings) -> None:
    """A person may take days: by then another registry may have the number."""
    up_to(own, "w", "register")
    registered = Workspace(own, "w").needed(RegistrationRecord)
    tracking.client(own).set_model_version_tag(own.registry.model_name, registered.version, registry.SHA256, "f" * 64)
    with pytest.raises(RegistryError, match="another model"):
        pipeline.promote(own, "w", origin=Origin(who="bob", reason="looks right"))
    assert registry.champion(own) is None


def test_a_person_may_decline(own: Settings) -> None:
    """No alias moves, the ledger has who and why, once, and the MLflow run has ended."""
    up_to(own, "d", "register")
    for _ in range(2):
        assert pipeline.decline(own, "d", origin=Origin(who="bob", reason="not before Monday")).promoted is False
    assert registry.champion(own) is None
    newest, *earlier = ledger.events(own)
    assert (newest.what, newest.who) == (ledger.REFUSED, "bob")
    assert newest.message == message("release.declined_because", who="bob", reason="not before Monday")
    assert [e.what for e in earlier] == [ledger.REGISTERED]
    assert tracking.client(own).get_run(tracking.run(own, "d")).info.status == "FINISHED"


def test_person_may_overrule_and_roll_back(own: Settings) -> None:
    """A refused version can be promoted by hand and left again; the way back is to what really served."""
    pipeline.run_all(own, "one")
    refused = pipeline.run_all(own, "two").version
    found = release.promote_version(own, refused, origin=Origin(who="ann", reason="I know better"))
    assert found.version == refused
    back = pipeline.rollback(own, origin=Origin(who="ann", reason="I did not"))
    assert back.from_version == refused
    assert registry.version(own, refused).quarantined


def test_mixed_table_goes_through(home: Path, tmp_path: Path, own: Settings) -> None:
    """Names, texts, missing values, an id and a time: the customers source, by settings alone."""
    settings = small(
        home,
        data={"source": "customers"},
        customers={"n_samples": 400},
        registry={"model_name": own.registry.model_name},
    )
    result = pipeline.run_all(settings, "customers")
    assert result.promoted is True
    bundle = Bundle.open(registry.download(settings, registry.version(settings, result.version)))
    assert bundle.schema.categories
    assert bundle.schema.numbers


def test_broken_table_leaves_nothing(home: Path, tmp_path: Path) -> None:
    """Bad data is an error that names the file, and no run begins."""
    table = tmp_path / "bad.csv"
    table.write_text("a,b\n1,2\n3,4\n")
    settings = small(home, data={"source": "file", "path": str(table), "target": "churn"})
    with pytest.raises(DataError, match="churn"):
        pipeline.generate(settings, "bad")
    assert Workspace(settings, "bad").result(SnapshotRecord) is None
    assert not Workspace(settings, "bad").path.exists()


def test_a_family_that_is_not_there_is_told_before_a_table_is_read(own: Settings) -> None:
    with pytest.raises(TrainingError, match="unknown family 'forest'; there are logistic"):
        pipeline.generate(small(own.home, train={"families": ["logistic", "forest"]}), "first")
    assert not own.data_dir.exists()


@pytest.mark.parametrize("key", ["", "../up", "a/b", ".hidden", "a b", "x" * 300])
def test_run_key_is_a_plain_name(home: Path, key: str) -> None:
    """A run key becomes a folder and a tag."""
    with pytest.raises(SettingsError, match="run key"):
        Workspace(small(home), key)


def test_golden_rows_are_never_trained_on(done: Settings) -> None:
    """Rows that were kept as regression rows are left out of training when another split would train on them."""
    from ml import data

    other = msgspec.structs.replace(done, data=msgspec.structs.replace(done.data, seed=7))
    snapshot = data.generate(other)
    kept = regression_rows.load(done, snapshot.schema)
    assert kept is not None
    hashes = regression_rows.row_hashes(*kept, snapshot.schema)
    whole = snapshot.part("train")
    assert np.isin(regression_rows.row_hashes(whole.X, whole.y, snapshot.schema), hashes).sum() > 0, (
        "the test needs an overlap"
    )
    view = regression_rows.SnapshotWithoutHoldout(snapshot, done)
    for name in ("train", "validation"):
        part = view.part(name)
        assert not np.isin(regression_rows.row_hashes(part.X, part.y, snapshot.schema), hashes).any()
    assert view.id != snapshot.id


def test_rows_of_the_champion_do_not_judge(done: Settings) -> None:
    """Rows that the champion was fitted on are left out of what decides."""
    from ml import data

    info, champion, problem = evidence.champion_bundle(done)
    assert info is not None
    assert champion is not None
    assert problem is None
    other = msgspec.structs.replace(
        done, data=msgspec.structs.replace(done.data, seed=7), gate=msgspec.structs.replace(done.gate, min_rows=5)
    )
    snapshot = data.generate(other)
    known = fitted_rows.of(done, champion, info.version)
    assert not list(champion.path.glob("*trained*"))  # a service has no use for them
    rows = evidence.rows_to_judge(other, snapshot, known)
    trained = known.rows
    assert len(trained)
    deciding = rows.parts["recent"]
    seen = np.isin(regression_rows.row_hashes(rows.X[deciding], rows.y[deciding], snapshot.schema), trained)
    assert not seen.any()
    assert rows.notes[0].code == "gate.trained_on_left_out"


def export(path: Path, *, score: bool = True, classes: tuple[str, str] = ("0", "1")) -> Path:
    """A monthly export whose label hangs on `score` most of all; without it the other columns still tell a little."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"age": rng.normal(size=500), "visits": rng.normal(size=500), "score": rng.normal(size=500)})
    leaves = (0.7 * table["age"] + 2 * table["score"] + 0.3 * rng.normal(size=500)) > 0
    table = table if score else table.drop(columns="score")
    table.assign(leaves=np.where(leaves, classes[1], classes[0])).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({"score": False}, message("gate.columns_gone", names="score")),
        ({"classes": ("no", "yes")}, message("gate.classes_new", names="no, yes")),
    ],
    ids=["a column is gone", "other classes"],
)
def test_champion_that_cannot_be_compared_is_kept(
    own: Settings, tmp_path: Path, second: dict[str, Any], told: Message
) -> None:
    """It is no first champion: clients that send the column would be refused. A person, or the policy, may decide."""

    def of(file: Path, policy: str = "gate", schema: Literal["keep", "infer"] = "infer") -> Settings:
        data = msgspec.structs.replace(own.data, source="file", path=str(file), target="leaves", schema=schema)
        return msgspec.structs.replace(own, data=data, gate=msgspec.structs.replace(own.gate, policy=policy))

    assert pipeline.run_all(of(export(tmp_path / "10.csv")), "first").promoted
    later = of(export(tmp_path / "11.csv", **second))
    with pytest.raises(SchemaError, match="does not fit the champion's contract"):
        pipeline.generate(of(tmp_path / "11.csv", schema="keep"), "kept")
    assert not Workspace(own, "kept").path.exists()
    refused = pipeline.run_all(later, "second")
    judged = Workspace(own, "second").needed(EvaluationRecord)
    assert (judged.messages[0].code, judged.champion, refused.promoted) == ("gate.incomparable", "1", False)
    assert told in judged.messages[0].values["why"]  # type: ignore[operator]
    champion = registry.champion(own)
    assert champion is not None
    assert champion.run_key == "first"
    assert ledger.events(own, limit=1)[0].numbers["codes"][0] == "gate.incomparable"
    decided = pipeline.run_all(of(tmp_path / "11.csv", "always"), "third")
    assert decided.promoted
    judged = Workspace(own, "third").needed(EvaluationRecord)
    assert (judged.message.code, judged.messages[0].code) == ("gate.always_although", "gate.incomparable")


def test_champion_whose_bundle_is_damaged_is_kept(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be loaded may still serve, from the memory of the workers."""
    pipeline.run_all(own, "first")
    up_to(own, "second", "tune")
    problem = message("gate.champion_not_loaded", version="1", error="damaged")
    monkeypatch.setattr(evidence, "open_version", lambda *_: (None, problem))
    judged = pipeline.evaluate(own, "second")
    assert (judged.messages[0].code, judged.champion, judged.promote) == ("gate.incomparable", "1", False)
    assert judged.messages[0].values["why"] == [problem]


def test_champion_of_other_columns_is_told(done: Settings) -> None:
    """A champion that cannot score the rows is no reason to fail, but it is said."""
    _, champion, _ = evidence.champion_bundle(done)
    assert champion is not None
    found, problem = evidence.champion_probabilities(champion, pd.DataFrame({"other": [1.0]}), champion.classes)
    assert found is None
    assert problem is not None
    assert problem.code == "gate.champion_cannot_score"


def test_settings_of_a_run_are_remembered(done: Settings) -> None:
    """A command that goes on with a run uses what the run was started with."""
    plain = from_values({"home": str(done.home)})
    assert Workspace(done, "first").recall_settings(plain).synthetic.n_samples == 400
