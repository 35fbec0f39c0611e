"""CSV lines: an upload's records as they came, ready for further cells behind them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ml.data.sources.csv_reader import Positions, Records


def with_commas(records: Records) -> pa.Array:
    """(n,) strings: each record as it came with a comma in place of its end, so that cells can be put behind it."""
    starts, ends = records.starts, records.ends
    block = records.block if ends[-1] < len(records.block) else records.block + b"\n"
    content = np.frombuffer(block, np.uint8)[starts[0] : ends[-1] + 1].copy()
    content[ends - starts[0]] = ord(",")
    sizes = ends + 1 - starts
    if len(content) > sizes.sum():  # line ends of two bytes, or empty lines: what lies between goes
        content = content[_inside(starts - starts[0], ends + 1 - starts[0], len(content))]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return pa.StringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(content))


def _inside(starts: Positions, ends: Positions, size: int) -> npt.NDArray[np.bool_]:
    """(size,) whether a byte is in one of the ranges."""
    between = ends[:-1][starts[1:] > ends[:-1]]
    inside = np.ones(size, bool)
    inside[between] = False
    if int((starts[1:] - ends[:-1]).max()) > 1:
        steps = np.zeros(size + 1, np.int8)
        steps[starts] += 1
        steps[ends] -= 1
        inside = np.cumsum(steps[:-1], dtype=np.int8).astype(bool)
    return inside
