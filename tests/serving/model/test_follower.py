"""Registry → verified cache → pointer, against a registry that is a folder behind MLflow's REST answers."""

from __future__ import annotations

import base64
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ml.bundle import signature
from ml.errors import RegistryUnavailable, StoreUnavailable
from ml.messages import code_of
from ml.registry import ledger, rollout
from ml.settings import Settings
from serving.metrics import Metrics
from serving.model import champion_lookup
from serving.model import follower as followers
from serving.model.follower import Follower
from serving.model.store import ModelStore, read_pointer, read_refusals
from tests import fake_http
from tests.serving import tiny
from tests.serving.fake_registry import Registry
from tests.serving.running import wait_for


@pytest.fixture
def settings(tmp_path: Path, registry: Registry) -> Settings:
    return tiny.settings_for(
        tmp_path / "home", registry={"tracking_uri": registry.url}, serving={"reload_interval_s": 0.05}
    )


def pointed(settings: Settings) -> str | None:
    pointer = read_pointer(settings.var / "serving")
    return pointer and pointer.version


def test_no_champion_is_no_pointer(settings: Settings) -> None:
    assert Follower(settings).step() is False
    assert pointed(settings) is None


def test_champion_is_copied_verified_and_pointed_at(settings: Settings, registry: Registry) -> None:
    registry.register("3")
    registry.champion = "3"
    follower = Follower(settings)
    assert follower.step() is True
    assert follower.step() is False
    pointer = read_pointer(settings.var / "serving")
    assert pointer is not None
    assert (pointer.version, pointer.sha256) == ("3", registry.hashes["3"])
    assert pointer.path == f"cache/{registry.hashes['3']}"


