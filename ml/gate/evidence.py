"""The gate's evidence: the rows that challenger and champion are both scored on, and the verdict over them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from ml import registry
from ml.bundle.reader import Bundle
from ml.bundle.writer import rows_of
from ml.errors import BundleError, RegistryError, SchemaError
from ml.exploration.weights import Weights
from ml.gate import regression_rows, rules
from ml.gate.fitted_rows import FittedRows
from ml.gate.rules import Servability, Verdict
from ml.messages import Message, Text, message
from ml.predictions.label_coverage import coverage
from ml.registry import VersionInfo, ledger
from ml.schema.schema import Schema, contract_changes
from ml.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from ml.data.snapshot import Part, Snapshot

FLOOR_RAREST = 50  # of the rarest class, with which the floor can be shown of a modest model; our choice
CHUNK_ROWS = 8_192  # scored at once; bounds the memory
Probabilities = npt.NDArray[np.float32]


class Rows(msgspec.Struct, frozen=True):
    """Rows to judge on: canonical `X`, codes `y` (n,), and named masks (n,) of them.

    `weight` (n,) has inverse propensities where the labelled rows are no sample; None: all rows count alike.
    """

    X: Any
    y: npt.NDArray[np.int64]
    parts: dict[str, npt.NDArray[np.bool_]]
    notes: tuple[Message, ...] = ()
    weight: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.y)


def predict(bundle: Bundle, X: pd.DataFrame) -> Probabilities:
    """(n, C) float32 of canonical rows through a bundle, in chunks that fit the cache."""
    parts = []
    for start in range(0, len(X), CHUNK_ROWS):
        rows = rows_of(X.iloc[start : start + CHUNK_ROWS], bundle.schema)
        parts.append(bundle.run(rows.numbers, rows.categories))
    return np.concatenate(parts) if parts else np.empty((0, len(bundle.classes)), np.float32)


def rows_to_judge(
    settings: Settings, snapshot: Snapshot, champion: FittedRows, challenger: FittedRows | None = None
) -> Rows:
    """The recent part where there is one, else the test part; and the regression rows.

    Rows that the champion was trained on are left out of the part that decides, as long as enough remain. Where the
    recent rows are too few for the floor, it is asked of the test part too.

    Parameters
    ----------
    champion
        The rows that it was fitted on; empty where none serves.
    challenger
        The same, where it has been fitted on rows of the gate by now (`ml.pipeline.final_fit`): those are no evidence
        for it, and none remaining is a refusal.
    """
    recent, test, notes = snapshot.part("recent"), snapshot.part("test"), list[Message]()
    deciding = recent if len(recent.y) >= settings.gate.min_rows else test
    X, y, ids = deciding.X, deciding.y, deciding.ids
    weighed = deciding is recent and snapshot.manifest.labelled.weighed
    weight = deciding.weight if weighed and deciding.weight is not None else np.ones(len(y))
    if challenger and (own := seen_in_training(challenger, X, y, snapshot.schema, ids)).any():
        X, y, ids = X[~own].reset_index(drop=True), y[~own], None if ids is None else ids[~own]
        weight = weight[~own]
        test = deciding  # what it has learnt says nothing of the floor either
    known = seen_in_training(champion, X, y, snapshot.schema, ids)
    if known.any() and (~known).sum() >= settings.gate.min_rows:
        X, y, weight = X[~known].reset_index(drop=True), y[~known], weight[~known]
        notes.append(message("gate.trained_on_left_out", n=known.sum()))
    elif known.any():
        notes.append(message("gate.trained_on_maybe", n=known.sum(), all=len(y)))
    more = (test.X, test.y) if deciding is not test and len(test.y) and few_for_floor(y, snapshot.schema) else None
    found = Weights(weight, settings.explore.max_weight) if weighed else None
    if deciding is recent and not weighed:
        notes += coverage(settings, positive=snapshot.schema.positive_label).notes
    return with_regression_rows(settings, X, y, snapshot.schema, notes, for_floor=more, weights=found)


def few_for_floor(y: npt.NDArray[np.int64], schema: Schema) -> bool:
    """Whether the codes (n,) have too few of the rarest class to show that a model knows more than the class shares."""
    return int(np.bincount(y, minlength=len(schema.classes)).min()) < FLOOR_RAREST if len(y) else False


def with_regression_rows(
    settings: Settings, X: pd.DataFrame, y: npt.NDArray[np.int64], schema: Schema, notes: list[Message],
    *, for_floor: tuple[pd.DataFrame, npt.NDArray[np.int64]] | None = None, weights: Weights | None = None,
) -> Rows:  # fmt: skip
    """The rows that decide ("recent"), with the regression rows behind them where there are any of this schema.

    Parameters
    ----------
    X, y
        Canonical rows and their codes (n,).
    for_floor
        More of them, on which the floor is asked beside the recent ones ("floor"); None where those are enough.
    weights
        Of the rows that decide, by inverse propensity; None: they count alike. The others count once.
    """
    import pandas as pd

    old = regression_rows.load(settings, schema)
    blocks = [(X, y), *([old] if old else []), *([for_floor] if for_floor else [])]
    ends = np.cumsum([len(codes) for _, codes in blocks])
    place = np.arange(ends[-1])
    weight = None
    if weights is not None:
        notes = [*notes, *weights.notes]
        weight = np.concatenate([weights.rows, np.ones(ends[-1] - ends[0])])
    parts = {"recent": place < ends[0]}
    if old:
        parts["regression"] = (place >= ends[0]) & (place < ends[1])
    if for_floor:
        parts["floor"] = (place < ends[0]) | (place >= ends[-2])
        notes = [*notes, message("gate.floor_of_all", n=parts["floor"].sum())]
    if len(blocks) == 1:
        return Rows(X, y, parts, tuple(notes), weight)
    everything = pd.concat([frame for frame, _ in blocks], ignore_index=True)
    return Rows(everything, np.concatenate([codes for _, codes in blocks]), parts, tuple(notes), weight)


def reference_part(settings: Settings, snapshot: Snapshot) -> Part:
    """What drift is measured against once this model serves: the newest held-out rows, or the test part if too few.

    A champion that was retrained because the world had changed must not be compared with the old world.
    """
    recent = snapshot.part("recent")
    return recent if len(recent.y) >= settings.drift.min_reference else snapshot.part("test")


def reference_weight(settings: Settings, snapshot: Snapshot) -> npt.NDArray[np.float64] | None:
    """Inverse propensities (n,) of the `reference_part`; None where its rows count alike."""
    recent = snapshot.part("recent")
    of_production = len(recent.y) >= settings.drift.min_reference and snapshot.manifest.labelled.weighed
    return recent.weight if of_production else None


def champion_bundle(
    settings: Settings, *, but_of: str = ""
) -> tuple[VersionInfo | None, Bundle | None, Message | None]:
    """The champion, its bundle, and None or why the bundle cannot be used.

    A champion whose alias was deleted in MLflow is the champion still: it serves on.

    A run (`but_of`) that is the champion by now is held against what it replaced, not against itself.
    """
    try:
        info = registry.serving(settings)
    except RegistryError:  # deleted in MLflow: it serves on, and is no reason for a "first champion"
        served = ledger.newest_move(settings)
        if served is None:
            raise
        tags = {registry.SHA256: served.to_sha256}
        lost = VersionInfo(version=served.to_version, run_id="", source="", created=0.0, tags=tags)
        return lost, None, message("release.serving_deleted", version=lost.version)
    if info is not None and but_of and info.run_key == but_of:
        moves = ledger.events(settings, what=ledger.SERVED)
        move = next((e for e in moves if e.is_to(info.version, info.sha256)), None)
        replaced = move is not None and move.from_version
        info = registry.version(settings, move.from_version, move.from_sha256) if move and replaced else None
    if info is None:
        return None, None, None
    return info, *open_version(settings, info)


def open_version(settings: Settings, info: VersionInfo) -> tuple[Bundle | None, Message | None]:
    """A champion's bundle and None, or None and why it cannot be used."""
    try:
        return Bundle.open(registry.download(settings, info), sha256=info.sha256), None
    except BundleError as error:
        return None, message("gate.champion_not_loaded", version=info.version, error=error.explanation)


