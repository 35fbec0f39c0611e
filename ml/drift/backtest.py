"""Backtest: what quick models of labelled production rows would have answered to the rows that came after them.

Two questions are answered with it: would a model of newer rows do better than the champion
(`ml.retraining.fresh_model_probe`), and which rows should a retraining learn from
(`ml.retraining.window_policy`)? The models are the untuned baselines of the
quick families, and each is fitted on at most `retrain.backtest_rows` rows, so that the cost is bounded.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.engine.cluster import Cluster
from ml.errors import DataError, EngineError, EngineUnavailable, SettingsError
from ml.evaluation.metrics import DRIFT_FLOOR, log_losses
from ml.exploration.weights import weights
from ml.messages import message
from ml.schema.schema import LABEL_PROPENSITY
from ml.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from ml.schema.schema import Schema

log = logging.getLogger(__name__)

Ask: TypeAlias = tuple[str, str]  # window, family
PAYS_CELLS = 5_000_000  # of all fits together; fewer are fitted here before a cluster has them (docs/engine.md)
QUICK = ("hist_gradient_boosting", "logistic")  # seconds for 20,000 rows; the best first


class Base(NamedTuple):
    """The champion's schema, and what its own source gave to train on: None where that is nothing, or not here."""

    schema: Schema
    rows: tuple[pd.DataFrame, Any] | None


def base(settings: Settings, made_from: str = "", schema: Schema | None = None) -> Base | None:
    """The champion's snapshot without the labelled rows that were added to it; of more, `train.max_rows` rows.

    Parameters
    ----------
    made_from
        Its id; "": the newest snapshot.
    schema
        The champion's, where the snapshot itself is not on this machine; None: then there is no base.
    """
    from ml.data import ingestion
    from ml.data import snapshot as snapshots

    try:
        snapshot = snapshots.open(settings, made_from) if made_from else ingestion.latest(settings)
    except DataError:
        snapshot = None
    if snapshot is None:
        return None if schema is None else Base(schema, None)
    most = settings.train.max_rows
    part = snapshot.sample("train", most, settings.train.seed)  # what a retraining would read
    added = min(snapshot.manifest.labelled.train, most)
    n = len(part.y) - added  # labelled rows were put at the end
    return Base(snapshot.schema, (part.X.iloc[:n], part.y[:n]) if n else None)


def losses(
    settings: Settings, source: Base, windows: Mapping[str, pd.DataFrame], held: pd.DataFrame
) -> dict[str, NDArray[np.float64]]:
    """Log-loss of every held row under a quick model of each window and family, by `model_name`.

    Where `tune.engine` is dask and the fits are large enough to pay for it, they are made on the cluster; here, where
    that is away. The losses are the same.

    Parameters
    ----------
    windows
        Name → labelled rows (as `predictions.labelled`), all older than `held`; the source's own rows are added to
        the one named `all`. One with too few rows, or not all classes, is left out.
    held
        Labelled rows to judge on.

    Returns
    -------
    Name → (n_held,) nats, of probabilities that are floored and sum to one; rows whose label is no class are dropped
    from all of them alike. A window that cannot be fitted is left out.
    """
    learned = {name: _learned(settings, source, name, rows) for name, rows in windows.items()}
    rehearsal = Rehearsal(
        schema=source.schema,
        seed=settings.train.seed,
        held=Rows(*canonical(held, source.schema), None),
        windows={name: rows for name, rows in learned.items() if rows is not None},
    )
    asks = [(name, family) for name in rehearsal.windows for family in quick(settings)]
    found = _found(settings, rehearsal, asks)
    return {model_name(*ask): found[ask] for ask in asks if ask in found}


