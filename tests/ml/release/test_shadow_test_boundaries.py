"""One look at the challenger in shadow, case by case: which rows count, what the gate is asked, how the wait ends."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from ml import predictions, registry
from ml.drift import backtest, verdict_history
from ml.drift.verdict import DriftVerdict, Shadow, Signals, Verdict
from ml.errors import BundleError, ChampionChanged, PromotionError, RegistryError
from ml.gate import evidence, regression_rows, rules
from ml.gate.fitted_rows import FittedRows
from ml.messages import message
from ml.registry import catalog, ledger
from ml.release import replay_scoring, shadow_slot, shadow_test
from ml.settings import Settings, from_values
from ml.storage import database
from tests.ml import worlds
from tests.ml.registry import memory
from tests.ml.tiny import tiny_rows, tiny_schema

NEEDED = 30
SINCE = worlds.START
DAYS = 86_400.0


def settings_of(home: Path, *, label_rows: int = 100, policy: str = "always") -> Settings:
    return from_values(
        {
            "home": str(home),
            "registry": {"tracking_uri": memory.URI, "model_name": "M", "confirm": "never"},
            "gate": {
                "policy": policy, "shadow_rows": NEEDED, "min_rows": 5, "n_bootstrap": 50, "shadow_s": 7 * DAYS,
                "max_latency_ms": 10_000.0,
            },
            "drift": {"track": False, "report_rows": 0, "label_rows": label_rows},
            "train": {"seed": 7},
        }
    )  # fmt: skip


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(ledger, "clock", SimpleNamespace(now=lambda _: SINCE))
    return settings_of(tmp_path / "home")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, own: Settings, tmp_path: Path) -> memory.Registry:
    """Version 1 serves, 2 decides the opposite, was made 1,000 s before it came into the slot, and waits."""
    made = memory.install(monkeypatch, own, tmp_path / "bundles")
    made.add()
    made.add(slope=-1.0, run_key="key", created=SINCE - 1_000)
    made.aliases["champion"] = "1"
    enter(own)
    return made


def enter(own: Settings, version: str = "2", **known: Any) -> None:
    shadow_slot.enter(
        own, version, who="ann", why="because", run_key="key", champion="1",
        sha256=registry.version(own, version).sha256, champion_sha256=registry.version(own, "1").sha256,
        **{"degraded": False, "challenger_beats_champion": False, **known},
    )  # fmt: skip


def hash_of(store: memory.Registry, version: str) -> str:
    return store.tags(version)[registry.SHA256]


def serve(
    own: Settings, n: int, *, version: str = "1", at: float = SINCE, right: int = 0, labelled: bool = True,
    sha256: str = "", row_id: str = "",
) -> None:  # fmt: skip
    """Rows that version 1 (or what is called another one) answered; it is right on the first `right`."""
    rows = tiny_rows(n, seed=n)
    bundle = replay_scoring.open_version(own, "1")
    p = bundle.run(rows.numbers, rows.categories)
    labels = bundle.label(p)
    records = [
        {
            "prediction_id": f"{version}-{at}-{i}", "time": at + i / 1000, "model_version": version,
            "inputs": {f"n{k}": float(v) for k, v in enumerate(rows.numbers[i])} | {"c0": rows.categories[i, 0]},
            "model_sha256": sha256, "row_id": row_id, "label": labels[i], "probability": float(p[i].max()),
            "probabilities": dict(zip(bundle.classes, p[i].tolist(), strict=True)),
        }
        for i in range(n)
    ]  # fmt: skip
    predictions.insert(database.engine(own), records)
    if labelled:
        other = np.where(labels == "yes", "no", "yes")
        worlds.answer(own, [r["prediction_id"] for r in records], np.where(np.arange(n) < right, labels, other), at + 9)


def look(own: Settings, now: float = SINCE + 60) -> Shadow | None:
    return shadow_test.watch(own, now)


def newest(own: Settings) -> ledger.Event:
    return ledger.events(own, limit=1)[0]


def alerts(own: Settings) -> list[dict[str, Any]]:
    file = own.var / "logs" / "alerts.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


REASONS = [message("gate.no_rows"), message("gate.more_worse_slices", n=2)]
TWICE = message("gate.refused", reasons=REASONS)


class Judge:
    """Stands for the gate: notes what it is asked, and answers as told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, promote: bool = False) -> None:
        self.asked: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.verdict = rules.Verdict(promote=promote, message=TWICE, messages=REASONS, numbers={})
        monkeypatch.setattr(evidence, "judge", self)

    def __call__(self, *args: Any, **more: Any) -> rules.Verdict:
        self.asked.append((args, more))
        return self.verdict


