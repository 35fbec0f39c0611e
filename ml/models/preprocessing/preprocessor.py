"""What happens to a canonical row before a model sees it, fitted with the model and exported with it.

Numbers: missing ones become the median (with an indicator column where missing was seen in
training), are centred and scaled, and bounded, so that a drifting column cannot push a model far
outside of where it was trained. Categories: one-hot over the levels that are common enough; rare
levels share an "other" column, and a level never seen goes there too (if no training row ever was
rare, an unseen level is all zeros: no column whose weight nobody trained).

Dates: derived columns beside their days (`ml.models.preprocessing.dates`), which are numbers like the others.

Categories of many levels, where `Options.statistics` says so: target statistics beside, which are number columns too.

Every step is float32 and is emitted as the same ONNX operations in the same order
(`ml.models.preprocessing.onnx_export`).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from ml.errors import SchemaError
from ml.messages import message
from ml.models.onnx.graph import Graph
from ml.models.preprocessing import dates, onnx_export, statistics
from ml.models.preprocessing.encoded import F32, I64, Encoded
from ml.models.preprocessing.state import FAR, Options, State
from ml.schema.schema import Schema

QUANTILE_ROWS = 200_000  # measured: see `Preprocessor`


@dataclass
class Preprocessor:
    """Fits on canonical rows; transforms them; emits itself as ONNX."""

    options: Options = field(default_factory=Options)
    state: State | None = None

    def fit(self, X: Any) -> Preprocessor:
        """Learn medians, scales and levels.

        X: canonical DataFrame (numeric columns are numbers, all others categories), or a
        two-dimensional array of numbers.
        """
        frame = as_frame(X)
        numbers = tuple(str(c) for c in frame.columns if pd.api.types.is_numeric_dtype(frame[c]))
        categories = tuple(str(c) for c in frame.columns if str(c) not in set(numbers))
        varying, flagged, stats = self._fit_numbers(frame, numbers)
        levels, other = self._fit_categories(frame, categories)
        self.state = State(
            options=self.options,
            numbers=numbers,
            categories=categories,
            varying=tuple(varying),
            fill=tuple(s[0] for s in stats),
            center=tuple(s[1] for s in stats),
            factor=tuple(s[2] for s in stats),
            flagged=tuple(flagged),
            levels=levels,
            other=other,
        )
        return self

    def fit_rows(self, X: Any, codes: I64, n_classes: int, weight: Any = None) -> Encoded:
        """Learn, and give the same rows as a model learns from them: target statistics are of other rows alone.

        Parameters
        ----------
        X
            As `fit` takes it.
        codes
            (n,) class codes.
        n_classes
            C.
        weight
            (n,) of the rows; None: all alike.
        """
        frame = as_frame(X)
        self.fit(frame)
        many = [name for name in self.fitted.categories if frame[name].nunique() > self.options.statistics > 0]
        if not many:
            return self.transform(frame)
        even = np.ones(len(codes)) if weight is None else np.asarray(weight, dtype=np.float64)
        learned = tuple(statistics.learn(frame[name], codes, even, n_classes) for name in many)
        rows = self.transform(frame)
        made = [statistics.out_of_fold(frame[name], codes, even, n_classes) for name in many]
        self.state = msgspec.structs.replace(self.fitted, statistics=learned)
        return replace(rows, numbers=np.concatenate([rows.numbers, *made], axis=1))

    def _fit_numbers(
        self, frame: pd.DataFrame, names: tuple[str, ...]
    ) -> tuple[list[int], list[int], list[tuple[float, float, float]]]:
        varying, flagged, stats = [], [], []
        derived = self._derived(frame)
        for index in range(len(names) + derived.shape[1]):
            own = index < len(names)
            values = frame[names[index]].to_numpy(dtype=np.float32) if own else derived[:, index - len(names)]
            present = values[~np.isnan(values)]
            if own and self.options.indicators and self.options.scaling != "none" and 0 < len(present) < len(values):
                flagged.append(index)
            if len(present) == 0 or present.min() == present.max():
                continue
            varying.append(index)
            stats.append(_location_and_scale(present, self.options.scaling))
        return varying, flagged, stats

    def _derived(self, frame: pd.DataFrame) -> F32:
        """(n, W) what is derived of the date columns."""
        if not self.options.dates:
            return np.empty((len(frame), 0), np.float32)
        return dates.derive(_float32(frame, self.options.dates))

    def _fit_categories(
        self, frame: pd.DataFrame, names: tuple[str, ...]
    ) -> tuple[tuple[tuple[str, ...], ...], tuple[bool, ...]]:
        levels, other = [], []
        for name in names:
            counts = frame[name].value_counts()
            counts = counts[counts > 0]
            # Ties in the count are broken by the text, so that row order does not matter.
            ordered = sorted(((str(level), int(count)) for level, count in counts.items()), key=lambda p: (-p[1], p[0]))
            common = [level for level, count in ordered if count >= self.options.rare][: self.options.max_levels]
            levels.append(tuple(common))
            other.append(len(common) < len(ordered))
        return tuple(levels), tuple(other)

    @property
    def fitted(self) -> State:
        """The state, or an error when `fit` was not called."""
        if self.state is None:
            raise ValueError("this Preprocessor is not fitted yet: call fit first")
        return self.state

    @property
    def offsets(self) -> list[int]:
        """Where each category column starts in the one-hot block; the last entry is its width."""
        state = self.fitted
        sizes = [len(names) + has for names, has in zip(state.levels, state.other, strict=True)]
        return [0, *np.cumsum(sizes, dtype=int).tolist()] if sizes else [0]

    @property
    def width(self) -> int:
        """Number of dense columns."""
        state = self.fitted
        return len(state.varying) + len(statistics.names(state.statistics)) + len(state.flagged) + self.offsets[-1]

    @property
    def names(self) -> list[str]:
        """Names of the dense columns, as `age`, `age is missing`, `city=Hue`, `city=other`."""
        state = self.fitted
        numbers = [*state.numbers, *dates.names(state.options.dates)]
        names = [numbers[i] for i in state.varying] + statistics.names(state.statistics)
        names += [f"{state.numbers[i]} is missing" for i in state.flagged]
        for column, levels, other in zip(state.categories, state.levels, state.other, strict=True):
            names += [f"{column}={level}" for level in levels] + ([f"{column}=other"] if other else [])
        return names

    def transform(self, X: Any) -> Encoded:
        """Canonical rows to what a model takes."""
        state = self.fitted
        frame = as_frame(X)
        if absent := [name for name in (*state.numbers, *state.categories) if name not in frame.columns]:
            raise SchemaError(message("training.columns_absent", columns=absent[:5]), column=absent[0])
        raw = _float32(frame, state.numbers)
        flags = np.isnan(raw[:, state.flagged]).astype(np.float32)
        if state.options.dates:
            raw = np.concatenate([raw, self._derived(frame)], axis=1)
        numbers = self._scale(raw)
        if state.statistics:
            numbers = np.concatenate([numbers, *(statistics.apply(one, frame) for one in state.statistics)], axis=1)
        return Encoded(numbers, flags, self._codes(frame), self.offsets[-1])

    def _scale(self, raw: F32) -> F32:
        state = self.fitted
        values = raw if len(state.varying) == raw.shape[1] else raw[:, state.varying]
        if self.options.scaling == "none":
            return values
        for start in range(0, len(values), 65_536):  # in place, chunk by chunk: no second table in memory
            chunk = values[start : start + 65_536]
            with np.errstate(over="ignore"):
                chunk = np.where(np.isnan(chunk), np.asarray(state.fill, np.float32), chunk)
                chunk = (chunk - np.asarray(state.center, np.float32)) * np.asarray(state.factor, np.float32)
            values[start : start + 65_536] = self._bound(chunk)
        return values

    def _bound(self, z: F32) -> F32:
        z = np.clip(z, -FAR, FAR)
        if self.options.clip == "none":
            return z
        t = z / np.float32(self.options.clip_at)
        return np.asarray(z / np.sqrt(t * t + np.float32(1)), dtype=np.float32)

    def _codes(self, frame: pd.DataFrame) -> I64:
        state, offsets = self.fitted, self.offsets
        codes = np.empty((len(frame), len(state.categories)), dtype=np.int64)
        for j, name in enumerate(state.categories):
            place = {level: offsets[j] + i for i, level in enumerate(state.levels[j])}
            default = offsets[j] + len(place) if state.other[j] else offsets[-1]
            seen, uniques = pd.factorize(frame[name], use_na_sentinel=False)
            codes[:, j] = np.array([place.get(str(u), default) for u in uniques], dtype=np.int64)[seen]
        return codes

    def check_schema(self, schema: Schema) -> None:
        """Raises SchemaError when the model was fitted on other columns than the schema names."""
        state = self.fitted
        if (schema.numbers, schema.categories) != (state.numbers, state.categories):
            known = {"numbers": state.numbers, "categories": state.categories}
            other = {"other_numbers": schema.numbers, "other_categories": schema.categories}
            raise SchemaError(message("training.other_columns", **known, **other))

    def emit(self, graph: Graph) -> list[str]:
        """Write the transform as ONNX ops; returns the values whose columns make up `Encoded.dense`."""
        return onnx_export.emit(graph, self.fitted, self.offsets)


def _float32(frame: pd.DataFrame, names: tuple[str, ...]) -> F32:
    """The columns as a table of its own, (n, len(names)) with a row's values side by side."""
    raw = np.empty((len(frame), len(names)), dtype=np.float32)
    if names and all(frame[name].dtype == np.float32 for name in names):
        raw[:] = frame[list(names)].to_numpy()  # at once: five times as fast as column by column
        return raw
    for index, name in enumerate(names):
        raw[:, index] = frame[name].to_numpy(dtype=np.float32)
    return raw


