"""Numbers as people wrote them: a float32 that was read from 55.92 is 55.91999816894531 as a double."""

from __future__ import annotations

import numpy as np


def shortest(value: float) -> float:
    """The double with the fewest digits that is the same float32; reading it again gives the same row.

    >>> shortest(55.91999816894531)
    55.92
    """
    return float(str(np.float32(value)))
