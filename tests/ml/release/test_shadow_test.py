"""A challenger in shadow: promoted on live rows that prove it better, refused on all others, and never lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import mlflow
import msgspec
import numpy as np
import pytest

from ml import predictions, registry, tracking
from ml.drift import backtest
from ml.errors import PromotionError, RegistryUnavailable, StoreUnavailable
from ml.gate import regression_rows
from ml.gate.fitted_rows import FittedRows
from ml.messages import Message, code_of, message
from ml.registry import VersionInfo, catalog, ledger
from ml.registry.rollout import Confirmation
from ml.release import replay_scoring, shadow_slot, shadow_test
from ml.settings import Settings, from_values
from ml.storage import database
from tests.ml import worlds
from tests.ml.registry.moments import every_moment
from tests.ml.registry.versions import make_version, promote
from tests.ml.tiny import tiny_rows

NEEDED = 300
DAY = 86_400.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One MLflow store for the module, which takes seconds to make."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def own(home: Path, request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A model name and a database of the test's own."""
    name = "M_" + "".join(c if c.isalnum() else "_" for c in request.node.name)
    return from_values(
        {
            "home": str(home),
            "mlflow_port": 1,
            "serving_port": 1,
            "database_url": f"sqlite:///{tmp_path / 'refit.db'}",
            "registry": {"model_name": name},
            "gate": {"shadow_rows": NEEDED, "n_bootstrap": 200},
        }
    )


@pytest.fixture
def champion(own: Settings, tmp_path: Path) -> VersionInfo:
    """Right more often than not, but too timid: the world's slope is 2."""
    info = make_version(own, tmp_path, 0.3)
    promote(own, info)
    return info


@pytest.fixture
def better(own: Settings, champion: VersionInfo, tmp_path: Path) -> VersionInfo:
    return make_version(own, tmp_path, 2.0)


@pytest.fixture
def worse(own: Settings, champion: VersionInfo, tmp_path: Path) -> VersionInfo:
    return make_version(own, tmp_path, -2.0)


def enter(own: Settings, info: VersionInfo, *, degraded: bool = False) -> ledger.Event:
    serves = registry.champion(own)
    assert serves is not None
    return shadow_slot.enter(
        own, info.version, who="test", why="because", run_key=info.run_key, champion=serves.version,
        degraded=degraded, challenger_beats_champion=False, sha256="", champion_sha256="",
    )  # fmt: skip


def serve(own: Settings, version: str, n: int, *, at: float, labelled: bool = True) -> list[str]:
    """Rows that a version answered, with what is true in a world of slope 2."""
    rows = tiny_rows(n, seed=n)
    bundle = replay_scoring.open_version(own, version)
    p = bundle.run(rows.numbers, rows.categories)
    records = [
        {
            "prediction_id": f"{version}-{at}-{i}",
            "time": at + 0.001 * i,
            "model_version": version,
            "inputs": {f"n{k}": float(v) for k, v in enumerate(rows.numbers[i])} | {"c0": rows.categories[i, 0]},
            "label": bundle.label(p)[i],
            "probability": float(p[i].max()),
            "probabilities": dict(zip(bundle.classes, p[i].tolist(), strict=True)),
        }
        for i in range(n)
    ]
    predictions.insert(database.engine(own), records)
    ids = [str(r["prediction_id"]) for r in records]
    if labelled:
        z = np.nansum(rows.numbers, axis=1) + (rows.categories[:, 0] == "red")
        truth = np.where(np.random.default_rng(0).random(n) < 1 / (1 + np.exp(-2 * z)), "yes", "no")
        worlds.answer(own, ids, truth, at + 60)
    return ids


def look(own: Settings, info: VersionInfo, *, days: float = 1.0) -> Any:
    return shadow_test.watch(own, info.created + days * DAY)


def served(own: Settings) -> str:
    found = registry.champion(own)
    return found.version if found else ""


def in_shadow(own: Settings) -> str:
    found = registry.by_alias(own, registry.SHADOW)
    return found.version if found else ""


def newest(own: Settings) -> ledger.Event:
    return ledger.events(own, limit=1)[0]


def alerts(own: Settings) -> str:
    file = own.var / "logs" / "alerts.jsonl"
    return file.read_text() if file.exists() else ""


