"""The registry: one version a run, aliases that move last and go back, and a ledger that tells the truth."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml import alerts, registry, tracking
from ml.bundle.reader import Bundle
from ml.errors import BundleError, ChampionChanged, PromotionError, RegistryError, RegistryUnavailable
from ml.messages import message
from ml.registry import VersionInfo, ledger, promotion
from ml.registry import aliases as registry_aliases
from ml.registry.rollout import Confirmation
from ml.settings import Settings
from tests.ml.registry.versions import Killed, agree, aliases, die, make_settings, make_version, promote, refuse


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One store for the module: MLflow takes seconds to make one. Every test uses a model name of its own."""
    return make_settings(tmp_path_factory.mktemp("home"))


@pytest.fixture
def own(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    name = "M_" + "".join(c if c.isalnum() else "_" for c in request.node.name)
    return make_settings(settings.home, model_name=name)


def test_no_champion_at_first(own: Settings) -> None:
    """An empty registry has no champion, no versions, and says so without an error."""
    assert registry.champion(own) is None
    assert registry.versions(own) == []


def test_registering_twice_makes_one_version(own: Settings, tmp_path: Path) -> None:
    """The same run key finds its version again, and its model is logged once."""
    first, second = make_version(own, tmp_path), make_version(own, tmp_path)
    assert first == second
    assert [v.version for v in registry.versions(own)] == [first.version]
    assert first.run_key.startswith(own.registry.model_name)


def test_downloaded_bundle_is_the_registered_one(own: Settings, tmp_path: Path) -> None:
    """What comes back hashes to the version's tag, and gives the same numbers."""
    info = make_version(own, tmp_path)
    folder = registry.download(own, info)
    assert Bundle.open(folder, sha256=info.sha256).self_check() < 1e-5
    assert registry.download(own, info) == folder


def test_damaged_cache_is_loaded_again(own: Settings, tmp_path: Path) -> None:
    """A file that rotted in the cache is never used."""
    info = make_version(own, tmp_path)
    (registry.download(own, info) / "model.onnx").write_bytes(b"rotten")
    assert Bundle.open(registry.download(own, info)).sha256 == info.sha256


def test_overwritten_artifact_is_refused(own: Settings, tmp_path: Path) -> None:
    """Who can write to the artifact store cannot slip in another model."""
    info = make_version(own, tmp_path)
    stored = next(
        tracking.artifact_root(own).rglob(f"{info.source.split('/')[-1]}/artifacts/artifacts/bundle/model.onnx")
    )
    stored.write_bytes(stored.read_bytes()[:-1] + b"x")
    shutil.rmtree(own.var / "cache", ignore_errors=True)
    with pytest.raises(BundleError, match=r"model\.onnx"):
        promote(own, info)
    assert registry.champion(own) is None


def test_a_service_without_the_version_is_told_in_an_alert_and_in_the_ledger(own: Settings, tmp_path: Path) -> None:
    """It is promoted all the same: the others serve it."""
    info = make_version(own, tmp_path)
    bad = message("release.fleet_service", name="b at http://b", reason="altered")

    def partly(settings: Settings, version: str) -> Confirmation:
        return Confirmation(("a",), 2, message("release.confirmation", parts=[bad]), (bad,))

    told: list[dict[str, Any]] = []
    with alerts.heard(told.append):
        event = promote(own, info, partly)
    assert event.numbers["confirmation"] == "b at http://b: altered"
    [alert] = told
    assert (alert["kind"], alert["model_version"]) == ("not served", info.version)
    assert "b at http://b: altered" in alert["text"]


def test_promotion_moves_the_aliases_and_is_written_down(own: Settings, tmp_path: Path) -> None:
    """`champion` is the new one, `previous` what it replaced, the ledger has who and why."""
    one, two = make_version(own, tmp_path, 1.0), make_version(own, tmp_path, 2.0)
    promote(own, one)
    event = promote(own, two)
    assert aliases(own) == (two.version, one.version)
    assert (event.what, event.from_version, event.to_version) == (ledger.PROMOTED, one.version, two.version)
    assert (event.who, event.why, event.numbers["workers"]) == ("test", "because", 2)


def test_promoting_the_champion_again_changes_nothing(own: Settings, tmp_path: Path) -> None:
    """A task that is run again gives the same end state and the same event."""
    one = make_version(own, tmp_path)
    first = promote(own, one)
    assert promote(own, one) == first
    assert len(ledger.events(own)) == 1


def test_unconfirmed_promotion_puts_the_aliases_back(own: Settings, tmp_path: Path) -> None:
    """When the service does not take a version over, the old one stays, and the reason is kept."""
    one, two = make_version(own, tmp_path, 1.0), make_version(own, tmp_path, 2.0)
    promote(own, one)
    with pytest.raises(PromotionError, match="out of memory"):
        promote(own, two, refuse)
    assert aliases(own) == (one.version, "")
    newest = ledger.events(own)[0]
    assert newest.what == ledger.PROMOTION_FAILED
    assert "out of memory" in newest.why


def test_first_promotion_that_fails_leaves_no_alias(own: Settings, tmp_path: Path) -> None:
    """Without an old champion, putting back means no champion."""
    with pytest.raises(PromotionError):
        promote(own, make_version(own, tmp_path), refuse)
    assert aliases(own) == ("", "")


def test_changed_champion_refuses_the_challenger(own: Settings, tmp_path: Path) -> None:
    """A challenger that was judged against another champion is not promoted."""
    one, two, three = (make_version(own, tmp_path, s) for s in (1.0, 2.0, 3.0))
    promote(own, one)
    promote(own, two, expected_champion=one.version)
    with pytest.raises(ChampionChanged):
        promote(own, three, expected_champion=one.version)
    assert aliases(own) == (two.version, one.version)
    assert ledger.events(own)[0].what == ledger.REFUSED


def test_kill_after_the_alias_moved_is_finished_later(own: Settings, tmp_path: Path) -> None:
    """The next caller asks the service again and completes the promotion."""
    one, two = make_version(own, tmp_path, 1.0), make_version(own, tmp_path, 2.0)
    promote(own, one)
    with pytest.raises(Killed):
        promote(own, two, die)
    assert aliases(own)[0] == two.version, "a version that loads and passed its examples"
    event = registry.reconcile(own, agree)
    assert event is not None
    assert (event.what, event.to_version) == (ledger.PROMOTED, two.version)
    assert aliases(own) == (two.version, one.version)
    assert registry.reconcile(own, agree) is None


def test_kill_after_the_alias_moved_is_taken_back_when_refused(own: Settings, tmp_path: Path) -> None:
    """The next caller finds that the service does not want it, and puts the alias back."""
    one, two = make_version(own, tmp_path, 1.0), make_version(own, tmp_path, 2.0)
    promote(own, one)
    with pytest.raises(Killed):
        promote(own, two, die)
    event = registry.reconcile(own, refuse)
    assert event is not None
    assert event.what == ledger.PROMOTION_FAILED
    assert aliases(own)[0] == one.version


def test_kill_before_the_alias_moved_is_told(own: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An intention that led to nothing is closed as failed."""
    one, two = make_version(own, tmp_path, 1.0), make_version(own, tmp_path, 2.0)
    promote(own, one)

    def killed(*args: Any, **more: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(registry.aliases, "set_alias", killed)
        with pytest.raises(Killed):
            promote(own, two)
    event = registry.reconcile(own, agree)
    assert event is not None
    assert event.what == ledger.PROMOTION_FAILED
    assert aliases(own) == (one.version, "")


def test_retry_after_a_kill_ends_promoted_once(own: Settings, tmp_path: Path) -> None:
    """The task that is run again after a kill finds its own half-done move and finishes it."""
    one = make_version(own, tmp_path)
    with pytest.raises(Killed):
        promote(own, one, die)
    assert promote(own, one).what == ledger.PROMOTED
    assert [e.what for e in ledger.events(own)] == [ledger.PROMOTED]


def test_rollback_goes_to_what_served_and_quarantines(own: Settings, tmp_path: Path) -> None:
    """Version 2 was never served: the way back from 3 is to 1; 3 does not come back by itself."""
    one, two, three = (make_version(own, tmp_path, s) for s in (1.0, 2.0, 3.0))
    promote(own, one)
    with pytest.raises(PromotionError):
        promote(own, two, refuse)
    promote(own, three)
    event = registry.rollback(own, who="ann", why="complaints", confirm_with=agree)
    assert (event.what, event.from_version, event.to_version) == (ledger.ROLLED_BACK, three.version, one.version)
    assert aliases(own) == (one.version, "")
    assert "complaints" in str(registry.version(own, three.version).quarantined)
    with pytest.raises(PromotionError) as caught:
        promote(own, three)
    assert caught.value.code == "release.quarantined_needs_force"
    promote(own, three, force=True)
    assert registry.version(own, three.version).quarantined == ""


def test_rollback_twice_goes_two_steps(own: Settings, tmp_path: Path) -> None:
    """Every step goes further back, never to what was just left."""
    one, two, three = (make_version(own, tmp_path, s) for s in (1.0, 2.0, 3.0))
    for info in (one, two, three):
        promote(own, info)
    registry.rollback(own, who="t", why="bad", confirm_with=agree)
    assert aliases(own) == (two.version, one.version)
    registry.rollback(own, who="t", why="bad too", confirm_with=agree)
    assert aliases(own) == (one.version, "")
    with pytest.raises(PromotionError) as caught:
        registry.rollback(own, who="t", why="again", confirm_with=agree)
    assert caught.value.code == "release.nothing_to_go_back_to"


def test_rollback_that_is_not_confirmed_changes_nothing(own: Settings, tmp_path: Path) -> None:
    """A rollback is a move like any other: confirmed, or put back."""
    one, two = make_version(own, tmp_path, 1.0), make_version(own, tmp_path, 2.0)
    promote(own, one)
    promote(own, two)
    with pytest.raises(PromotionError):
        registry.rollback(own, who="t", why="bad", confirm_with=refuse)
    assert aliases(own) == (two.version, one.version)
    assert registry.version(own, two.version).quarantined == ""
    assert ledger.events(own)[0].what == ledger.ROLLBACK_FAILED


def test_rollback_to_a_damaged_version_changes_nothing(own: Settings, tmp_path: Path) -> None:
    """What does not load is never gone back to."""
    one, two = make_version(own, tmp_path, 1.0), make_version(own, tmp_path, 2.0)
    promote(own, one)
    promote(own, two)
    (registry.download(own, one) / "bundle.json").unlink()
    stored = next(
        tracking.artifact_root(own).rglob(f"{one.source.split('/')[-1]}/artifacts/artifacts/bundle/model.onnx")
    )
    stored.write_bytes(b"gone")
    with pytest.raises(BundleError):
        registry.rollback(own, who="t", why="bad", confirm_with=agree)
    assert aliases(own)[0] == two.version


def test_unknown_version_is_an_error_that_names_it(own: Settings, tmp_path: Path) -> None:
    """A typing mistake is answered by the registry's own words."""
    make_version(own, tmp_path)
    with pytest.raises(RegistryError, match="99"):
        registry.version(own, "99")


def test_unreachable_server_is_transient_and_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing listens, the caller is told that trying later may help."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = make_settings(tmp_path, tracking_uri="http://127.0.0.1:9")
    with pytest.raises(RegistryUnavailable, match="does not answer"):
        registry.champion(away)


STOCK = """
import sys, json
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("ml", "serving", "torch", "sklearn", "onnx", "msgspec"):
            raise ImportError(f"blocked: {name}")
sys.meta_path.insert(0, Block())
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
print(model.predict(pd.read_json(sys.argv[3], orient="records", dtype=False)).to_json(orient="records"))
"""


def test_stock_mlflow_gets_the_numbers_of_the_bundle(own: Settings, tmp_path: Path) -> None:
    """Without this project on the path, `mlflow.pyfunc.load_model(…@champion)` answers as the service does."""
    import pandas as pd

    info = make_version(own, tmp_path)
    promote(own, info)
    opened = Bundle.open(registry.download(own, info))
    frame = pd.DataFrame({"n0": [0.5, None, 3.0], "n1": [-1.0, 2.5, None], "c0": ["red", "unseen", None]})
    frame.to_json(tmp_path / "rows.json", orient="records")
    arguments = [tracking.local_uri(own), f"models:/{own.registry.model_name}@champion", str(tmp_path / "rows.json")]
    done = subprocess.run(
        [sys.executable, "-c", STOCK, *arguments],
        capture_output=True, text=True, check=True, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    answer = pd.read_json(io.StringIO(done.stdout.strip().splitlines()[-1]), orient="records")
    texts = np.asarray([["red"], ["unseen"], [""]], dtype=object)
    expected = opened.run(frame[["n0", "n1"]].to_numpy(np.float32), texts)
    np.testing.assert_allclose(answer[["probability_no", "probability_yes"]], expected, atol=1e-6)
    assert answer["label"].tolist() == opened.label(expected).tolist()


def forge(own: Settings, tmp_path: Path, slope: float) -> VersionInfo:
    """A version as somebody makes it who can write to MLflow and has no key."""
    eve = make_settings(tmp_path / "eve", tracking_uri=tracking.uri(own), model_name=own.registry.model_name)
    return make_version(eve, tmp_path, slope)


def test_forged_version_is_neither_promoted_nor_gone_back_to(own: Settings, tmp_path: Path) -> None:
    real = make_version(own, tmp_path, 1.0)
    registry.promote(own, real.version, who="ann", why="first", confirm_with=agree)
    forged = forge(own, tmp_path, 2.0)
    assert forged.sha256 != real.sha256
    with pytest.raises(BundleError, match="which is not in"):
        registry.promote(own, forged.version, who="ann", why="trust me", force=True, confirm_with=agree)
    with pytest.raises(BundleError, match="which is not in"):
        registry.rollback(own, forged.version, who="ann", why="trust me", confirm_with=agree)
    now = registry.champion(own)
    assert now is not None
    assert now.version == real.version


def test_version_of_another_maker_is_taken_with_signatures_off(own: Settings, tmp_path: Path) -> None:
    forged = forge(own, tmp_path, 1.0)
    off = make_settings(own.home, model_name=own.registry.model_name, signatures="off")
    assert registry.promote(off, forged.version, who="ann", why="by hand", confirm_with=agree).to_version == "1"


def test_alias_that_was_set_by_hand_is_promoted_only_if_it_is_signed_and_serves(own: Settings, tmp_path: Path) -> None:
    """The ledger must not say that something served because the alias was on it."""
    real, forged = make_version(own, tmp_path, 1.0), forge(own, tmp_path, 2.0)
    registry.promote(own, real.version, who="ann", why="first", confirm_with=agree)
    registry_aliases.set_alias(own, registry.CHAMPION, forged.version)
    with pytest.raises(BundleError, match="which is not in"):
        registry.promote(own, forged.version, who="ann", why="it is the champion", confirm_with=agree)
    other = make_version(own, tmp_path, 3.0)
    registry_aliases.set_alias(own, registry.CHAMPION, other.version)
    with pytest.raises(PromotionError, match="out of memory"):
        registry.promote(own, other.version, who="ann", why="it is the champion", confirm_with=refuse)
    assert ledger.serving(own) == real.version
    event = registry.promote(own, other.version, who="ann", why="it is the champion", confirm_with=agree)
    assert (event.what, event.to_version) == (ledger.PROMOTED, other.version)


def test_the_way_back_passes_by_what_nobody_signed(own: Settings, tmp_path: Path) -> None:
    first, forged, last = make_version(own, tmp_path, 1.0), forge(own, tmp_path, 2.0), make_version(own, tmp_path, 3.0)
    registry.promote(own, first.version, who="ann", why="first", confirm_with=agree)
    registry_aliases.set_alias(own, registry.CHAMPION, forged.version)
    registry.promote(own, last.version, who="ann", why="away from it", confirm_with=agree)
    assert registry.rollback(own, who="ann", why="back", confirm_with=agree).to_version == first.version


def test_an_alias_moved_by_mlflows_own_client_is_a_promotion(own: Settings, tmp_path: Path) -> None:
    """As MLflow's page does it; recorded by the process that the service's follower starts, and once."""
    first, second = (make_version(own, tmp_path, slope) for slope in (1.0, 2.0))
    promote(own, first)
    tracking.client(own).set_registered_model_alias(own.registry.model_name, "champion", second.version)
    variables = {
        "REFIT_HOME": str(own.home),
        "REFIT_MLFLOW_PORT": "1",
        "REFIT_REGISTRY__MODEL_NAME": own.registry.model_name,
    }
    command = [sys.executable, "-m", "ml.registry.outside_moves"]
    both = [subprocess.Popen(command, env={**os.environ, **variables}) for _ in range(2)]
    assert [one.wait(120) for one in both] == [0, 0]
    moves = ledger.events(own, what=ledger.SERVED)
    assert [(e.what, e.from_version, e.to_version) for e in moves][:1] == [
        (ledger.PROMOTED, first.version, second.version)
    ]
    assert len(moves) == 2
    assert aliases(own) == (second.version, first.version)
    tracking.client(own).delete_registered_model_alias(own.registry.model_name, "champion")
    assert registry.serving(own) == registry.version(own, second.version)


def test_artifacts_that_are_out_of_reach_refuse_nothing(
    own: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No service can have fetched the version: the move stays begun, and the task that is run again finishes it."""
    one, other = make_version(own, tmp_path), make_version(own, tmp_path, 2.0)
    promote(own, one)

    def away(*_: Any) -> Path:
        raise RegistryUnavailable("S3 does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(promotion, "fetch", away)
        with pytest.raises(RegistryUnavailable):
            promote(own, other, refuse)
    assert ledger.open_intention(own) is not None
    assert promote(own, other).what == ledger.PROMOTED
    assert aliases(own) == (other.version, one.version)
    assert [event.what for event in ledger.events(own, what=[ledger.PROMOTION_FAILED, ledger.REFUSED])] == []