def test_without_a_challenger_ever_mlflow_is_not_asked(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every drift check would pay for it."""
    monkeypatch.setattr(registry, "champion", lambda _: pytest.fail("asked"))
    assert look(own) is None


def test_what_was_cut_short_is_finished_first(own: Settings, store: memory.Registry) -> None:
    ledger.append(own, ledger.PROMOTING, who="eve", from_version="1", to_version="2")
    look(own)
    assert ledger.open_intention(own) is None


def test_without_a_champion_it_waits_on(own: Settings, store: memory.Registry) -> None:
    """There is none to be beaten; the alias follows all the same."""
    store.aliases.clear()
    assert look(own) is None
    assert store.aliases == {"shadow": "2"}


def test_a_wait_that_is_over_is_not_looked_at(own: Settings, store: memory.Registry) -> None:
    one = shadow_slot.find(own)
    assert one is not None
    shadow_slot.refuse(own, one, who="eve", why="no good")
    assert look(own) is None
    assert store.aliases == {"champion": "1"}


def test_a_look_holds_the_lock_of_the_slot(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, seen = memory.watch_locks(monkeypatch), list[list[str]]()
    whole = registry.set_shadow
    monkeypatch.setattr(registry, "set_shadow", lambda *a: (seen.append([*held]), whole(*a)))
    look(own)
    assert seen
    assert {tuple(names) for names in seen} == {(shadow_slot.LOCK,)}


def test_how_it_stands(own: Settings, store: memory.Registry) -> None:
    """Of the champion's labelled answers since the challenger was made, and of no others."""
    serve(own, 19, right=8, at=SINCE - 1_000)
    serve(own, 7, at=SINCE - 1_001)
    serve(own, 6, labelled=False)
    serve(own, 5, version="3")
    found = look(own)
    assert found == Shadow(
        version="2", champion="1", rows=19, needed=NEEDED, accuracy=found.accuracy, champion_accuracy=8 / 19,
        agreement=found.agreement, since=SINCE, until=SINCE + 7 * DAYS,
    )  # fmt: skip
    assert found.accuracy not in (None, found.champion_accuracy)
    assert found.agreement not in (None, found.accuracy)
    assert found.state == "waits"
    one = shadow_slot.find(own)
    assert one is not None
    assert shadow_test.progress(own, one, "1", "") == found
    assert shadow_test.progress(own, one, "3", "").rows == 5


def test_what_another_registrys_version_of_that_number_answered_does_not_count(
    own: Settings, store: memory.Registry
) -> None:
    serve(own, 4, sha256="ab")
    serve(own, 5, at=SINCE + 1, sha256=registry.version(own, "1").sha256)
    found, one = look(own), shadow_slot.find(own)
    assert found is not None
    assert one is not None
    assert found.rows == 5
    assert shadow_test.progress(own, one, "1", "ab").rows == 4


def test_customers_of_its_training_do_not_count(
    own: Settings, store: memory.Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is known of them now."""
    known, new = "cd" * 16, "ab" * 16
    serve(own, 4, row_id=known)
    serve(own, 5, at=SINCE + 1, row_id=new)
    taught = FittedRows(np.array([1], np.uint64), evidence.id_hashes(np.array([known], object)))
    monkeypatch.setattr("ml.gate.fitted_rows.of", lambda *_: taught)
    found = look(own)
    assert found is not None
    assert found.rows == 5


@pytest.mark.parametrize(("label_rows", "rows"), [(NEEDED + 5, NEEDED + 5), (10, NEEDED)])
def test_the_newest_are_looked_at_as_many_as_a_check_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: memory.Registry, label_rows: int, rows: int
) -> None:
    """And never fewer than it needs."""
    own = settings_of(tmp_path / "home", label_rows=label_rows, policy="never")
    serve(own, NEEDED + 20)
    Judge(monkeypatch)
    found = look(own)
    assert found is not None
    assert (found.rows, found.state) == (rows, "refused")


def test_rows_of_its_own_training_do_not_count(
    own: Settings, store: memory.Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor are they given to the gate."""
    serve(own, NEEDED + 4)
    judge = Judge(monkeypatch)
    bundle = replay_scoring.open_version(own, "2")
    known = replay_scoring.live(own, bundle, against="1", rows=4)
    X, y = backtest.canonical(predictions.training_rows(own, known), bundle.schema)
    taught = FittedRows(np.unique(regression_rows.row_hashes(X, y, bundle.schema)))
    monkeypatch.setattr("ml.gate.fitted_rows.of", lambda *_: taught)
    found = look(own)
    assert found is not None
    assert found.rows == NEEDED
    (_, rows, _, _), _ = judge.asked[0]
    assert len(rows) == NEEDED
    assert rows.X.index.tolist() == list(range(NEEDED))
    assert "index" not in rows.X


def test_the_gate_is_asked_once_there_are_enough(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with one row fewer; on the live rows and the regression rows, against the version that answered."""
    judge = Judge(monkeypatch)
    kept_rows = pd.DataFrame({"n0": [0.5], "n1": [0.1], "c0": ["red"]})
    monkeypatch.setattr(regression_rows, "load", lambda s, known: (kept_rows, np.array([1])) if s is own else None)
    serve(own, NEEDED - 1)
    assert look(own) is not None
    assert not judge.asked
    serve(own, 1, at=SINCE + 5)
    look(own)
    ((settings, rows, challenger, champion), more), = judge.asked  # fmt: skip
    assert settings is own
    assert (len(rows), int(rows.parts["recent"].sum()), int(rows.parts["regression"].sum())) == (NEEDED + 1, NEEDED, 1)
    assert rows.notes == ()
    assert (challenger.path.name, champion.path.name) == ("2", "1")
    assert more == {
        "prior": None, "degraded": False, "challenger_beats_champion": False, "seed": 7, "problem": None,
    }  # fmt: skip


def test_a_champion_that_does_not_load_is_told_to_the_gate(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(own, NEEDED)
    judge = Judge(monkeypatch)
    store.damage("1")
    look(own)
    (_, _, _, champion), more = judge.asked[0]
    assert champion is None
    assert more["problem"]


@pytest.mark.parametrize("part", ["columns", "classes"])
def test_one_of_other_columns_or_classes_is_refused(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """The log of the champion cannot tell how it does; the gate is not asked."""
    serve(own, NEEDED)
    judge = Judge(monkeypatch, promote=True)
    schema = tiny_schema(numbers=3) if part == "columns" else msgspec.structs.replace(tiny_schema(), classes=("a", "b"))
    other = SimpleNamespace(schema=schema, classes=schema.classes)
    monkeypatch.setattr(evidence, "open_version", lambda *_: (other, None))
    found = look(own)
    assert found is not None
    assert found.state == "refused"
    assert judge.asked == []
    why = message("release.shadow_other_columns", version="1")
    assert newest(own).message == message("release.shadow_not_judged", error=why)
    assert [a["kind"] for a in alerts(own)] == ["refused in shadow"]


def test_columns_in_another_order_are_the_same(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(own, NEEDED)
    judge = Judge(monkeypatch)
    schema = tiny_schema()
    turned = msgspec.structs.replace(schema, columns=schema.columns[::-1], classes=schema.classes[::-1])
    other = SimpleNamespace(schema=turned, classes=turned.classes)
    monkeypatch.setattr(evidence, "open_version", lambda *_: (other, None))
    look(own)
    assert judge.asked


def test_one_that_proves_better_is_promoted(own: Settings, store: memory.Registry) -> None:
    """By the watch, from the version that it was judged against, with the figures; its run says so."""
    serve(own, NEEDED)
    found = look(own)
    assert found is not None
    assert (found.state, found.rows) == ("promoted", NEEDED)
    event = newest(own)
    assert (event.what, event.who, event.run_key) == (ledger.PROMOTED, shadow_test.WHO, "key")
    assert (event.from_version, event.to_version) == ("1", "2")
    assert (event.from_sha256, event.to_sha256) == (hash_of(store, "1"), hash_of(store, "2"))
    assert event.message is not None
    assert (event.message.code, event.message.values["version"]) == ("release.judged_in_shadow", "1")
    assert event.message.values["verdict"].code == "gate.always_although"  # type: ignore[union-attr]
    assert event.numbers["shadow"] == shadow_slot.figures(found)
    assert store.run_tags == {"run-2": {"refit.promoted": "2"}}
    assert store.aliases == {"champion": "2", "previous": "1"}
    assert alerts(own) == []


def test_one_that_the_gate_refuses_is_refused(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the gate's reasons and the figures; it counts as a refusal, and nobody is woken."""
    serve(own, NEEDED)
    Judge(monkeypatch)
    found = look(own)
    assert found is not None
    assert found.state == "refused"
    event = newest(own)
    assert (event.what, event.who, event.from_version, event.to_version) == (
        ledger.REFUSED, shadow_test.WHO, "1", "2",
    )  # fmt: skip
    assert event.numbers == {
        "shadow": True, "reasons": [reason.text for reason in REASONS], "codes": [reason.code for reason in REASONS],
        **shadow_slot.figures(found),
    }  # fmt: skip
    assert event.message == message("release.judged_in_shadow", verdict=TWICE, version="1")
    assert alerts(own) == []
    assert store.aliases == {"champion": "1"}


def test_a_champion_that_changed_at_the_last_moment_is_the_next_to_beat(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clock runs on."""
    serve(own, NEEDED)
    store.add()
    monkeypatch.setattr(ledger, "clock", SimpleNamespace(now=lambda _: SINCE + 500))

    def changed(settings: Settings, version: str, **more: Any) -> Any:
        assert (more["expected_champion"], more["expected_sha256"]) == ("1", hash_of(store, "1"))
        assert (version, more["sha256"]) == ("2", hash_of(store, "2"))
        store.aliases["champion"] = "3"
        raise ChampionChanged("another")

    monkeypatch.setattr(registry, "promote", changed)
    found = look(own)
    assert found is not None
    assert (found.state, found.rows) == ("waits", NEEDED)
    one = shadow_slot.find(own)
    assert one is not None
    assert (one.champion, one.since, newest(own).who) == ("3", SINCE, shadow_test.WHO)
    assert one.champion_sha256 == hash_of(store, "3")
    assert store.run_tags == {}


def test_a_champion_that_is_gone_at_the_last_moment_leaves_none_to_beat(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(own, NEEDED)

    def changed(*_: Any, **__: Any) -> Any:
        del store.aliases["champion"]
        raise ChampionChanged("none")

    monkeypatch.setattr(registry, "promote", changed)
    look(own)
    one = shadow_slot.find(own)
    assert one is not None
    assert (one.champion, one.champion_sha256) == ("", "")


@pytest.mark.parametrize("error", [PromotionError, BundleError])
def test_one_that_is_not_taken_over_is_refused_and_told(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """Not counted twice: the move that failed counts already."""
    serve(own, NEEDED)

    def fails(*_: Any, **__: Any) -> Any:
        raise error("out of memory")

    monkeypatch.setattr(registry, "promote", fails)
    found = look(own)
    assert found is not None
    assert found.state == "refused"
    event = newest(own)
    assert (event.what, event.numbers[shadow_slot.UNJUDGED], event.numbers["rows"]) == (ledger.REFUSED, True, NEEDED)
    assert event.message == message("release.shadow_not_taken_over", error="out of memory")
    (alert,) = alerts(own)
    assert (alert["kind"], alert["version"], alert["champion"]) == ("refused in shadow", "2", "1")
    assert str(event.why) in alert["text"]


def test_one_that_cannot_be_compared_is_refused_and_told(own: Settings, store: memory.Registry) -> None:
    """It counts as a refusal, with no rows; the alert says of whom."""
    registry.quarantine(own, "2", who="eve", why="bad")
    one = shadow_slot.find(own)
    assert one is not None
    with pytest.raises(RegistryError):
        shadow_test.progress(own, one, "1", "")
    found = look(own)
    assert found == Shadow(version="2", champion="1", state="refused")
    event = newest(own)
    assert (event.what, event.to_version, event.who) == (ledger.REFUSED, "2", shadow_test.WHO)
    figures = {"rows": 0, "needed": 0, "accuracy": None, "champion_accuracy": None, "agreement": None}
    assert event.numbers == {"shadow": True, **figures}
    why = message("release.quarantined", version="2", reason="bad")
    assert event.message == message("release.shadow_not_judged", error=why)
    (alert,) = alerts(own)
    assert (alert["version"], alert["champion"]) == ("2", "1")


@pytest.mark.parametrize("bad", ["damaged", "deleted"])
def test_one_that_is_damaged_or_gone_is_refused(own: Settings, store: memory.Registry, bad: str) -> None:
    replay_scoring._open.cache_clear()
    if bad == "damaged":
        store.damage("2")
    else:
        store.delete("2")
        store.set_model_version_tag = lambda *_: None  # type: ignore[method-assign]
    found = look(own)
    assert found is not None
    assert found.state == "refused"
    assert len(alerts(own)) == 1


@pytest.mark.parametrize(("left", "state"), [(1.0, "waits"), (0.0, "refused"), (-1.0, "refused")])
def test_its_time_is_up_at_the_end_of_it(own: Settings, store: memory.Registry, left: float, state: str) -> None:
    """A person is told; nothing is said of its quality, but the figures are kept."""
    serve(own, NEEDED - 1)
    found = look(own, SINCE + 7 * DAYS - left)
    assert found is not None
    assert (found.state, found.rows) == (state, NEEDED - 1)
    assert len(alerts(own)) == (state == "refused")
    if state == "refused":
        assert newest(own).numbers == {"shadow": True, shadow_slot.UNJUDGED: True, **shadow_slot.figures(found)}
        few = message("release.shadow_too_few_labels", n=NEEDED - 1, needed=NEEDED, days=7.0)
        assert newest(own).message == few


def test_one_that_serves_already_has_ended(own: Settings, store: memory.Registry) -> None:
    """Its alias was set by hand."""
    store.aliases["champion"] = "2"
    assert look(own) == Shadow(version="2", champion="2", state="promoted")
    assert (newest(own).what, newest(own).who, newest(own).to_version) == (ledger.PROMOTED, shadow_test.WHO, "2")
    assert store.aliases == {"champion": "2"}


def test_the_alias_follows_before_the_verdict(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the refusal would be noted at a version that the alias was moved to by hand."""
    serve(own, NEEDED)
    store.add()
    store.aliases["shadow"] = "3"
    Judge(monkeypatch)
    look(own)
    assert store.tags("2")[catalog.VERDICT] == "refused"
    assert catalog.VERDICT not in store.tags("3")


CHECKS = [
    ([], {}, (False, False)),
    ([], {"degraded": True}, (True, False)),
    ([], {"challenger_beats_champion": True}, (False, True)),
    ([("stable", {"degraded": True})], {}, (False, True)),
    ([("stable", {"challenger_beats_champion": True})], {}, (False, True)),
    ([("stable", {}), ("stable", {"degraded": True})], {}, (False, False)),
    ([("insufficient data", {}), ("stable", {"degraded": True})], {}, (False, True)),
    ([("insufficient data", {"degraded": True})], {}, (False, False)),
]


@pytest.mark.parametrize(("checks", "known", "told"), CHECKS)
def test_what_the_gate_is_told_of_the_champion(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch,
    checks: list[tuple[Verdict, dict[str, bool]]], known: dict[str, bool], told: tuple[bool, bool],
) -> None:  # fmt: skip
    """What was known when it came, and what the newest check that could judge found of that version."""
    one = shadow_slot.find(own)
    assert one is not None
    shadow_slot.refuse(own, one, who="eve", why="to come again", unjudged=True)
    numbers: dict[str, Any] = {"since": SINCE, **known}
    ledger.append(own, ledger.SHADOW, who="t", from_version="1", to_version="2", run_key="key", numbers=numbers)
    check(own, "stable", {"degraded": True}, version="9", at=SINCE + 50)
    for i, (verdict, signals) in enumerate(checks):
        check(own, verdict, signals, at=SINCE - i)
    serve(own, NEEDED)
    judge = Judge(monkeypatch)
    look(own)
    _, more = judge.asked[0]
    assert (more["degraded"], more["challenger_beats_champion"]) == told


def test_as_many_checks_are_looked_at_as_is_set(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older one may tell of another time."""
    few = msgspec.structs.replace(own, drift=msgspec.structs.replace(own.drift, history=1))
    check(own, "insufficient data", {})
    check(own, "stable", {"degraded": True}, at=SINCE - 1)
    serve(own, NEEDED)
    judge = Judge(monkeypatch)
    look(few)
    _, more = judge.asked[0]
    assert more["challenger_beats_champion"] is False


def test_what_was_known_of_another_champion_is_not_told(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that serves by now may be a good one."""
    store.add()
    numbers: dict[str, Any] = {"degraded": True, "challenger_beats_champion": True}
    ledger.append(own, ledger.SHADOW, who="t", from_version="3", to_version="2", run_key="key", numbers=numbers)
    serve(own, NEEDED)
    judge = Judge(monkeypatch)
    look(own)
    _, more = judge.asked[0]
    assert (more["degraded"], more["challenger_beats_champion"]) == (False, False)


@pytest.mark.parametrize(("sha256", "known"), [("", True), ("f" * 64, False)])
def test_what_was_known_of_another_bundle_of_the_number_is_not_told(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch, sha256: str, known: bool
) -> None:
    """Another registry's version 1 was degraded; a row of before the hashes is told by the number."""
    numbers: dict[str, Any] = {"degraded": True, "challenger_beats_champion": True}
    ledger.append(
        own, ledger.SHADOW, who="t", from_version="1", from_sha256=sha256, to_version="2", run_key="key",
        numbers=numbers,
    )  # fmt: skip
    serve(own, NEEDED)
    judge = Judge(monkeypatch)
    look(own)
    _, more = judge.asked[0]
    assert (more["degraded"], more["challenger_beats_champion"]) == (known, known)


def check(own: Settings, verdict: Verdict, signals: dict[str, bool], *, version: str = "1", at: float = SINCE) -> None:
    made = DriftVerdict(
        id=f"{version}-{at}", time=at, verdict=verdict, retrain=False, reasons=[], model_version=version,
        signals=Signals(**signals),
    )  # fmt: skip
    verdict_history.save(own, made)