def damage(bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes((bundle / "model.onnx").read_bytes()[:-10] + b"0123456789")


def truncate(bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes((bundle / "model.onnx").read_bytes()[:100])


def remove(bundle: Path) -> None:
    (bundle / "schema.json").unlink()


def link(bundle: Path) -> None:
    (bundle / "schema.json").unlink()
    (bundle / "schema.json").symlink_to("/etc/hostname")


@pytest.mark.parametrize("harm", [damage, truncate, remove, link])
def test_harmed_artifact_is_refused_and_the_old_one_stays(settings: Settings, registry: Registry, harm: object) -> None:
    registry.register("1")
    registry.register("2", bias=1.0)
    registry.champion = "1"
    follower = Follower(settings)
    follower.step()
    harm(registry.bundle("2"))  # type: ignore[operator]
    registry.champion = "2"
    assert follower.step() is False
    assert pointed(settings) == "1"
    (refusal,) = read_refusals(settings.var / "serving")
    assert refusal.version == "2"
    assert code_of(refusal.reason).startswith("bundle.")
    assert list((settings.var / "serving" / "cache").glob(".loading-*")) == []


def test_artifact_that_was_replaced_as_a_whole_is_refused(settings: Settings, registry: Registry) -> None:
    """A bundle that is whole in itself, but not the one that was registered."""
    registry.register("2")
    shutil.rmtree(registry.bundle("2"))
    tiny.write_bundle(registry.bundle("2"), bias=5.0)
    registry.champion = "2"
    assert Follower(settings).step() is False
    assert "SHA-256" in str(read_refusals(settings.var / "serving")[0].reason)


def test_model_that_gives_other_numbers_than_it_was_judged_by_is_refused(
    settings: Settings, registry: Registry
) -> None:
    from ml.bundle import reader as bundle

    registry.register("2")
    folder = registry.bundle("2")
    examples = json.loads((folder / "examples.json").read_bytes())
    examples["probabilities"][0] = [0.5, 0.5]
    (folder / "examples.json").write_text(json.dumps(examples))
    registry.hashes["2"] = bundle.seal(folder)
    signature.sign(settings, folder)
    registry.champion = "2"
    assert Follower(settings).step() is False
    assert code_of(read_refusals(settings.var / "serving")[0].reason) == "bundle.differs"


def unsign(settings: Settings, bundle: Path) -> None:
    (bundle / "bundle.sig").unlink()


def sign_by_another(settings: Settings, bundle: Path) -> None:
    signature.sign(tiny.settings_for(settings.home.with_name("eve")), bundle)


def sign_for_another_model(settings: Settings, bundle: Path) -> None:
    other = tiny.settings_for(settings.home, registry={"model_name": "Another"})
    signature.sign(other, bundle)


def take_the_signature_of_another(settings: Settings, bundle: Path) -> None:
    shutil.copy(bundle.parents[2] / "1" / "artifacts" / "bundle" / "bundle.sig", bundle / "bundle.sig")


def alter_the_signature(settings: Settings, bundle: Path) -> None:
    found = json.loads((bundle / "bundle.sig").read_bytes())
    envelope = found["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"]).replace(b"metrics.json", b"metrics.jsom")
    envelope["payload"] = base64.b64encode(payload).decode()
    (bundle / "bundle.sig").write_text(json.dumps(found))


def tear_the_signature(settings: Settings, bundle: Path) -> None:
    (bundle / "bundle.sig").write_bytes((bundle / "bundle.sig").read_bytes()[:100])


@pytest.mark.parametrize(
    "forge",
    [
        unsign, sign_by_another, sign_for_another_model, take_the_signature_of_another, alter_the_signature,
        tear_the_signature,
    ],
)  # fmt: skip
def test_bundle_that_no_trusted_key_signed_is_not_served_and_that_is_told(
    settings: Settings, registry: Registry, forge: Callable[[Settings, Path], None]
) -> None:
    """Whoever can write to MLflow can write a bundle, its hash and the alias, but not the signature."""
    registry.register("1")
    registry.register("2", bias=5.0)
    registry.champion = "1"
    follower = Follower(settings)
    follower.step()
    forge(settings, registry.bundle("2"))
    registry.champion = "2"
    for _ in range(3):
        assert follower.step() is False
        follower._refused_at.clear()
    assert pointed(settings) == "1"
    (refusal,) = read_refusals(settings.var / "serving")
    assert "bundle.sig" in str(refusal.reason)
    assert ".loading-" not in str(refusal.reason)
    assert b"refit_versions_refused 1.0" in Metrics(settings.var / "serving").render()
    (event,) = ledger.events(settings)
    assert (event.what, event.to_version, event.because) == (ledger.NOT_SERVED, "2", refusal.reason)
    assert event.to_sha256 == registry.hashes["2"]
    (alert,) = (settings.var / "logs" / "alerts.jsonl").read_text().splitlines()
    assert json.loads(alert)["kind"] == "not served"


def test_what_serves_is_not_taken_away_when_its_key_is_no_longer_trusted(
    settings: Settings, registry: Registry
) -> None:
    registry.register("1")
    registry.champion = "1"
    Follower(settings).step()
    for key in (settings.var / "trusted_keys").iterdir():
        key.unlink()
    assert Follower(settings).step() is False
    assert pointed(settings) == "1"
    assert (settings.var / "serving" / "cache" / registry.hashes["1"] / "model.onnx").exists()
    signature.sign(settings, registry.bundle("1"))  # which trusts the home's own key again
    assert Follower(settings).step() is False
    assert read_refusals(settings.var / "serving") == []


def test_signatures_off_serves_what_has_the_registered_hash(settings: Settings, registry: Registry) -> None:
    registry.register("1", signed=False)
    registry.champion = "1"
    off = tiny.settings_for(settings.home, registry={"tracking_uri": registry.url, "signatures": "off"})
    assert Follower(off).step() is True


def test_refusal_that_the_ledger_did_not_take_is_told_later(
    settings: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("the database does not answer")

    registry.register("1", signed=False)
    registry.champion = "1"
    follower = Follower(settings)
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "append", away)
        follower.step()
    assert ledger.events(settings) == []
    follower._refused_at.clear()
    follower.step()
    assert [event.what for event in ledger.events(settings)] == [ledger.NOT_SERVED]


def test_mended_version_is_taken_after_a_notice_and_its_refusal_forgotten(
    settings: Settings, registry: Registry
) -> None:
    registry.register("2")
    whole = registry.bundle("2").with_name("whole")
    shutil.copytree(registry.bundle("2"), whole)
    truncate(registry.bundle("2"))
    registry.champion = "2"
    follower = Follower(settings)
    follower.step()
    shutil.rmtree(registry.bundle("2"))
    whole.rename(registry.bundle("2"))
    assert follower.step() is False  # not at every round
    rollout.notify(settings)
    assert follower._was_notified()
    assert follower.step() is True
    assert read_refusals(settings.var / "serving") == []


def test_unreachable_registry_changes_nothing(settings: Settings, registry: Registry) -> None:
    registry.register("1")
    registry.champion = "1"
    follower = Follower(settings)
    follower.step()
    registry.close()
    with pytest.raises(RegistryUnavailable):
        follower.step()
    assert pointed(settings) == "1"


def test_cache_that_was_damaged_is_loaded_again_at_the_start(settings: Settings, registry: Registry) -> None:
    registry.register("1")
    registry.champion = "1"
    Follower(settings).step()
    truncate(settings.var / "serving" / "cache" / registry.hashes["1"])
    store = ModelStore(settings.var / "serving")
    store.refresh()
    assert store.refused is not None
    store._report()
    assert Follower(settings).step() is True
    store.refresh()
    served = store.current()
    assert served is not None
    assert served.version == "1"
    store.close()


def test_old_bundles_are_cleared_away(settings: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followers, "KEPT_BUNDLES", 2)
    follower = Follower(settings)
    for version in "1234":
        registry.register(version, bias=float(version))
        registry.champion = version
        follower.step()
    left = {folder.name for folder in (settings.var / "serving" / "cache").iterdir()}
    assert left == {registry.hashes["3"], registry.hashes["4"]}


def test_the_bundle_in_service_stays_although_the_clock_says_1970(
    settings: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the oldest by its time then."""
    monkeypatch.setattr(followers, "KEPT_BUNDLES", 2)
    follower = Follower(settings)
    for version in "123":
        registry.register(version, bias=float(version))
        registry.champion = version
        if version == "3":
            monkeypatch.setattr(os, "utime", lambda path, *_, utime=os.utime, **__: utime(path, (0, 0)))
        follower.step()
    assert (settings.var / "serving" / "cache" / registry.hashes["3"]).is_dir()


def test_running_follower_sees_the_alias_move_and_stops_when_told(settings: Settings, registry: Registry) -> None:
    registry.register("1")
    registry.register("2", bias=1.0)
    registry.champion = "1"
    stop = threading.Event()
    follower = Follower(settings, record=Recorder())  # type: ignore[arg-type]
    thread = threading.Thread(target=follower.run, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: pointed(settings) == "1", what="version 1")
        registry.champion = "2"
        wait_for(lambda: pointed(settings) == "2", what="version 2")
    finally:
        stop.set()
        thread.join(timeout=10)
    assert not thread.is_alive()


def test_an_answer_of_the_registry_that_breaks_off_is_no_answer() -> None:
    with fake_http.breaking_off() as port, pytest.raises(RegistryUnavailable, match="does not answer"):
        champion_lookup.get(f"http://127.0.0.1:{port}", "registered-models/alias", name="refit")


class Recorder:
    """Stands for the process that records a move: what it was asked, and when it is done."""

    def __init__(self) -> None:
        self.started = 0
        self.done: int | None = 0

    def __call__(self) -> Recorder:
        self.started += 1
        return self

    def poll(self) -> int | None:
        return self.done

    def wait(self, timeout: float | None = None) -> int | None:
        return self.done


def look(follower: Follower) -> None:
    follower.step()
    follower.look_for_outside_move()


def test_a_move_in_mlflow_is_recorded_by_another_process_once_it_serves(
    settings: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One at a time, again while the ledger does not know it, and not at all once it does; also after a restart."""
    monkeypatch.setattr(followers, "RETRY_REFUSED_S", 0.0)
    recorder = Recorder()
    follower = Follower(settings, record=recorder)  # type: ignore[arg-type]
    look(follower)
    assert recorder.started == 0, "an empty registry is no move"
    registry.register("3")
    registry.champion = "3"
    recorder.done = None
    look(follower)
    look(follower)
    assert recorder.started == 1
    recorder.done = 1
    look(follower)
    assert recorder.started == 2, "the first could not: it is tried again"
    ledger.append(settings, ledger.PROMOTED, who="in MLflow's registry", to_version="3")
    recorder.done = 0
    for one in (follower, Follower(settings, record=recorder)):  # type: ignore[arg-type]
        look(one)
        look(one)
    assert recorder.started == 2


def test_another_registrys_version_of_the_number_is_a_move(settings: Settings, registry: Registry) -> None:
    """Also under a follower that knows the number already."""
    recorder = Recorder()
    follower = Follower(settings, record=recorder)  # type: ignore[arg-type]
    registry.register("3")
    registry.champion = "3"
    ledger.append(settings, ledger.PROMOTED, who="ann", to_version="3", to_sha256=registry.hashes["3"])
    look(follower)
    assert recorder.started == 0
    shutil.rmtree(registry.bundle("3"))
    registry.register("3", bias=5.0)
    look(follower)
    assert recorder.started == 1


def test_a_promotion_of_our_own_is_left_alone(settings: Settings, registry: Registry) -> None:
    recorder = Recorder()
    follower = Follower(settings, record=recorder)  # type: ignore[arg-type]
    registry.register("3")
    intention = ledger.append(settings, ledger.PROMOTING, who="ann", to_version="3")
    registry.champion = "3"
    look(follower)
    assert (pointed(settings), recorder.started) == ("3", 0)
    ledger.append(settings, ledger.PROMOTED, who="ann", to_version="3", intention=intention)
    look(follower)
    assert recorder.started == 0


def test_a_version_that_does_not_serve_is_no_promotion(settings: Settings, registry: Registry) -> None:
    recorder = Recorder()
    registry.register("3")
    damage(registry.bundle("3"))
    registry.champion = "3"
    look(Follower(settings, record=recorder))  # type: ignore[arg-type]
    assert (pointed(settings), recorder.started) == (None, 0)


def test_a_deleted_alias_is_told_and_the_service_keeps_serving(settings: Settings, registry: Registry) -> None:
    recorder = Recorder()
    follower = Follower(settings, record=recorder)  # type: ignore[arg-type]
    registry.register("3")
    registry.champion = "3"
    ledger.append(settings, ledger.PROMOTED, who="ann", to_version="3")
    look(follower)
    registry.champion = ""
    look(follower)
    assert (pointed(settings), recorder.started) == ("3", 1)
    ledger.append(settings, ledger.ALIAS_GONE, who="in MLflow's registry", from_version="3")
    look(follower)
    look(follower)
    assert recorder.started == 1
