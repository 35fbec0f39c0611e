"""`POST /predict/file`: a table in, the same table with the prediction's columns out.

The upload is read through once before anything is scored, so that of a table that is wrong somewhere nothing
is answered and nothing is logged. Memory stays bounded: what is large goes through temporary files.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import tempfile
import zlib
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from flask import Blueprint, Response, request

from ml.messages import message
from ml.schema.validation_errors import shown
from serving import problems
from serving.api import guard, operations, schemas
from serving.api.guard import BODY_FILE
from serving.api.operations import BINARY, BYTES, CSV, JSON, PARQUET, TEXT
from serving.problems import Problem
from serving.scoring import responses
from serving.scoring.file_names import ENDINGS, PARQUET_ENDINGS, ending, plain_name
from serving.scoring.score import VERSION_HEADER
from serving.service import current_service

if TYPE_CHECKING:
    from serving.scoring.file_writers import Writer

SPOOL_BYTES = 8_000_000  # a larger upload is kept on disk; our choice
ROOM = 1.25  # of an answer's size as its parts so far foretell it; our choice
FORMATS = {
    "text/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
    "application/json": "json",
}

bp = Blueprint("files", __name__)


@bp.post("/predict/file")
@guard.opens("predict")
@operations.describe(
    "Score a table: CSV (plain, gzip, bzip2, xz, zstd), a workbook (.xlsx, .xlsb, .xls, .ods) or Parquet. A CSV with "
    "another delimiter than a comma comes back with its own, and with its decimal mark.",
    {CSV: TEXT, PARQUET: BINARY, JSON: schemas.FilePredictions},
    (*operations.BODY, 406),
    {CSV: TEXT, "multipart/form-data": operations.FILE, PARQUET: BINARY, "application/gzip": BINARY, BYTES: BINARY},
    query={"format": ["csv", "parquet", "json"], "decimal": [".", ","], "dates": ["day-first", "month-first"]},
    tag="predict",
)
def predict_file() -> Response:
    """Score an upload: the body itself, or the field `file` of a form; `?format=` or Accept says what comes back."""
    service = current_service()
    served = service.served()
    stream, name = _received()
    from serving.api import score_file  # Arrow: a worker that never sees a table does without

    try:
        decimal, dates = (request.values.get(key, "") for key in ("decimal", "dates"))
        upload = score_file.open_upload(service, served, stream, name, decimal=decimal, dates=dates)
        kind = _format(upload.is_parquet)
        upload.echo, writer_class = kind != "json", score_file.WRITERS[kind]
        out = spool()
        try:
            summary = score_file.score_upload(service, served, upload, writer_class(out, upload))
        except BaseException:
            out.close()
            raise
    finally:
        stream.close()
    response = _answer(out, writer_class, summary, name)
    response.headers.update(responses.decision_header(served.bundle))
    return response


def _received() -> tuple[BinaryIO, str]:
    """The upload as a stream that can be read twice, and its file name."""
    if request.mimetype == "multipart/form-data":
        files = list(request.files.values())
        if len(files) != 1:
            raise Problem(422, message("requests.one_file", n=len(files)))
        return cast(BinaryIO, files[0].stream), plain_name(files[0].filename or "") or "upload.csv"
    if request.mimetype not in (*ENDINGS, BYTES, ""):
        expected = "text/csv, application/vnd.apache.parquet, application/gzip, a workbook or multipart/form-data"
        raise Problem(415, message("requests.content_type", expected=expected, got=shown(request.mimetype)))
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise Problem(415, message("requests.content_encoding", got=shown(encoding)))
    stream = request.environ.get(BODY_FILE) or _spooled(cast(BinaryIO, request.stream))
    name = plain_name(request.args.get("name", "")) or "upload" + ending(stream, request.mimetype, encoding)
    if encoding == "gzip" and name.casefold().endswith(PARQUET_ENDINGS):
        return _unpacked(stream), name
    return stream, name


def _unpacked(stream: BinaryIO) -> BinaryIO:
    """A Parquet file that came gzip-packed; its reader needs to jump about in it."""
    try:
        return _spooled(cast(BinaryIO, gzip.GzipFile(fileobj=stream, mode="rb")))
    except (OSError, EOFError, zlib.error) as error:
        raise Problem(400, message("requests.no_gzip", error=shown(error))) from error
    finally:
        stream.close()


def _spooled(stream: BinaryIO) -> BinaryIO:
    """What comes out of a stream, as a file that can be read twice.

    Raises
    ------
    Problem
        413: more than the largest body.
    """
    most = current_service().settings.serving.max_body_bytes
    into = spool()
    try:
        while chunk := stream.read(1 << 18):
            into.write(chunk)
            if into.tell() > most:
                raise Problem(413, message("requests.body_too_large", limit=most))
        into.seek(0)
    except BaseException:
        into.close()
        raise
    return into


def _format(is_parquet: bool) -> str:
    wanted = request.args.get("format")
    if wanted is not None:
        if wanted not in FORMATS.values():
            raise Problem(422, message("requests.format", got=shown(wanted)))
        return wanted
    default = "parquet" if is_parquet else "csv"
    if not request.accept_mimetypes or request.accept_mimetypes.best == "*/*":
        return default
    ordered = sorted(FORMATS, key=lambda kind: FORMATS[kind] != default)  # of equals, the one that came
    best = request.accept_mimetypes.best_match(ordered)
    if best is None:
        raise Problem(406, message("requests.accept", kinds=list(FORMATS), got=shown(request.accept_mimetypes)))
    return FORMATS[best]


def spool() -> BinaryIO:
    """A file that stays in memory while it is small. Its user closes it."""
    return cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES))


class Room:
    """The disk's room for an answer of `rows`, taken before they are logged part by part.

    It is an estimate: by the largest rows so far, and `ROOM` of that; more is taken where later parts outgrow it. Where
    there is none then, or the log takes no more, the caller is told what is logged already.
    """

    def __init__(self, rows: int) -> None:
        self.rows, self.logged = rows, 0
        self._written = self._bytes = self._taken = 0
        self._largest = 0.0  # bytes of a row

    def take(self, out: BinaryIO, n: int, more: int = 0) -> None:
        """Take it; the last `n` rows are written to `out`.

        Parameters
        ----------
        out
            A file, or one that is kept in memory up to SPOOL_BYTES: nothing is taken of an answer that stays there.
        n
            So many, at least 1.
        more
            Bytes of the answer that are not in `out` yet.

        Raises
        ------
        OSError
            There is none.
        """
        written = out.tell() + more
        self._largest = max(self._largest, (written - self._bytes) / n)
        self._bytes, self._written = written, self._written + n
        size = round(ROOM * (written + self._largest * (self.rows - self._written)))
        if size <= self._taken:
            return
        if isinstance(out, tempfile.SpooledTemporaryFile):
            if size <= SPOOL_BYTES:
                return
            out.rollover()
        os.posix_fallocate(out.fileno(), 0, size)
        self._taken = size

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """An answer that ends inside after rows of it were logged says so.

        Raises
        ------
        Problem
            What ended it, with how many rows are logged.
        """
        try:
            yield
        except (OSError, Problem) as error:
            problem = problems.of(error)
            if not self.logged or problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            why = message("requests.partly_logged", why=problem.explanation, n=self.logged, rows=self.rows)
            raise Problem(problem.status, why, headers=problem.headers, code=problem.code) from error


def sent(out: BinaryIO, mimetype: str) -> Response:
    """The response that sends what was written to `out`, a `spool`, and closes it."""
    size = out.tell()
    out.truncate(size)  # the rest of what was reserved
    out.seek(0)
    wrapper = request.environ.get("wsgi.file_wrapper")
    if size <= SPOOL_BYTES:  # in memory: its rows are logged, and the server keeps it on a full disk too
        response = Response(out.read(), content_type=mimetype)
        out.close()
    elif wrapper is not None:  # the server sends the file itself, and closes it
        response = Response(wrapper(out, 1 << 18), content_type=mimetype, direct_passthrough=True)
    else:
        response = Response(_stream(out), content_type=mimetype)
        response.call_on_close(out.close)  # a response that is given up before it began reads nothing
    response.content_length = size
    return response


def _answer(out: BinaryIO, writer: type[Writer], summary: dict[str, Any], name: str) -> Response:
    response = sent(out, writer.mimetype)
    stem = name.split(".")[0] or "upload"
    response.headers.set("Content-Disposition", "attachment", filename=f"{stem}-predictions{writer.ending}")
    response.headers[VERSION_HEADER] = summary["model_version"]
    response.headers["X-Rows"] = str(summary["rows"])
    response.headers.update(responses.warnings_header(summary["warnings"]))
    return response


def _stream(out: BinaryIO) -> Iterator[bytes]:
    with out:
        while block := out.read(1 << 18):
            yield block
