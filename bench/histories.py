"""Random histories of faults, each checked against a small model of what was answered, what serves and what was moved.

A history is a few dozen steps drawn from a seed: four workers answer predictions and take labels, two log shippers
move them, a follower follows, versions are promoted and rolled back, and in between processes are killed inside a
call, writes are torn, the power is cut, the disk is full, the clock jumps, and the registry is away, stale or lies
(another hash, a forged bundle under the alias, moved by hand). A stale one answers some questions with what was true
before the last move, for the service and for whoever promotes. At the end everything works again, and:

    lost        answered and not in the database
    doubled     in it twice, or there without having been asked for
    mixed       stored with another version or probability than was answered, or served by what no key signed
    unledgered  the alias is elsewhere than the ledger says, a move without its rows, a ledger whose chain is broken

Real are: the prediction log, its segments and locks, the shippers, SQLite, the follower, the cache, signatures,
ONNX Runtime in the workers' model stores, promotion, rollback and the ledger. Not real: the processes (all are objects
of one, killed by an exception that nothing may catch), HTTP, MLflow (a registry in memory that can fail), and the disk
and the clock (`bench/fault_disk.py`). `bench/faults.py` has the real processes.

    python -m bench.histories [--histories N] [--seed FIRST] [--steps N] [--json]
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import sqlalchemy as sa

from bench import harness
from bench.fault_disk import FaultDisk, copied
from ml import registry, tracking
from ml.bundle import signature
from ml.errors import PromotionError, RefitError, RegistryUnavailable
from ml.predictions import feedback, predictions
from ml.registry import aliases, cache, chain, ledger
from ml.registry.rollout import Confirmation
from ml.settings import Settings, from_values
from ml.storage import database
from serving.model import champion_lookup
from serving.model.champion_lookup import Champion
from serving.model.follower import Follower
from serving.model.store import ModelStore, read_refusals
from serving.prediction_log.shipper import LogShipper
from serving.prediction_log.writer import LogUnavailable, PredictionLog
from serving.scoring import score
from tests.serving import tiny

WORKERS, SHIPPERS, VERSIONS = 4, 2, 3
FORGED = str(VERSIONS + 1)
KILL_WITHIN = 25  # calls of the disk
KILL_MOVE_WITHIN = 125  # as many as a promotion has, so that some are killed after the alias has moved

Version = dict[str, Any]


class Failures(msgspec.Struct):
    """What went against the model, a sentence each."""

    lost: list[str] = []
    doubled: list[str] = []
    mixed: list[str] = []
    unledgered: list[str] = []

    def found(self) -> list[str]:
        """All of them."""
        return [*self.lost, *self.doubled, *self.mixed, *self.unledgered]


class FakeMlflow:
    """The registry's client, in memory: away, stale, or with a wrong hash, when it is told to be.

    Stale is what a cache or a replica that lags makes of it: half of the questions about the model, its aliases and
    its tags, are answered as they were before the last move of an alias. What is written arrives.
    """

    def __init__(self, hashes: dict[str, str], disk: FaultDisk) -> None:
        self.aliases: dict[str, str] = {}
        self.model_tags: dict[str, str] = {}
        self.tags = {number: {registry.SHA256: sha256} for number, sha256 in hashes.items()}
        self.away = self.stale = self.lying = False
        self._disk, self._before = disk, (self.aliases, self.model_tags)

    def get_model_version_by_alias(self, name: str, alias: str) -> Any:
        """As MLflow's."""
        told, _ = self._told()
        if alias not in told:
            raise _missing()
        return self._version(name, told[alias])

    def get_registered_model(self, name: str) -> Any:
        """As MLflow's: aliases and tags of one moment."""
        told, tags = self._told()
        return mock.Mock(aliases=told, tags=tags)

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        """As MLflow's."""
        self._answer()
        self.model_tags = {**self.model_tags, key: value}

    def looked_up(self, settings: Settings) -> Champion | None:
        """What the follower is told."""
        number = self._told()[0].get("champion")
        return None if number is None else Champion(number, self._version("", number).tags[registry.SHA256])

    def set_registered_model_alias(self, name: str, alias: str, number: str) -> None:
        """As MLflow's."""
        self._answer()
        self.move(alias, number)
        self._disk.point()

    def move(self, alias: str, number: str) -> None:
        """The alias moves, by whomever."""
        self._before = self.aliases, self.model_tags
        self.aliases = {**self.aliases, alias: number}

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """As MLflow's."""
        self._answer()
        self.aliases = {one: number for one, number in self.aliases.items() if one != alias}

    def get_model_version(self, name: str, number: str) -> Any:
        """As MLflow's."""
        self._answer()
        return self._version(name, number)

    def set_model_version_tag(self, name: str, number: str, key: str, value: str) -> None:
        """As MLflow's."""
        self._answer()
        self.tags[number][key] = value

    def delete_model_version_tag(self, name: str, number: str, key: str) -> None:
        """As MLflow's."""
        self._answer()
        self.tags[number].pop(key, None)

    def _told(self) -> tuple[dict[str, str], dict[str, str]]:
        """Aliases and tags of the model, as they are or as they were."""
        self._answer()
        old = self.stale and self._disk.chance.random() < 0.5
        return self._before if old else (self.aliases, self.model_tags)

    def _answer(self) -> None:
        self._disk.point()
        if self.away:
            raise RegistryUnavailable("the registry is away")

    def _version(self, name: str, number: str) -> Any:
        tags = dict(self.tags[number])
        if self.lying:
            tags[registry.SHA256] = self.tags[FORGED][registry.SHA256]
        return mock.Mock(version=number, run_id="", source="", creation_timestamp=0, tags=tags)