def champion_probabilities(
    champion: Bundle, X: pd.DataFrame, classes: tuple[str, ...]
) -> tuple[Probabilities | None, Message | None]:
    """The champion's probabilities in the challenger's order of classes, with its own preprocessing.

    None and the reason where it cannot score these rows (other columns), or knows other classes.

    Parameters
    ----------
    X
        Canonical rows of the challenger's schema.
    classes
        The challenger's, in its order.
    """
    from ml.schema.frame_coerce import canonical

    if set(champion.classes) != set(classes):
        return None, message("gate.other_classes", old=_few(champion.classes), new=_few(classes))
    try:
        frame, _ = canonical(X, champion.schema.of_canonical_rows)
    except SchemaError as error:
        return None, message("gate.champion_cannot_score", error=error.explanation)
    return predict(champion, frame)[:, [champion.classes.index(c) for c in classes]], None


def servability(bundle: Bundle) -> Servability:
    """Load it as the service does, repeat its examples, time one row (median of 100), add up its files."""
    size = sum(file.stat().st_size for file in bundle.path.rglob("*") if file.is_file()) / 1e6
    try:
        opened = Bundle.open(bundle.path)
        opened.self_check()
    except BundleError as error:
        return Servability(bundle_mb=size, problem=error.explanation)
    rows = opened.background
    taken = []
    for i in range(100):
        row = rows.part(i % len(rows), i % len(rows) + 1)
        started = time.perf_counter()
        opened.run(row.numbers, row.categories)
        taken.append(time.perf_counter() - started)
    return Servability(latency_ms=1000 * statistics.median(taken), bundle_mb=size)


