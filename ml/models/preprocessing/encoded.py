"""Preprocessed rows: numbers, missing flags and the places of categories, not yet side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


@dataclass
class Encoded:
    """Rows as a model takes them.

    numbers: (n, len(varying)) float32, then target statistics; flags: (n, len(flagged)) float32 of 0 and 1;
    codes: (n, M) int64 positions in the one-hot block, `width` for "nowhere".
    """

    numbers: F32
    flags: F32
    codes: I64
    width: int

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, index: I64) -> Encoded:
        """The rows at `index`, as a copy."""
        return Encoded(self.numbers[index], self.flags[index], self.codes[index], self.width)

    def one_hot(self) -> F32:
        """(n, width) float32."""
        block = np.zeros((len(self.codes), self.width + 1), dtype=np.float32)
        np.put_along_axis(block, self.codes, np.float32(1), axis=1)
        return block[:, : self.width]

    def dense(self) -> F32:
        """(n, d) float32: numbers, then indicators, then one-hot."""
        parts = [self.numbers, self.flags] + ([self.one_hot()] if self.width else [])
        return np.ascontiguousarray(np.concatenate(parts, axis=1)) if len(parts) > 1 else self.numbers