def _location_and_scale(present: F32, scaling: str) -> tuple[float, float, float]:
    """(median, center, 1 / scale) as float32 values; `present` varies and has no NaN.

    Quantiles are those of at most QUANTILE_ROWS rows, evenly spaced: sorting more took half as long as an epoch of
    training, for a rank that is right to 0.1 percent.
    """
    some = present[:: -(-len(present) // QUANTILE_ROWS)]
    quarter, median, three_quarters = np.quantile(some, [0.25, 0.5, 0.75]).astype(np.float64)
    if scaling == "none":
        return _f32(median), 0.0, 1.0
    if scaling == "zscore":
        with np.errstate(over="ignore"):
            mean, spread = float(present.mean(dtype=np.float64)), float(present.std(dtype=np.float64))
        return _f32(median), _f32(mean), _f32(1.0 / spread)
    # More than half of the rows equal: the quartile range says nothing, half of the range is taken.
    whole = float(present.max()) - float(present.min())
    spread = three_quarters - quarter if three_quarters > quarter else whole / 2.0
    return _f32(median), _f32(median), _f32(1.0 / spread)


def _f32(value: float) -> float:
    """The nearest finite float32, as a float that JSON keeps exactly."""
    limit = float(np.finfo(np.float32).max)
    return float(np.float32(min(max(float(value), -limit), limit)))


def as_frame(X: Any) -> pd.DataFrame:
    """A DataFrame as it is with text column names; an array as number columns `f0`, `f1`, …"""
    if isinstance(X, pd.DataFrame):
        return X if all(isinstance(c, str) for c in X.columns) else X.set_axis([str(c) for c in X.columns], axis=1)
    array = np.asarray(X)
    if array.ndim != 2:
        raise ValueError(f"Expected a two-dimensional array of rows, got {array.ndim} dimension(s). Reshape your data.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return pd.DataFrame(array.astype(np.float32, copy=False), columns=[f"f{i}" for i in range(array.shape[1])])