class World:
    """Everything that lives in one history, and what the model knows of it."""

    def __init__(self, home: Path, bundles: Path, hashes: dict[str, str], seed: int) -> None:
        self.chance = random.Random(seed)
        self.disk = FaultDisk(home, self.chance)
        self.settings = _settings(home)
        self.bundles = bundles
        self.mlflow = FakeMlflow(hashes, self.disk)
        self.failures = Failures()
        self.asked: dict[str, tuple[str, float]] = {}  # prediction id → version and probability of "1"
        self.answered: set[str] = set()
        self.labels_asked: set[tuple[str, str]] = set()
        self.labels_answered: set[tuple[str, str]] = set()
        self.moved_by_hand = False  # ever: a move that fails later puts the alias back there
        self.told: list[str] = []
        for event in ("commit", "begin"):
            sa.event.listen(database.engine(self.settings), event, lambda _: self.disk.point())

    # — processes ————————————————————————————————————————————————————————————————————————————————————————————————

    def boot(self) -> None:
        """Start every process."""
        self.logs = [PredictionLog(self.settings) for _ in range(WORKERS)]
        for store in getattr(self, "stores", ()):
            store.close()
        self.stores = [ModelStore(self.settings.var / "serving") for _ in range(WORKERS)]
        self.shippers = [LogShipper(self.settings) for _ in range(SHIPPERS)]
        self.follower = Follower(self.settings)

    def kill_worker(self, i: int) -> None:
        """What the kernel does for a killed process: its descriptors are closed, and with them its locks."""
        log = self.logs[i]
        for handle in [*log._retired, *([log._fd] if log._fd >= 0 else [])]:
            os.close(handle)
        self.logs[i] = PredictionLog(self.settings)
        self.stores[i].close()  # as its lock is gone, its report is
        self.stores[i] = ModelStore(self.settings.var / "serving")

    def within(self, work: Callable[[], object], died: Callable[[], None], *, share: float = 0.3,
               calls: int = KILL_WITHIN) -> None:  # fmt: skip
        """Do a process's work; sometimes it is killed inside, and `died` starts it anew. Errors of ours are its own."""
        kill = self.chance.random() < share
        ended = False
        with self.disk.killed_within(calls) if kill else contextlib.nullcontext():
            with contextlib.suppress(RefitError, OSError, sa.exc.SQLAlchemyError):
                work()
            ended = True
        if not ended:
            died()

    # — steps ————————————————————————————————————————————————————————————————————————————————————————————————————

    def answer(self) -> None:
        """A worker answers one to three rows, by the version that it serves."""
        i = self.chance.randrange(WORKERS)
        served = self.stores[i].current()
        if served is None:
            return
        ids = [f"{self.chance.getrandbits(64):016x}" for _ in range(self.chance.randint(1, 3))]
        rows = score.reader(served).records([tiny.row(f0=round(self.chance.uniform(-2, 2), 3)) for _ in ids])
        found = score.score(served, rows, list(ids))
        for one, probabilities in zip(ids, found.probabilities, strict=True):
            self.asked[one] = (served.version, float(probabilities[1]))

        def work() -> None:
            with contextlib.suppress(LogUnavailable):
                self.logs[i].append(served, found)
                self.answered.update(ids)

        self.within(work, lambda: self.kill_worker(i), share=0.1)

    def label(self) -> None:
        """A label comes for an earlier answer."""
        if not self.answered:
            return
        i = self.chance.randrange(WORKERS)
        pair = (self.chance.choice(sorted(self.answered)), self.chance.choice("01"))
        self.labels_asked.add(pair)

        def work() -> None:
            with contextlib.suppress(LogUnavailable):
                self.logs[i].append_feedback([pair])
                self.labels_answered.add(pair)

        self.within(work, lambda: self.kill_worker(i), share=0.1)

    def ship(self) -> None:
        """One of the log shippers makes a pass."""
        i = self.chance.randrange(SHIPPERS)

        def died() -> None:
            self.shippers[i] = LogShipper(self.settings)

        self.within(self.shippers[i].step, died)

    def follow(self) -> None:
        """The follower makes a round, and the workers look."""

        def died() -> None:
            self.follower = Follower(self.settings)

        self.within(self.follower.step, died)
        self.look()

    def look(self) -> None:
        """Every worker looks at the pointer; what it serves must be signed."""
        for store in self.stores:
            store.refresh()
            served = store.current()
            if served is not None and served.version == FORGED:
                self.failures.mixed.append("a worker serves the forged version")

    def promote(self) -> None:
        """Somebody promotes a version, the forged one too."""
        number = str(self.chance.randint(1, VERSIONS + 1))
        self._move(lambda: registry.promote(
            self.settings, number, who="ann", why="a history", force=True, confirm_with=self.confirm
        ))  # fmt: skip

    def rollback(self) -> None:
        """Somebody goes back."""
        self._move(lambda: registry.rollback(self.settings, who="ann", why="a history", confirm_with=self.confirm))

    def reconcile(self) -> None:
        """The next command or check finishes what was cut short."""
        self._move(lambda: registry.reconcile(self.settings, self.confirm))

    def _move(self, move: Callable[[], object]) -> None:
        self.within(move, lambda: None, calls=KILL_MOVE_WITHIN)

    def confirm(self, settings: Settings, version: str) -> Confirmation:
        """The service takes it over, or says no."""
        with contextlib.suppress(RefitError, OSError):
            self.follower.step()
        self.look()
        serving = {store.current() and store.current().version for store in self.stores}  # type: ignore[union-attr]
        if serving != {version}:
            raise PromotionError(f"the workers serve {serving}")
        return Confirmation(("history",), WORKERS, "confirmed")

    def by_hand(self) -> None:
        """Somebody who can write to MLflow moves the alias to a bundle that no key signed."""
        self.mlflow.move("champion", FORGED)
        self.moved_by_hand = True

    def kill(self) -> None:
        """A worker is killed between two calls."""
        self.kill_worker(self.chance.randrange(WORKERS))

    def cut(self) -> None:
        """The power is cut."""
        for i in range(WORKERS):
            self.kill_worker(i)
        database.engine(self.settings).dispose()
        self.disk.cut()
        self.boot()
        self.look()

    def jump(self) -> None:
        """The clock jumps, or comes back."""
        self.disk.offset_s = self.chance.choice((0.0, 400 * 86_400.0, -400 * 86_400.0, -3600.0, 1.5))

    def fill(self) -> None:
        """The disk is full, or there is room again."""
        self.disk.full = not self.disk.full

    def registry_fault(self) -> None:
        """The registry goes away, is stale, lies, or is well again."""
        fault = self.chance.choice(("away", "stale", "stale", "lying", "well", "well"))
        for name in ("away", "stale", "lying"):
            setattr(self.mlflow, name, name == fault)

    # — the model ——————————————————————————————————————————————————————————————————————————————————————————————

    def heal(self) -> None:
        """Everything works again, and what was cut short is finished, as the next command and the next boot do."""
        self.disk.full, self.disk.offset_s = False, 0.0
        self.mlflow.away = self.mlflow.stale = self.mlflow.lying = False
        for i in range(WORKERS):
            self.kill_worker(i)
        self.boot()
        self.look()
        self.shippers[0].step()
        self.follower.step()
        with contextlib.suppress(PromotionError):
            registry.reconcile(self.settings, self.confirm)
        self.follower = Follower(self.settings)
        self.follower.step()
        self.look()

    def check(self) -> None:
        """Hold what is there against what is known."""
        f = self.failures
        with database.engine(self.settings).connect() as connection:
            p, labels = predictions.c, feedback.c
            rows = connection.execute(sa.select(p.prediction_id, p.model_version, p.probabilities)).all()
            marked = connection.execute(sa.select(labels.prediction_id, labels.label)).all()
        stored = {row[0]: (row[1], msgspec.json.decode(row[2])["1"]) for row in rows}
        f.lost += [f"answer {one}" for one in sorted(self.answered - stored.keys())]
        f.doubled += [f"row {one} was never asked for" for one in sorted(stored.keys() - self.asked.keys())]
        for one, (version, probability) in stored.items():
            wanted = self.asked.get(one, (version, probability))
            if version != wanted[0] or not np.isclose(probability, wanted[1], atol=1e-6):
                f.mixed.append(f"row {one}: stored {version}, {probability}, answered {wanted}")
        kept = {(one, label) for one, label in marked}
        f.lost += [f"label {pair}" for pair in sorted(self.labels_answered - kept)]
        f.doubled += [f"label {pair} was never given" for pair in sorted(kept - self.labels_asked)]
        left = list((self.settings.var / "serving" / "segments").glob("*.seg"))
        f.lost += [f"segment {segment.name} is left" for segment in left]
        self._check_ledger()
        self._check_serving()

    def _check_ledger(self) -> None:
        f = self.failures
        f.unledgered += chain.violations(self.settings, ledger.table)
        if ledger.open_intention(self.settings) is not None:
            f.unledgered.append("a move was left unfinished")
        champion, known = self.mlflow.aliases.get("champion", ""), self._last_move()
        if champion != known and not (champion == FORGED and self.moved_by_hand):
            f.unledgered.append(f"the alias is on {champion or 'none'}, the ledger says {known or 'none'}")
        if champion == FORGED and not ledger.events(self.settings, what=[ledger.NOT_SERVED]):
            f.unledgered.append("the forged version is in no row")
        if any(event.to_version == FORGED for event in ledger.events(self.settings, what=ledger.SERVED)):
            f.unledgered.append("the ledger says that the forged version served")
        if any(event.numbers.get("in_mlflow") for event in ledger.events(self.settings, what=ledger.SERVED)):
            f.unledgered.append("the ledger says that somebody moved the alias in MLflow to a version that is ours")

    def _check_serving(self) -> None:
        champion = self.mlflow.aliases.get("champion", "")
        serving = {served.version if (served := store.current()) else "" for store in self.stores}
        refused = {refusal.version for refusal in read_refusals(self.settings.var / "serving")}
        if champion == FORGED and (FORGED in serving or FORGED not in refused):
            self.failures.mixed.append("the forged version is not refused")
        if champion != FORGED and serving != {champion}:
            self.failures.mixed.append(f"the workers serve {serving}, the alias is on {champion or 'none'}")

    def _last_move(self) -> str:
        found = ledger.events(self.settings, limit=1, what=ledger.SERVED)
        return found[0].to_version if found else ""