def test_a_better_one_is_promoted_after_enough_labels_not_before(
    own: Settings, champion: VersionInfo, better: VersionInfo
) -> None:
    """Meanwhile it is known how both do, and the ledger says who waits."""
    assert enter(own, better).what == ledger.SHADOW
    assert (served(own), in_shadow(own)) == (champion.version, better.version)
    serve(own, champion.version, 2 * NEEDED, at=better.created - DAY)  # before it was made: may have taught it
    serve(own, champion.version, NEEDED - 1, at=better.created + 1)
    serve(own, champion.version, NEEDED, at=better.created + 100, labelled=False)
    found = look(own, better)
    assert (found.state, found.rows, found.needed) == ("waits", NEEDED - 1, NEEDED)
    assert found.accuracy > found.champion_accuracy
    assert served(own) == champion.version

    serve(own, champion.version, 20, at=better.created + 200)
    assert look(own, better).state == "promoted"
    assert (served(own), in_shadow(own)) == (better.version, "")
    event = newest(own)
    assert (event.what, event.who, event.from_version) == (ledger.PROMOTED, "shadow watch", champion.version)
    assert event.message is not None
    assert (event.message.code, event.message.values["version"]) == ("release.judged_in_shadow", champion.version)
    verdict = event.message.values["verdict"]
    assert isinstance(verdict, Message)
    assert (verdict.code, verdict.values["n"]) == ("gate.better", NEEDED + 19)
    assert tracking.client(own).get_run(better.run_id).data.tags["refit.promoted"] == better.version
    assert look(own, better) is None


