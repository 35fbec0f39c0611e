"""What an uploaded table is called, and what it is where it has no name."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import BinaryIO

from ml.schema.validation_errors import shown

ENDINGS = {
    "text/csv": ".csv",
    "application/csv": ".csv",
    "application/gzip": ".csv.gz",
    "application/x-gzip": ".csv.gz",
    "application/vnd.apache.parquet": ".parquet",
    "application/x-parquet": ".parquet",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/vnd.ms-excel": ".xls",
}
PARQUET_ENDINGS = (".parquet", ".pq")
MAGIC = {
    b"PAR1": ".parquet",
    b"PK\x03\x04": ".xlsx",
    b"\xd0\xcf\x11\xe0": ".xls",
    b"\x1f\x8b": ".csv.gz",
    b"(\xb5/\xfd": ".csv.zst",
    b"BZh": ".csv.bz2",
}


def ending(stream: BinaryIO, mimetype: str, encoding: str) -> str:
    """What a body without a name is: as its headers say, else as its first bytes say. `stream` is read from its start.

    Parameters
    ----------
    mimetype, encoding
        Of the headers Content-Type and Content-Encoding; "" where absent.

    >>> import io
    >>> ending(io.BytesIO(b"PAR1..."), "application/octet-stream", "identity")
    '.parquet'
    """
    head = stream.read(4)
    stream.seek(0)
    declared = ENDINGS.get(mimetype, "")
    if encoding == "gzip" and declared in (".csv", ""):
        return ".csv.gz"
    return declared or next((found for magic, found in MAGIC.items() if head.startswith(magic)), ".csv")


def plain_name(name: str) -> str:
    """The last part of a file name, fit for a message."""
    return shown(PurePosixPath(name.replace("\\", "/")).name)
