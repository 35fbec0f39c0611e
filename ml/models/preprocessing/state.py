"""How to preprocess, and what fitting learned: plain values, shared by the transform and its ONNX form."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

# Squares of scaled values must stay finite in float32; far beyond every useful clip.
FAR = np.float32(1e6)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to preprocess.

    `scaling`: "robust" centres by the median and divides by the quartile range, "zscore" by mean and
    standard deviation, "none" leaves values as they are with NaN for missing (trees).
    `clip`: "smooth" is z / sqrt(1 + (z / clip_at)²), "none" leaves z.
    `rare`: a level seen fewer times than this shares the "other" column.
    `statistics`: a category of more levels than this has target statistics beside its one-hot columns
    (`ml.models.preprocessing.statistics`); 0: none has.
    `dates`: number columns that are days since 2000-01-01, of which `ml.models.preprocessing.dates` derives more.

    Source: robust scaling with smooth clipping at 3: RealMLP (Holzmüller et al. 2024, section 3).
    """

    scaling: Literal["robust", "zscore", "none"] = "robust"
    clip: Literal["smooth", "none"] = "smooth"
    clip_at: float = 3.0
    indicators: bool = True
    rare: int = 5
    max_levels: int = 100
    statistics: int = 0
    dates: tuple[str, ...] = ()


class Statistics(msgspec.Struct, frozen=True):
    """Target statistics of one column: `values` has K numbers a level, one a class, of two classes one for both.

    A number is the logarithm of what the level does to the class's share (to the odds, of two classes).
    """

    column: str
    levels: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]


class State(msgspec.Struct, frozen=True):
    """Everything that `Preprocessor.fit` learns, JSON-able. Vectors are aligned with `varying`."""

    options: Options
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    varying: tuple[int, ...] = ()  # indices of number columns that vary; those derived of dates are counted on
    fill: tuple[float, ...] = ()  # medians
    center: tuple[float, ...] = ()
    factor: tuple[float, ...] = ()  # 1 / scale
    flagged: tuple[int, ...] = ()  # indices of number columns with missing values in training
    levels: tuple[tuple[str, ...], ...] = ()  # one tuple a category column
    other: tuple[bool, ...] = ()  # does the column have an "other" output?
    statistics: tuple[Statistics, ...] = ()