class Rows(NamedTuple):
    """Inputs (n, columns), codes (n,), and weights (n,) where rows do not count alike."""

    x: pd.DataFrame
    y: NDArray[np.int64]
    weight: NDArray[np.float64] | None

    def save(self, folder: Path) -> None:
        """As files in a new folder."""
        folder.mkdir()
        self.x.to_parquet(folder / "x.parquet", index=False)
        np.save(folder / "y.npy", self.y, allow_pickle=False)
        if self.weight is not None:
            np.save(folder / "weight.npy", self.weight, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Rows:
        """What `save` wrote."""
        import pandas as pd

        y, weight = (folder / name for name in ("y.npy", "weight.npy"))
        x = pd.read_parquet(folder / "x.parquet")
        return cls(x, np.load(y), np.load(weight) if weight.exists() else None)


class Rehearsal(NamedTuple):
    """What the fits of a backtest share: the rows of each window, and those that all of them are judged on."""

    schema: Schema
    seed: int
    held: Rows
    windows: Mapping[str, Rows]

    def save(self, folder: Path) -> None:
        """As files."""
        (folder / "schema.json").write_bytes(self.schema.to_json())
        (folder / "seed.json").write_bytes(msgspec.json.encode(self.seed))
        self.held.save(folder / "held")
        for name, rows in self.windows.items():
            rows.save(folder / f"of {name}")

    @classmethod
    def load(cls, folder: Path) -> Rehearsal:
        """What `save` wrote."""
        from ml.schema.schema import Schema

        return cls(
            schema=Schema.from_json((folder / "schema.json").read_bytes()),
            seed=msgspec.json.decode((folder / "seed.json").read_bytes(), type=int),
            held=Rows.load(folder / "held"),
            windows={place.name.removeprefix("of "): Rows.load(place) for place in folder.glob("of *")},
        )

    def losses(self, window: str, family: str) -> NDArray[np.float64] | None:
        """(n_held,) nats, under the family's baseline that learned the window; None where it learned nothing."""
        from ml.models import FAMILIES

        rows = self.windows[window]
        model = FAMILIES[family].build(FAMILIES[family].baseline(len(rows.y)), self.schema, seed=self.seed)
        try:
            model.fit(rows.x, rows.y, sample_weight=rows.weight)
        except DataError:  # a window in which nothing varies cannot win
            return None
        p = np.clip(model.predict_proba(self.held.x), DRIFT_FLOOR, 1.0)
        loss = log_losses(p / p.sum(axis=1, keepdims=True), self.held.y)
        return loss if np.isfinite(loss).all() else None


def _learned(settings: Settings, source: Base, name: str, rows: pd.DataFrame) -> Rows | None:
    """What a quick model of a window is fitted on; None where that is too few rows, or not all classes."""
    x, y = canonical(rows, source.schema)
    weight = _weight(rows, source.schema, settings)
    if name == "all" and source.rows is not None:
        x, y = _concat(source.rows[0], x), np.concatenate([source.rows[1], y])
        weight = None if weight is None else np.concatenate([np.ones(len(y) - len(weight)), weight])
    if len(y) < settings.retrain.min_rows // 2 or len(np.unique(y)) < len(source.schema.classes):
        return None
    keep = np.sort(np.random.default_rng(settings.train.seed).permutation(len(y))[: settings.retrain.backtest_rows])
    return Rows(x.iloc[keep], y[keep], None if weight is None else weight[keep])


def _found(settings: Settings, rehearsal: Rehearsal, asks: Sequence[Ask]) -> dict[Ask, NDArray[np.float64]]:
    cells = sum(rehearsal.windows[name].x.size for name, _ in asks)
    if settings.tune.engine == "dask" and len(asks) > 1 and cells >= PAYS_CELLS:
        try:
            return _on_cluster(settings.tune.engine_address, rehearsal, asks)
        except (EngineError, EngineUnavailable, SettingsError) as error:
            log.warning("%s", message("drift.backtest_here", why=error.explanation))
    here = {ask: rehearsal.losses(*ask) for ask in asks}
    return {ask: loss for ask, loss in here.items() if loss is not None}


def _on_cluster(address: str, rehearsal: Rehearsal, asks: Sequence[Ask]) -> dict[Ask, NDArray[np.float64]]:
    with tempfile.TemporaryDirectory(prefix="refit-backtest-") as folder:
        rehearsal.save(Path(folder))
        cluster: Cluster[Ask] = Cluster(address, Path(folder), Rehearsal.load, answer, resumable=False)
    try:
        for ask in asks:
            cluster.submit(ask, msgspec.msgpack.encode(ask))
        found = [cluster.wait() for _ in asks]
    finally:
        cluster.close()
    if any(said is None for _, said in found):
        raise EngineUnavailable(message("drift.backtest_workers_ended", address=address))
    return {ask: np.frombuffer(said, np.float64) for ask, said in found if said}


def answer(rehearsal: Rehearsal, ask: bytes) -> bytes:
    """The losses of a window and a family, as bytes of float64; none where nothing was learned."""
    loss = rehearsal.losses(*msgspec.msgpack.decode(ask, type=tuple[str, str]))
    return b"" if loss is None else loss.tobytes()


def quick(settings: Settings) -> list[str]:
    """The quick families among those that are searched, the best first; logistic regression where none is."""
    return [name for name in QUICK if name in settings.train.families] or ["logistic"]


def model_name(window: str, family: str) -> str:
    """What a quick model is called in verdicts.

    >>> model_name("since drift", "logistic"), window_of("since drift (logistic)")
    ('since drift (logistic)', 'since drift')
    """
    return f"{window} ({family})"


def window_of(model: str) -> str:
    """The window of a quick model, by its name."""
    return model.partition(" (")[0]


def canonical(rows: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, Any]:
    """Labelled rows as a model takes them: inputs (n, columns) and codes (n,), without rows of no class."""
    from ml.schema.frame_coerce import canonical as coerce

    if rows.empty:
        return rows, np.zeros(0, dtype=np.int64)
    y = codes(rows, schema)
    x, _ = coerce(rows[y >= 0].reset_index(drop=True), schema.of_canonical_rows)
    return x, y[y >= 0]


def codes(rows: pd.DataFrame, schema: Schema) -> NDArray[np.int64]:
    """(n,) codes of labelled rows; below 0 where the label is no class."""
    from ml.data.inference import labels
    from ml.schema.findings import Report

    return labels.codes(rows, schema.of_canonical_rows, Report(), tolerate=None)


def _weight(rows: pd.DataFrame, schema: Schema, settings: Settings) -> NDArray[np.float64] | None:
    """Inverse-propensity weights of the rows that `canonical` keeps; None where the log has no propensities."""
    if rows.empty or LABEL_PROPENSITY not in rows.columns:
        return None
    found = weights(rows[LABEL_PROPENSITY], most=settings.explore.max_weight)
    return None if found.uniform and not found.without else found.rows[codes(rows, schema) >= 0]


def _concat(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([first, second], ignore_index=True) if len(second) else first
