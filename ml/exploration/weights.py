"""Inverse-propensity weights: labelled rows that stand for all answered ones.

Where an answer decides who gets a chance to have a label, the labelled rows are a sample of what was let through. With
e the chance of a label that each row had (`label_propensity`, logged with its action), a row that has a label counts as
1/e rows, clipped, and a mean is divided by the sum of the weights (self-normalised). Few rows of large weight carry
such a mean: what they are worth is the effective sample size. A row whose action gave no chance of a label counts
nothing, whatever label came; one whose chance is not known counts once.

**Source** Horvitz and Thompson 1952; Hájek 1971 (self-normalised); Ionides 2008 (truncation); Kish 1965 (effective
sample size).
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from ml.messages import Message, message

Array = npt.NDArray[np.float64]


class Weights(msgspec.Struct, frozen=True):
    """Of labelled rows: `rows` (n,) as they count, at most `most`, and what there is to be known of them."""

    rows: Array
    most: float
    unknown: int = 0  # rows of no known chance, which count once
    without: int = 0  # rows whose action gave no chance of a label, which count nothing

    @property
    def uniform(self) -> bool:
        """Whether all rows that count count alike: there is nothing to be weighed."""
        some = self.rows[self.rows > 0]
        return not len(some) or bool((some == some[0]).all())

    @property
    def used(self) -> npt.NDArray[np.bool_]:
        """(n,) the rows that count."""
        return self.rows > 0

    @property
    def clipped(self) -> int:
        """How many rows would count for more, had their weight not been cut."""
        return int((self.rows >= self.most).sum())

    @property
    def notes(self) -> list[Message]:
        """What a verdict over these rows says of them."""
        told = []
        if not self.uniform:
            n, effective = int(self.used.sum()), effective_sample_size(self.rows)
            told.append(message("exploration.weighed", n=n, effective=effective))
            if self.clipped:
                told.append(message("exploration.clipped", n=self.clipped, most=self.most))
            if self.unknown:
                told.append(message("exploration.unknown", n=self.unknown))
        if self.without:
            told.append(message("exploration.without_chance", n=self.without))
        return told


def weights(label_propensity: npt.ArrayLike, *, most: float) -> Weights:
    """Inverse-propensity weights of labelled rows.

    Parameters
    ----------
    label_propensity
        (n,) each row's chance of a label, in (0, 1]; 0: its action gave none; NaN: not known.
    most
        Larger weights are cut to it.

    >>> found = weights([1.0, 0.5, 0.01, 0.0, np.nan], most=50)
    >>> found.rows, found.clipped, found.without, found.unknown
    (array([ 1.,  2., 50.,  0.,  1.]), 1, 1, 1)
    """
    e = np.asarray(label_propensity, dtype=np.float64)
    unknown, without = np.isnan(e), e <= 0
    inverse = 1 / np.where(unknown | without, 1.0, np.minimum(e, 1.0))
    return Weights(
        np.where(without, 0.0, np.minimum(inverse, most)), most, unknown=int(unknown.sum()), without=int(without.sum())
    )


def effective_sample_size(weight: Array) -> float:
    """How many equally weighed rows would tell as much: (Σw)² / Σw².

    >>> effective_sample_size(np.array([1.0, 1.0, 1.0, 1.0])), effective_sample_size(np.array([1.0, 0.0, 0.0]))
    (4.0, 1.0)
    """
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares else 0.0


def resample(weight: Array, *, seed: int) -> npt.NDArray[np.int64]:
    """Rows drawn by their weights, with replacement, as many as the effective sample size: an unweighted sample of all.

    Parameters
    ----------
    weight
        (n,) not all 0.
    seed
        Of the draw.
    """
    n = max(1, round(effective_sample_size(weight)))
    drawn = np.random.default_rng(seed).choice(len(weight), n, p=weight / weight.sum())
    return np.asarray(np.sort(drawn), dtype=np.int64)