def judge(
    settings: Settings, rows: Rows, challenger: Bundle, champion: Bundle | None, *,
    prior: npt.NDArray[np.float64] | None, degraded: bool, challenger_beats_champion: bool = False, seed: int,
    problem: Message | None = None, family: str = "",
) -> Verdict:  # fmt: skip
    """The gate's verdict over rows that both models score now, each with its own preprocessing.

    Parameters
    ----------
    rows
        As `rows_to_judge` gave them for this champion.
    prior
        (n_classes,) shares of the classes in training, the floor; None: those of the rows that decide.
    degraded, challenger_beats_champion
        What the drift checks know of the champion (`ml.retraining.standing`): see `rules.judge`.
    problem
        Why there is no bundle of a champion that serves; None where there is one, or none serves.
    family
        The challenger's; "": as its bundle says, which a draft does not.
    """
    from ml.evaluation.slices import slices

    theirs, incomparable = None, [problem] if problem else []
    if champion is not None:
        theirs, problem = champion_probabilities(champion, rows.X, challenger.classes)
        incomparable = [problem, *contract_changes(champion.schema, challenger.schema)] if problem else []
    recent = rows.parts["recent"]
    named = dict[Text, npt.NDArray[np.bool_]]()
    for column, value, mask in slices(rows.X[recent], challenger.schema, min_rows=settings.gate.slice_min_rows):
        whole = np.zeros(len(rows), bool)
        whole[np.flatnonzero(recent)[mask]] = True
        named[message("gate.slice", column=column, value=value)] = whole
    verdict = rules.judge(
        predict(challenger, rows.X), theirs, rows.y, settings=settings.gate, parts=rows.parts, prior=prior,
        slices=named, servability=servability(challenger), incomparable=incomparable, degraded=degraded,
        challenger_beats_champion=challenger_beats_champion,
        floor_known=_floor_known(champion, family or challenger.metrics.get("family", ""), settings),
        weight=rows.weight,
        seed=seed,
    )  # fmt: skip
    return noted(verdict, [*rows.notes, *([message("gate.floor_known")] if verdict.numbers.floor_known else [])])


def noted(verdict: Verdict, notes: list[Message]) -> Verdict:
    """The verdict with what is to be known beside it."""
    if not notes:
        return verdict
    told = (*verdict.numbers.notes, *(note.text for note in notes))
    return msgspec.structs.replace(
        verdict,
        message=message("gate.with_notes", verdict=verdict.message, notes=notes),
        numbers=msgspec.structs.replace(verdict.numbers, notes=told),
    )


def _floor_known(champion: Bundle | None, family: str, settings: Settings) -> bool:
    """Whether a champion of the challenger's family was above the floor by its own gate, or by one before it."""
    if champion is None or champion.metrics.get("family") != family:
        return False
    numbers = (champion.json("gate.json") or {}).get("numbers", {})
    lower = (numbers.get("floor_gain") or {}).get("lower")  # null where it is not known
    return bool(numbers.get("floor_known")) or (lower is not None and lower > settings.gate.floor_gain)


def seen_in_training(
    trained: FittedRows,
    X: pd.DataFrame,
    y: npt.NDArray[np.int64],
    schema: Schema,
    ids: npt.NDArray[np.object_] | None = None,
) -> npt.NDArray[np.bool_]:
    """Which of canonical rows (n, columns) with codes (n,) a version was fitted on, or on others of their ids (n,).

    Parameters
    ----------
    trained
        What it was fitted on; empty: nothing is known, so none of them.
    y
        (n,) codes in the order of the schema's classes.
    ids
        (n,) who each row is about; None where nobody is named.
    """
    if not len(trained.rows) or not len(y):
        return np.zeros(len(y), bool)
    seen = np.isin(regression_rows.row_hashes(X, y, schema), trained.rows)
    if ids is not None:
        seen |= np.isin(id_hashes(ids), np.setdiff1d(trained.ids, [0]))
    return seen


def id_hashes(ids: npt.NDArray[np.object_]) -> npt.NDArray[np.uint64]:
    """(n,) uint64 of identities; 0 for a row that does not say whom it is about."""
    return np.array([int(i[:16], 16) if len(i) == 32 and i[0] != "\x1f" else 0 for i in ids], dtype=np.uint64)


def _few(names: Sequence[str]) -> list[str]:
    """As many as a sentence bears."""
    return [*names[:10], *(["…"] if len(names) > 10 else [])]