def test_rows_that_it_was_fitted_on_do_not_count(
    own: Settings, champion: VersionInfo, better: VersionInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The customers of the training table are asked about again: they prove nothing."""
    enter(own, better)
    serve(own, champion.version, NEEDED, at=better.created + 1)
    bundle = replay_scoring.open_version(own, better.version)
    asked_again = replay_scoring.live(own, bundle, against=champion.version, rows=50)
    X, y = backtest.canonical(predictions.training_rows(own, asked_again), bundle.schema)
    taught = FittedRows(np.unique(regression_rows.row_hashes(X, y, bundle.schema)))
    monkeypatch.setattr("ml.gate.fitted_rows.of", lambda *_: taught)
    found = look(own, better)
    assert (found.state, found.rows) == ("waits", NEEDED - 50)


def test_a_worse_one_is_refused_and_the_champion_stays(
    own: Settings, champion: VersionInfo, worse: VersionInfo
) -> None:
    """Good offline, bad live; its version says so too."""
    enter(own, worse)
    serve(own, champion.version, NEEDED, at=worse.created + 1)
    assert look(own, worse).state == "refused"
    assert (served(own), in_shadow(own)) == (champion.version, "")
    assert newest(own).what == ledger.REFUSED
    assert "gate.worse" in newest(own).numbers["codes"]
    tags = registry.version(own, worse.version).tags
    assert (tags[catalog.VERDICT], tags[catalog.SENTENCE]) == ("refused", newest(own).why)
    assert look(own, worse) is None


def test_without_labels_it_is_refused_when_its_time_is_up(
    own: Settings, champion: VersionInfo, better: VersionInfo
) -> None:
    """A person is told: labels that never come are worth knowing of."""
    enter(own, better)
    serve(own, champion.version, NEEDED, at=better.created + 1, labelled=False)
    assert look(own, better, days=6.9).state == "waits"
    assert look(own, better, days=7.1).state == "refused"
    assert newest(own).message == message("release.shadow_too_few_labels", n=0, needed=NEEDED, days=7.0)
    assert "refused in shadow" in alerts(own)
    assert (served(own), in_shadow(own)) == (champion.version, "")


def test_labels_that_came_in_time_are_judged_however_late_the_look(
    own: Settings, champion: VersionInfo, better: VersionInfo
) -> None:
    """A machine that was off for a month must not cost the challenger its evidence."""
    enter(own, better)
    serve(own, champion.version, NEEDED, at=better.created + 1)
    assert look(own, better, days=30).state == "promoted"


def test_the_first_comes_first(own: Settings, champion: VersionInfo, better: VersionInfo, worse: VersionInfo) -> None:
    """A newer one is refused while another waits; how it is done is told in words, and it is not counted as bad."""
    enter(own, better)
    event = enter(own, worse)
    assert event.what == ledger.REFUSED
    assert event.message == message("release.shadow_taken", version=better.version)
    assert event.numbers[shadow_slot.UNJUDGED]
    assert in_shadow(own) == better.version
    assert registry.version(own, worse.version).tags[catalog.VERDICT] == "refused"
    assert enter(own, worse).id == event.id, "asked again, it is not written again"


def test_one_made_for_a_degraded_champion_takes_the_place_of_an_older_one(
    own: Settings, champion: VersionInfo, better: VersionInfo, worse: VersionInfo
) -> None:
    """Which has learnt nothing of that; but not of one that has."""
    enter(own, worse)
    assert enter(own, better, degraded=True).what == ledger.SHADOW
    refused = ledger.events(own, limit=1, what=[ledger.REFUSED])[0]
    assert (refused.to_version, refused.numbers[shadow_slot.UNJUDGED]) == (worse.version, True)
    assert refused.message == message("release.shadow_replaced", version=better.version)
    assert in_shadow(own) == better.version
    assert registry.version(own, worse.version).tags[catalog.VERDICT] == "refused"
    assert enter(own, worse, degraded=True).what == ledger.REFUSED
    assert in_shadow(own) == better.version


def test_entering_twice_is_entering_once(own: Settings, champion: VersionInfo, better: VersionInfo) -> None:
    """And a wait that is over stays over."""
    first = enter(own, better)
    assert enter(own, better).id == first.id
    serve(own, champion.version, NEEDED, at=better.created + 1)
    look(own, better)
    assert enter(own, better).what == ledger.PROMOTED
    assert in_shadow(own) == ""


def test_another_champion_by_now_is_the_one_to_beat(
    own: Settings, champion: VersionInfo, better: VersionInfo, tmp_path: Path
) -> None:
    """On the rows that it answered itself: the ones of its predecessor do not count any more."""
    enter(own, better)
    serve(own, champion.version, NEEDED, at=better.created + 1)
    other = make_version(own, tmp_path, 1.0)
    promote(own, other)
    found = look(own, better)
    assert (found.state, found.champion, found.rows) == ("waits", other.version, 0)
    serve(own, other.version, 4 * NEEDED, at=better.created + 100)
    assert look(own, better).state == "promoted"
    assert newest(own).from_version == other.version


def test_a_champion_that_changes_at_the_last_moment_is_judged_against_next_time(
    own: Settings, champion: VersionInfo, better: VersionInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promotion refuses, the wait goes on, and its clock is not set back."""
    enter(own, better)
    since = shadow_slot.find(own)
    serve(own, champion.version, NEEDED, at=better.created + 1)
    other = make_version(own, tmp_path, 1.0)
    judge = shadow_test._judge

    def late(*args: Any) -> Any:
        verdict = judge(*args)
        promote(own, other)
        return verdict

    monkeypatch.setattr(shadow_test, "_judge", late)
    assert look(own, better).state == "waits"
    again = shadow_slot.find(own)
    assert since is not None
    assert again is not None
    assert (again.champion, again.since) == (other.version, since.since)
    assert (served(own), in_shadow(own)) == (other.version, better.version)


def test_a_damaged_or_deleted_one_is_refused_and_told(
    own: Settings, champion: VersionInfo, better: VersionInfo, worse: VersionInfo
) -> None:
    """What cannot be loaded is never promoted, and somebody should know."""
    enter(own, better)
    model = better.source.split("/")[-1]
    stored = next(tracking.artifact_root(own).rglob(f"{model}/artifacts/artifacts/bundle/model.onnx"))
    stored.write_bytes(stored.read_bytes()[:-1] + b"x")
    shutil.rmtree(own.var / "cache", ignore_errors=True)
    assert look(own, better).state == "refused"
    assert "model.onnx" in newest(own).why
    assert "model.onnx" in alerts(own)
    enter(own, worse)
    mlflow.MlflowClient(tracking.uri(own)).delete_model_version(own.registry.model_name, worse.version)
    assert look(own, worse).state == "refused"
    assert code_of(newest(own).because) == "release.shadow_not_judged"
    assert (served(own), in_shadow(own)) == (champion.version, "")


def test_a_quarantined_one_is_refused(own: Settings, champion: VersionInfo, better: VersionInfo) -> None:
    """The way for a person to end a wait."""
    enter(own, better)
    registry.quarantine(own, better.version, who="ann", why="a wrong column")
    assert look(own, better).state == "refused"
    why = message("release.quarantined", version=better.version, reason="a wrong column")
    assert newest(own).message == message("release.shadow_not_judged", error=why)


def test_what_the_service_does_not_take_over_is_refused(
    own: Settings, champion: VersionInfo, better: VersionInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once: not tried again at every check."""
    enter(own, better)
    serve(own, champion.version, NEEDED, at=better.created + 1)
    whole = registry.promote

    def refuse(settings: Settings, version: str) -> Confirmation:
        raise PromotionError(f"the service refused version {version}: out of memory")

    monkeypatch.setattr(registry, "promote", lambda *a, **k: whole(*a, **k, confirm_with=refuse))
    assert look(own, better).state == "refused"
    assert [e.what for e in ledger.events(own, limit=2)] == [ledger.REFUSED, ledger.PROMOTION_FAILED]
    assert "out of memory" in newest(own).why
    assert "out of memory" in alerts(own)
    assert (served(own), in_shadow(own)) == (champion.version, "")
    assert look(own, better) is None


def test_an_alias_that_was_set_by_hand_ends_the_wait(own: Settings, champion: VersionInfo, better: VersionInfo) -> None:
    """In MLflow's own pages: the ledger knows from then on."""
    enter(own, better)
    client = tracking.client(own)
    client.set_registered_model_alias(own.registry.model_name, registry.CHAMPION, better.version)
    assert look(own, better).state == "promoted"
    assert newest(own).message == message("release.shadow_alias_found_set")
    assert in_shadow(own) == ""


def test_a_shadow_alias_that_was_moved_by_hand_goes_back(
    own: Settings, champion: VersionInfo, better: VersionInfo, worse: VersionInfo
) -> None:
    """The ledger decides who waits."""
    enter(own, better)
    tracking.client(own).set_registered_model_alias(own.registry.model_name, registry.SHADOW, worse.version)
    look(own, better)
    assert in_shadow(own) == better.version


@pytest.mark.parametrize(
    ("where", "name", "error"),
    [
        (registry, "serving", RegistryUnavailable),
        (registry, "download", RegistryUnavailable),
        (registry, "promote", RegistryUnavailable),
        (predictions, "window", StoreUnavailable),
        (ledger, "append", StoreUnavailable),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_out_of_reach_changes_nothing(
    own: Settings, champion: VersionInfo, better: VersionInfo, where: Any, name: str, error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """And the next look decides."""
    enter(own, better)
    serve(own, champion.version, NEEDED, at=better.created + 1)

    def away(*_: Any, **__: Any) -> Any:
        raise error("away")

    with monkeypatch.context() as patch:
        patch.setattr(where, name, away)
        with pytest.raises(error):
            look(own, better)
    assert (served(own), in_shadow(own), newest(own).what) == (champion.version, better.version, ledger.SHADOW)
    assert look(own, better).state == "promoted"


def test_killed_at_any_moment_of_a_promotion(own: Settings, champion: VersionInfo, better: VersionInfo) -> None:
    """The next look ends it: promoted once, and nobody waits any more."""
    enter(own, better)
    serve(own, champion.version, NEEDED, at=better.created + 1)
    before = 0

    def then() -> None:
        nonlocal before
        look(own, better)
        assert (served(own), in_shadow(own)) == (better.version, "")
        assert shadow_slot.find(own) is None
        assert ledger.open_intention(own) is None
        moves = [e for e in ledger.events(own, what=[ledger.PROMOTED]) if e.to_version == better.version]
        assert len(moves) == before + 1
        before = len(moves)
        promote(own, champion, force=True)
        ledger.append(own, ledger.SHADOW, who="test", from_version=champion.version, to_version=better.version)

    assert every_moment(lambda: look(own, better), then) >= 10


def test_killed_at_any_moment_of_a_refusal(own: Settings, champion: VersionInfo, worse: VersionInfo) -> None:
    """Refused once; the alias and the version's verdict follow, whoever died."""
    enter(own, worse)
    serve(own, champion.version, NEEDED, at=worse.created + 1)
    before = 0

    def then() -> None:
        nonlocal before
        look(own, worse)
        assert (served(own), in_shadow(own)) == (champion.version, "")
        tags = registry.version(own, worse.version).tags
        assert (tags[catalog.VERDICT], "worse than the champion" in tags[catalog.SENTENCE]) == ("refused", True)
        assert len(ledger.events(own, what=[ledger.REFUSED])) == before + 1
        before += 1
        registry.note_verdict(own, worse.version, "promote", "")
        ledger.append(own, ledger.SHADOW, who="test", from_version=champion.version, to_version=worse.version)

    assert every_moment(lambda: look(own, worse), then) >= 8


def test_killed_at_any_moment_of_entering(
    own: Settings, champion: VersionInfo, better: VersionInfo, worse: VersionInfo
) -> None:
    """Also while it takes another's place: the stage that is run again ends it, and so does the next look."""
    degraded = msgspec.structs.replace(own, gate=msgspec.structs.replace(own.gate, shadow_degraded=True))
    enter(degraded, worse)

    def then() -> None:
        enter(degraded, better, degraded=True)
        assert in_shadow(own) == better.version
        found = shadow_slot.find(own)
        assert found is not None
        assert (found.version, found.degraded) == (better.version, True)
        assert registry.version(own, worse.version).tags[catalog.VERDICT] == "refused"
        # As it was: the newer one has not come, the older one waits.
        with database.engine(own).begin() as connection:
            connection.execute(ledger.table.delete().where(ledger.table.c.what.in_([ledger.SHADOW, ledger.REFUSED])))
        registry.set_shadow(own, "")
        registry.note_verdict(own, worse.version, "promote", "")
        enter(degraded, worse)

    assert every_moment(lambda: enter(degraded, better, degraded=True), then) >= 8