STEPS: tuple[tuple[Callable[[World], None], int], ...] = (
    (World.answer, 30), (World.label, 12), (World.ship, 14), (World.follow, 10), (World.promote, 8),
    (World.rollback, 4), (World.reconcile, 3), (World.kill, 5), (World.cut, 3), (World.jump, 4), (World.fill, 4),
    (World.registry_fault, 5), (World.by_hand, 2),
)  # fmt: skip


def history(bundles: Path, hashes: dict[str, str], key: Path, seed: int, steps: int) -> World:
    """Play one history and check it; the seed says all of it."""
    with tempfile.TemporaryDirectory(prefix="refit-history-") as folder:
        home = Path(folder)
        (home / "var" / "trusted_keys").mkdir(parents=True)
        copied(key, home / "var" / "trusted_keys" / "own")
        for file in (home / "var" / "trusted_keys" / "own").iterdir():
            file.rename(home / "var" / "trusted_keys" / file.name)
        world = World(home, bundles, hashes, seed)
        with (
            world.disk.watching(),
            mock.patch.object(tracking, "client", return_value=world.mlflow),
            mock.patch.object(aliases, "WAITS_S", (0.0,) * len(aliases.WAITS_S)),
            mock.patch.object(champion_lookup, "champion", world.mlflow.looked_up),
            mock.patch.object(cache, "fetch", lambda _, info, into: copied(bundles / info.version, into / "bundle")),
        ):
            _play(world, steps)
        database.engine(world.settings).dispose()
        return world


