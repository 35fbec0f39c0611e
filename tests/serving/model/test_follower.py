"""Registry → verified cache → pointer, against a registry that is a folder behind MLflow's REST answers."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml.errors import RegistryUnavailable
from ml.registry import rollout
from ml.settings import Settings
from serving.model import champion_lookup
from serving.model import follower as followers
from serving.model.follower import Follower
from serving.model.store import ModelStore, read_pointer, read_refusals
from tests.serving import tiny
from tests.serving.fake_registry import Registry
from tests.serving.running import wait_for


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    made = Registry(tmp_path / "registry")
    yield made
    made.close()


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
    assert "bundle" in refusal.reason
    assert list((settings.var / "serving" / "cache").glob(".loading-*")) == []


def test_artifact_that_was_replaced_as_a_whole_is_refused(settings: Settings, registry: Registry) -> None:
    """A bundle that is whole in itself, but not the one that was registered."""
    registry.register("2")
    shutil.rmtree(registry.bundle("2"))
    tiny.write_bundle(registry.bundle("2"), bias=5.0)
    registry.champion = "2"
    assert Follower(settings).step() is False
    assert "SHA-256" in read_refusals(settings.var / "serving")[0].reason


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
    registry.champion = "2"
    assert Follower(settings).step() is False
    assert "examples differ" in read_refusals(settings.var / "serving")[0].reason


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
    thread = threading.Thread(target=Follower(settings).run, args=(stop,))
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
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(RegistryUnavailable, match="does not answer"):
            champion_lookup.get(f"http://127.0.0.1:{server.getsockname()[1]}", "registered-models/alias", name="refit")
        thread.join()
