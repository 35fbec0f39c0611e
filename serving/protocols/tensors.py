"""Tensors of the Open Inference Protocol: JSON and binary, to cells and back.

**Source** https://github.com/kserve/open-inference-protocol, "HTTP/REST", and Triton's binary tensor data extension.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.errors import RefitError
from ml.messages import Message, message
from ml.schema.validation_errors import shown

DTYPES: dict[str, str] = {
    "BOOL": "?",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
BYTES = "BYTES"
MAX_ROWS = 2**31  # of a shape: what is allowed is `max_file_rows`, this only keeps arithmetic and messages short


class TensorError(RefitError):
    """Raised when a tensor, that of `name` where it is known, is not what its name, datatype and shape say: 400."""

    def __init__(self, what: Message, name: str | None = None):
        super().__init__(what if name is None else message("protocols.input", name=shown(name), what=what))
        self.code = what.code


def rows_of(name: str, shape: Any) -> int:
    """The number of rows of a column's tensor: its shape is [n] or [n, 1]."""
    if (
        isinstance(shape, list)
        and len(shape) in (1, 2)
        and all(isinstance(size, int) and not isinstance(size, bool) for size in shape)
        and 0 <= shape[0] < MAX_ROWS
        and shape[1:] in ([], [1])
    ):
        return int(shape[0])
    raise TensorError(message("protocols.shape", got=shown(shape)), name)


def from_json(name: str, datatype: str, n: int, data: Any) -> Sequence[Any]:
    """The cells of a tensor whose values came in the JSON, nested or flat.

    Parameters
    ----------
    datatype
        A name of the protocol: a key of `DTYPES`, or BYTES.
    n
        Product of the tensor's shape.
    data
        Lists, nested in any way, or one flat list.
    """
    cells = list(_flat(data))
    if len(cells) != n:
        raise TensorError(message("protocols.values_of_shape", n=n, got=len(cells)), name)
    if datatype == BYTES:
        wrong = next((cell for cell in cells if cell is not None and not isinstance(cell, str)), None)
    else:
        wrong = next((c for c in cells if c is not None and not _fits(c, DTYPES[datatype])), None)
    if wrong is not None:
        raise TensorError(message("protocols.values_of_type", datatype=datatype, got=shown(wrong)), name)
    return cells


def from_binary(name: str, datatype: str, n: int, content: bytes) -> Sequence[Any] | npt.NDArray[Any]:
    """The cells of a tensor whose values came after the JSON.

    Parameters
    ----------
    datatype
        A name of the protocol: a key of `DTYPES`, or BYTES.
    n
        Product of the tensor's shape.
    content
        Little-endian numbers, or texts each behind its length (uint32).
    """
    if datatype == BYTES:
        return _texts(name, n, content)
    kind = np.dtype(DTYPES[datatype])
    if len(content) != (size := n * kind.itemsize):
        raise TensorError(message("protocols.bytes_of_type", size=size, datatype=datatype, got=len(content)), name)
    return np.frombuffer(content, kind)


def to_binary(values: Sequence[str] | npt.NDArray[Any]) -> bytes:
    """The bytes of an output: numbers row-major little-endian, texts each with its length before it."""
    if isinstance(values, np.ndarray):
        return values.tobytes()
    encoded = [value.encode() for value in values]
    return b"".join(struct.pack("<I", len(value)) + value for value in encoded)


def _fits(cell: Any, code: str) -> bool:
    """Whether a JSON value is one of the datatype: a whole number in its range, a number that it does not overflow."""
    if not isinstance(cell, bool | int | float):
        return False
    kind = np.dtype(code)
    if kind.kind == "b":
        return cell in (0, 1)
    if kind.kind == "f":
        return not abs(cell) > float(np.finfo(kind).max) or cell in (float("inf"), float("-inf"))
    limits = np.iinfo(kind)
    return bool(limits.min <= cell <= limits.max and cell == int(cell))


def _flat(data: Any, depth: int = 0) -> Iterator[Any]:
    if isinstance(data, list) and depth < 3:
        for item in data:
            if isinstance(item, list):
                yield from _flat(item, depth + 1)
            else:
                yield item
    else:
        raise TensorError(message("protocols.data", got=shown(data)))


def _texts(name: str, n: int, content: bytes) -> list[str]:
    texts: list[str] = []
    place = 0
    while place + 4 <= len(content) and len(texts) < n:
        (size,) = struct.unpack_from("<I", content, place)
        place += 4 + size
        if place > len(content):
            break
        try:
            texts.append(content[place - size : place].decode())
        except UnicodeDecodeError as error:
            raise TensorError(message("protocols.no_utf8", n=len(texts)), name) from error
    if place != len(content) or len(texts) != n:
        raise TensorError(message("protocols.texts", n=n), name)
    return texts