def _play(world: World, steps: int) -> None:
    world.disk.settle()
    world.boot()
    registry.promote(world.settings, "1", who="ann", why="the first", confirm_with=world.confirm)
    drawn = world.chance.choices([step for step, _ in STEPS], [weight for _, weight in STEPS], k=steps)
    for step in drawn:
        world.told.append(step.__name__)
        step(world)
    world.heal()
    world.check()


def _settings(home: Path) -> Settings:
    return from_values({
        "home": str(home), "serving_port": 1, "mlflow_port": 1,
        "registry": {"tracking_uri": "history://"}, "log": {"durability": "machine", "segment_bytes": 4_000},
    })  # fmt: skip


def _missing() -> Exception:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

    return MlflowException("no such alias", RESOURCE_DOES_NOT_EXIST)


def make_bundles(folder: Path) -> tuple[dict[str, str], Path]:
    """Signed versions and one that somebody else signed; (their hashes, the folder of the trusted key)."""
    own, eve = _settings(folder / "own"), _settings(folder / "eve")
    hashes = {}
    for i in range(1, VERSIONS + 2):
        hashes[str(i)] = tiny.write_bundle(folder / str(i), bias=i / 10)
        signature.sign(eve if str(i) == FORGED else own, folder / str(i))
    return hashes, signature.trusted(own)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the code logs of faults that are meant; a test's process logs again afterwards."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def run(histories: int, first: int, steps: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Play so many histories; what went wrong, by kind, and the seeds."""
    began, kinds, seeds, answers = time.monotonic(), dict.fromkeys(Failures.__struct_fields__, 0), [], 0
    with tempfile.TemporaryDirectory(prefix="refit-bundles-") as folder, _quiet():
        hashes, key = make_bundles(Path(folder))
        for seed in range(first, first + histories):
            world = history(Path(folder), hashes, key, seed, steps)
            answers += len(world.answered) + len(world.labels_answered)
            for name in kinds:
                kinds[name] += len(getattr(world.failures, name))
            if world.failures.found():
                seeds.append(seed)
                tell(f"seed {seed}: {'; '.join(world.failures.found()[:5])}\n    {' '.join(world.told)}")
    took = time.monotonic() - began
    return {"histories": histories, "seeds": [first, first + histories - 1], "answered": answers, "failed_seeds": seeds,
            "seconds": round(took, 1), **kinds}  # fmt: skip


def main() -> None:
    """The command line; exits 1 when a history went against the model."""
    parser = harness.options(__doc__)
    parser.add_argument("--histories", type=int, default=100, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="of the first; each next one has the next")
    parser.add_argument("--steps", type=int, default=40, help="of each")
    options = parser.parse_args()
    found = run(options.histories, options.seed, options.steps, lambda text: print(text, file=sys.stderr, flush=True))
    if not options.json:
        print(f"{found['histories']} histories, seeds {found['seeds'][0]} to {found['seeds'][1]}, {found['answered']} "
              f"answers and labels: {found['lost']} lost, {found['doubled']} doubled, {found['mixed']} mixed, "
              f"{found['unledgered']} unledgered; {found['seconds']} s")  # fmt: skip
    harness.show(found, as_json=options.json)
    if found["failed_seeds"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
