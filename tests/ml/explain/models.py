"""Models to explain, by their log-odds, and rows for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ml.schema.rows import Rows
from ml.schema.schema import Column, Schema

LEVELS = ("red", "green", "blue")


class Model:
    """A model by its log-odds: (numbers, codes of the category) → (n,) or, for more classes, (n, C) logits."""

    def __init__(self, score: Any, *, numbers: int, category: bool = False, classes: tuple[str, ...] = ("no", "yes")):
        self.score = score
        columns = [Column(name=f"n{i}", kind="number", minimum=-2.0, maximum=2.0) for i in range(numbers)]
        if category:  # in the middle, so that the order of the schema is not numbers first
            columns.insert(1, Column(name="colour", kind="category", categories=LEVELS))
        self.schema = Schema(target="y", classes=classes, positive_label="yes", columns=tuple(columns))

    def run(self, numbers: Any, categories: Any) -> npt.NDArray[np.float32]:
        known = {level: code for code, level in enumerate(LEVELS)}
        texts = categories[:, 0] if categories.shape[1] else [LEVELS[0]] * len(numbers)
        codes = np.array([known.get(text, len(LEVELS)) for text in texts])
        logits = self.score(np.nan_to_num(numbers.astype(np.float64), nan=0.25), codes)
        if logits.ndim == 1:
            positive = 1 / (1 + np.exp(-logits))
            return np.stack([1 - positive, positive], axis=1).astype(np.float32)
        powers = np.exp(logits)
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)

    def mixing(self) -> None:
        """There is no other graph."""

    def label(self, probabilities: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(self.schema.classes, object)[probabilities.argmax(axis=1)]


def tangled(x: npt.NDArray[Any], codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Interactions of two and three columns, the category among them."""
    return np.tanh(x[:, 0] * x[:, 1]) + x[:, 2] * (codes == 1) + 0.5 * x[:, 0] * x[:, 2] * x[:, 1]  # type: ignore[no-any-return]


def wide(x: npt.NDArray[Any], codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Twelve columns with interactions: too many for every subset."""
    return 0.3 * (x[:, ::2] * x[:, 1::2]).sum(axis=1) + np.maximum(x.sum(axis=1), 0) / 4  # type: ignore[no-any-return]


def linear(x: npt.NDArray[Any], codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return x @ np.linspace(-0.5, 0.5, x.shape[1]) + 0.4 * (codes == 2) - 0.1  # type: ignore[no-any-return]


def rows(n: int, numbers: int, *, category: bool = False, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    colours = np.asarray(LEVELS, object)[rng.integers(0, 3, size=(n, int(category)))]
    return Rows(rng.normal(size=(n, numbers)).clip(-2, 2).astype(np.float32), colours)


CASES = {
    "additive": (linear, 5, True, ("no", "yes")),
    "exact": (tangled, 3, True, ("no", "yes")),
    "permutation": (wide, 12, False, ("no", "yes")),
    "three classes": (lambda x, codes: np.stack([x[:, 0], x[:, 1] * x[:, 2], codes], axis=1), 3, True, ("a", "b", "c")),
}
