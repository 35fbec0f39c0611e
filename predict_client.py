#!/usr/bin/env python3
"""Score a table with a running Refit service: `python predict_client.py customers.csv --output scored.csv`.

Needs Python's standard library alone (and pyarrow for .parquet, python-calamine for workbooks). Rows go in parts; a
part that fails for a reason that may pass is sent again with growing pauses; after an interruption the same command
goes on where it stopped.

The output has the input's columns and prediction_id, label, probability (of that label), positive_probability (of the
positive label, for two classes: what --rank orders by), probability_<class>, warnings. A row's prediction id is made
from the table's cells, the row's place and the model version (a column prediction_id brings ids of your own): a part
that is sent twice is logged once, and what another version answers is logged too, so that labels join it. Every answer
is held to what was asked: its type, version and columns, as many rows, the same ids in the same order, all of it. What
comes of a CSV with another delimiter than a comma is written as it is: with its delimiter, its decimal mark (that its
numbers show, or --decimal says), and the mark by which spreadsheets know UTF-8. Until all is done the rows are in
OUTPUT.part, which one run at a time may write, with OUTPUT.part.json saying how far it is good.

A few words in a number column are missing values, and the service counts them by the request. Where a part has more
than a few, all is sent again in larger parts, as the whole table may have fewer.

Exit codes: 0 done; 2 the command or the file is wrong, or it changed while it was sent; 3 the service refuses the
rows, and says why; 4 the service cannot be reached or stays busy; 5 the model changed on the way (see --allow-mixed);
6 what came is no answer to what was asked; 130 interrupted. After 4, 5, 6 and 130 the same command goes on.
"""

from __future__ import annotations

import argparse
import bz2
import contextlib
import csv
import datetime
import email.utils
import gzip
import hashlib
import http.client
import importlib.util
import io
import json
import lzma
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

try:
    import fcntl

    def _hold(stream: IO[bytes]) -> None:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)

except ImportError:  # Windows: two runs at once into one output are not noticed there

    def _hold(stream: IO[bytes]) -> None:
        pass


OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
ID = "prediction_id"
RANKED_BY = "positive_probability"
FIGURE = re.compile(r"(?:predicted_)*(?:probability(?:_.*)?|positive_probability|propensity)", re.DOTALL)
BOM = "\ufeff"  # by which spreadsheets know UTF-8
WORKBOOKS = {".xlsx", ".xlsb", ".xls", ".ods"}
PASSING = {408, 425, 429, 500, 502, 503, 504}
DELIMITERS, SAMPLE_LINES = ",;\t|", 50  # as the service looks for it
AS_CSV, UNREADABLE = "--workbook-as-csv", 3
WORKBOOK_BYTES, WORKBOOK_S = 2_000_000_000, 120  # memory and CPU seconds that reading one may take
WRITTEN = re.compile(
    r"[+-]?(?:\d+\.?\d*|\.\d+|\d*,\d+)(?:[eE][+-]?\d+)?|[+-]?[1-9]\d{0,2}([., '])\d{3}(?:\1\d{3})*(?:[.,]\d*)?"
)
DATE = re.compile(r"(\d{1,2})([-/.])(\d{1,2})[-/.]\d{4}(?:\D|$)")
EITHER = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
BLANKS = str.maketrans("\u00a0\u202f\u2009\u2019", "   '")
FEW, FEW_WORDS = 0.05, 10_000  # of a number column's cells may be words
DOUBTFUL_MARKS = "urn:refit:rows.doubtful_marks"
TOO_MANY_WORDS = "urn:refit:rows.too_many_words"
LARGER = 8  # times, the next parts where one had too many words


class Stop(Exception):
    """Raised to end with a message and an exit code."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


class TooManyWords(Stop):
    """Raised where a larger part could hold the words that this one cannot."""


class Form(NamedTuple):
    """How the output is written: with semicolons as the input is, so that what opens the one opens the other."""

    delimiter: str = ","
    decimal: str = "."
    bom: bool = False


class Chunk(NamedTuple):
    """Consecutive rows: `first` counts from 0; cells as text, one id a row."""

    first: int
    names: list[str]
    rows: list[list[str]]
    ids: list[str]


class Answer(NamedTuple):
    """A checked answer: its lines, those of the header first, the names in it, and how a label is made."""

    content: bytes
    names: list[str]
    version: str
    decision: str


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == [AS_CSV]:
        return _as_csv(arguments[1])
    options = _parser().parse_args(arguments)
    try:
        run(options)
    except Stop as stop:
        print(f"predict_client: {stop}", file=sys.stderr)
        return stop.code
    except KeyboardInterrupt:
        print("\npredict_client: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"predict_client: {error}", file=sys.stderr)
        return 2
    return 0


def _sign(text: str) -> str:
    if text != "tab" and len(text) > 1:
        raise argparse.ArgumentTypeError(f"one character, or the word tab, not {text!r}")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Score a table with a running Refit service.")
    parser.add_argument("file", type=Path, help="CSV (.csv, also .gz, .bz2, .xz), .xlsx, .xls, .ods or .parquet")
    parser.add_argument("--url", default=os.environ.get("REFIT_URL", "http://127.0.0.1:8000"), help="the service")
    parser.add_argument("--output", "-o", type=Path, help="default: FILE with -predictions before its ending, as CSV")
    parser.add_argument("--chunk", type=int, default=2_000, help="rows a request (default 2000)")
    parser.add_argument(
        "--delimiter", type=_sign, default="", help='of a CSV (default: found in the file; "tab" for a tabulator)'
    )
    parser.add_argument("--decimal", default="", choices=(".", ","), help="decimal mark (default: found in the file)")
    parser.add_argument("--dates", default="", choices=("day-first", "month-first"), help="03/04/2026 (default: found)")
    parser.add_argument("--retries", type=int, default=8, help="of one part, with growing pauses (default 8)")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for one answer (default 60)")
    parser.add_argument("--key", default=os.environ.get("REFIT_API_KEY", ""), help="API key (default $REFIT_API_KEY)")
    parser.add_argument("--restart", action="store_true", help="start again where an earlier run was interrupted")
    parser.add_argument("--allow-mixed", action="store_true", help="go on when the model version changes on the way")
    parser.add_argument("--rank", action="store_true", help="highest probability of the positive label first")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


def run(options: argparse.Namespace) -> None:
    """Score `options.file` into the output."""
    if options.chunk < 1 or options.retries < 0:
        raise Stop(2, "expected --chunk to be at least 1 and --retries at least 0")
    if not options.file.is_file():
        raise Stop(2, f"there is no file {options.file}")
    output: Path = options.output or _default_output(options.file)
    if output.resolve() == options.file.resolve():
        raise Stop(2, "the output would replace the input; give another --output")
    if output.suffix in (".parquet", ".pq"):
        raise Stop(2, "the output is CSV; give it a name that ends in .csv, .csv.gz, .csv.bz2 or .csv.xz")
    if not options.url.startswith(("http://", "https://")):
        raise Stop(2, f"expected --url to begin with http:// or https://, got {options.url}")
    digest, total, marks = _digest(options)
    options.decimal, options.dates = options.decimal or marks.decimal(), options.dates or marks.dates()
    if not options.decimal and marks.found and not options.quiet:
        told = " and ".join(marks.found.values())
        print(f"predict_client: numbers seem to be written in two ways: {told}; --decimal says which", file=sys.stderr)
    while True:
        try:
            return _score(options, output, digest)
        except TooManyWords as stop:
            if options.chunk >= total:
                raise
            options.chunk, options.restart = min(LARGER * options.chunk, total), True
            print(f"predict_client: {stop}\npredict_client: all again, {options.chunk} rows a request", file=sys.stderr)


def _score(options: argparse.Namespace, output: Path, digest: str) -> None:
    form = _form(options)
    with contextlib.ExitStack() as opened:
        journal = opened.enter_context(Journal(output, digest, form, restart=options.restart))
        progress = Progress(options.quiet, journal.rows)
        names, rows = _table(options, opened)
        seen, decision = hashlib.sha256(_bytes(names)), ""
        version = journal.version or _version(options)

        def prefix() -> str:
            return hashlib.sha256(f"{digest} {journal.version or version}".encode()).hexdigest()[:20]

        for chunk in _chunks(names, _hashed(rows, seen), options.chunk, journal.rows, prefix):
            answer = _ask(options, chunk, form)
            if journal.version not in ("", answer.version) and not options.allow_mixed:
                raise Stop(
                    5, f"the model changed from version {journal.version} to {answer.version} after {journal.rows} "
                    "rows; --restart scores all with one version, --allow-mixed goes on"
                )  # fmt: skip
            if options.rank and not _rank_places(answer.names):
                raise Stop(2, f"--rank needs a positive label, and model version {answer.version} has none")
            journal.add(answer, len(chunk.rows))
            decision = answer.decision
            progress.show(journal.rows)
        if seen.hexdigest()[:20] != digest:
            journal.forget()
            raise Stop(2, f"{options.file} changed while it was sent; nothing is kept of the output")
        journal.finish(rank=options.rank)
    progress.done(journal.rows, journal.version, output, decision)


def _default_output(file: Path) -> Path:
    return file.with_name(f"{file.name.split('.')[0]}-predictions.csv")


# ---- reading


def _table(options: argparse.Namespace, opened: contextlib.ExitStack) -> tuple[list[str], Iterator[list[str]]]:
    """Column names and rows of text cells."""
    file: Path = options.file
    if file.suffix in (".parquet", ".pq"):
        return _parquet(file, opened)
    if file.suffix.lower() in WORKBOOKS:
        return _parsed(file, opened.enter_context(_workbook(file)), ",")
    delimiter, opener = _form(options).delimiter, OPENERS.get(file.suffix, open)
    return _parsed(file, opened.enter_context(opener(file, "rt", encoding="utf-8-sig", newline="")), delimiter)


def _form(options: argparse.Namespace) -> Form:
    """How the input is written, as far as the output shall be so: with commas the answers are taken as they come."""
    file: Path = options.file
    if file.suffix in (".parquet", ".pq") or file.suffix.lower() in WORKBOOKS:
        return Form()
    delimiter, opener = "\t" if options.delimiter == "tab" else options.delimiter, OPENERS.get(file.suffix, open)
    try:
        with opener(file, "rt", encoding="utf-8", newline="") as begin:
            lines = [line for line, _ in zip(begin, range(SAMPLE_LINES), strict=False)]
    except (UnicodeDecodeError, EOFError, lzma.LZMAError, OSError) as error:
        raise Stop(2, f"{file}: not a readable CSV file: {error}") from error
    has_bom = bool(lines) and lines[0].startswith(BOM)
    if has_bom:
        lines[0] = lines[0].removeprefix(BOM)
    delimiter = delimiter or _delimiter(lines)
    return Form() if delimiter == "," else Form(delimiter, options.decimal or ".", has_bom)


def _delimiter(lines: list[str]) -> str:
    """The one under which most of the first lines have as many fields as the header, as the service finds it."""
    best, best_score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        try:
            counts = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        except csv.Error:
            continue
        if counts and counts[0] > 1:
            score = (sum(count == counts[0] for count in counts) / len(counts), counts[0])
            if score > best_score:
                best, best_score = delimiter, score
    return best


def _parsed(file: Path, stream: IO[str], delimiter: str) -> tuple[list[str], Iterator[list[str]]]:
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    try:
        names = next(reader)
    except StopIteration:
        raise Stop(2, f"{file} is empty") from None
    except (csv.Error, UnicodeDecodeError, EOFError, lzma.LZMAError, OSError) as error:
        raise Stop(2, f"{file}: not a readable CSV file: {error}") from error
    names = [name.strip() for name in names]
    if len(set(names)) < len(names):
        raise Stop(2, f"{file}, line 1: two columns of one name")
    return names, _csv_rows(file, reader, len(names))


def _csv_rows(file: Path, reader: Any, width: int) -> Iterator[list[str]]:
    line = reader.line_num + 1  # where the record at hand begins
    try:
        for row in reader:
            if row and len(row) != width:
                raise Stop(2, f"{file}, line {line}: expected {width} fields as in the header, got {len(row)}")
            line = reader.line_num + 1
            if row:
                yield row
    except (csv.Error, UnicodeDecodeError, EOFError, lzma.LZMAError, OSError) as error:
        raise Stop(2, f"{file}, line {line}: {error}") from error


def _parquet(file: Path, opened: contextlib.ExitStack) -> tuple[list[str], Iterator[list[str]]]:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise Stop(2, "reading Parquet needs pyarrow: pip install pyarrow, or save the table as CSV") from None
    try:
        table = opened.enter_context(pq.ParquetFile(file))
    except Exception as error:  # pyarrow raises several unrelated classes
        raise Stop(2, f"{file}: not a readable Parquet file: {error}") from error

    def rows() -> Iterator[list[str]]:
        for batch in table.iter_batches(8_192):
            yield from ([_cell(value) for value in row] for row in zip(*batch.to_pydict().values(), strict=True))

    return table.schema_arrow.names, rows()


def _workbook(file: Path) -> IO[str]:
    """The first sheet that has cells, as CSV. A process of its own reads it, with limits: a workbook of a few kilobytes
    can ask for any memory (a cell in the last row and column)."""
    if importlib.util.find_spec("python_calamine") is None:
        raise Stop(2, "reading workbooks needs python-calamine: pip install it, or save the table as CSV")
    out = tempfile.TemporaryFile("w+", encoding="utf-8", newline="")  # noqa: SIM115 (its reader closes it)
    try:
        command = [sys.executable, __file__, AS_CSV, str(file)]
        subprocess.run(command, stdout=out, stderr=subprocess.PIPE, timeout=WORKBOOK_S, check=True)
    except subprocess.SubprocessError as error:
        out.close()
        said = (getattr(error, "stderr", None) or b"").decode("utf-8", "replace").strip()
        if getattr(error, "returncode", 0) == UNREADABLE:
            raise Stop(2, f"{file}: not a readable workbook: {said}") from error
        raise Stop(2, f"{file}: the workbook takes too much memory or time; save its table as CSV") from error
    out.seek(0)
    return out


def _as_csv(file: str) -> int:
    """What the process of `_workbook` does: write to standard output."""
    with contextlib.suppress(ImportError):  # Windows has no limits
        import resource

        for limit, most in (("AS", WORKBOOK_BYTES), ("CPU", WORKBOOK_S), ("CORE", 0)):
            resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (most, most))
    import python_calamine

    try:
        book = python_calamine.CalamineWorkbook.from_path(file)
        sheets = (book.get_sheet_by_name(name) for name in book.sheet_names)
        filled = next((sheet for sheet in sheets if sheet.height and sheet.width), None)
        with io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="") as out:
            writer = csv.writer(out, lineterminator="\n")
            for row in filled.iter_rows() if filled else ():
                if any(value != "" for value in row):
                    writer.writerow([_plain(value) for value in row])
    except (MemoryError, BrokenPipeError):
        raise
    except Exception as error:  # calamine raises several unrelated classes
        print(error, file=sys.stderr)
        return UNREADABLE
    return 0


def _plain(value: Any) -> str:
    """As a CSV of the same table has it: whole numbers without a point, dates as ISO 8601, days without a time."""
    match value:
        case bool():
            return str(value).lower()
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case datetime.date() | datetime.time():
            return value.isoformat().removesuffix("T00:00:00")
        case _:
            return str(value).strip()


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    return repr(value) if isinstance(value, float) else str(value)


def _bytes(cells: list[str]) -> bytes:
    """A row for the digest: no two rows have the same."""
    return "".join(f"{len(cell)}:{cell}," for cell in [str(len(cells)), *cells]).encode("utf-8", "surrogatepass")


def _digest(options: argparse.Namespace) -> tuple[str, int, Marks]:
    """SHA-256 over the names and cells as they are sent, however the file is packed; 20 digits of it. Then the rows,
    and what they say about decimal marks."""
    with contextlib.ExitStack() as opened:
        names, rows = _table(options, opened)
        seen, total, marks = hashlib.sha256(_bytes(names)), 0, Marks(names)
        for row in _hashed(rows, seen):
            total += 1
            marks.add(row)
    return seen.hexdigest()[:20], total, marks


class Marks:
    """The decimal mark of a table and its order of dates by its own cells, as the service finds them; parts of the
    table may not show them.

    `found` has the first cell of each way of writing, of columns that are numbers but for a few words.
    """

    def __init__(self, names: list[str]):
        self._names = names
        self._columns = [{"words": 0, "cells": 0} for _ in names]
        self._first: list[dict[str, str]] = [{} for _ in names]
        self._orders: set[str] = set()

    def add(self, row: list[str]) -> None:
        """Look at one row."""
        for counts, first, cell in zip(self._columns, self._first, row, strict=False):
            text = cell.strip().translate(BLANKS)
            if date := DATE.match(text):
                self._orders |= date_orders(date)
            if not text or counts["words"] > FEW_WORDS:
                continue
            counts["cells"] += 1
            if not WRITTEN.fullmatch(text):
                counts["words"] += 1
            elif mark := decimal_mark(text):
                first.setdefault(mark, text)

    @property
    def found(self) -> dict[str, str]:
        """Decimal mark → where it is."""
        found: dict[str, str] = {}
        for name, counts, first in zip(self._names, self._columns, self._first, strict=True):
            if counts["words"] <= FEW * counts["cells"]:
                for mark, text in first.items():
                    found.setdefault(mark, f"'{text}' in column '{name}'")
        return found

    def dates(self) -> str:
        """The order of day and month, where all dates that decide agree."""
        return next(iter(self._orders)) if len(self._orders) == 1 else ""

    def decimal(self) -> str:
        """The mark, where all that decide agree."""
        found = self.found
        return next(iter(found)) if len(found) == 1 else ""


def date_orders(date: re.Match[str]) -> set[str]:
    """The orders of day and month that a date decides."""
    day_first = int(date[1]) > 12 or date[2] == "."
    return ({"day-first"} if day_first else set()) | ({"month-first"} if int(date[3]) > 12 else set())


def decimal_mark(number: str) -> str:
    """The decimal mark that a number as people write it must have; "" where it has none, or 1,234 may be either."""
    last = max(number.rfind("."), number.rfind(","))
    if last < 0 or EITHER.fullmatch(number):
        return ""
    other = "," if number[last] == "." else "."
    return other if number.count(number[last]) > 1 else number[last]


def _hashed(rows: Iterator[list[str]], seen: Any) -> Iterator[list[str]]:
    for row in rows:
        seen.update(_bytes(row))
        yield row


def _chunks(
    names: list[str], rows: Iterator[list[str]], size: int, skip: int, prefix: Callable[[], str]
) -> Iterator[Chunk]:
    """Chunks of the rows after the first `skip`, which an earlier run has scored; one without rows of no rows.

    Their ids begin with what `prefix` gives when they are made.
    """
    own = names.index(ID) if ID in names else None
    first = skip
    chunk: list[list[str]] = []

    def made() -> Chunk:
        begin = prefix()
        ids = [f"{begin}-{first + i}" if own is None else row[own].strip() for i, row in enumerate(chunk)]
        return Chunk(first, names, chunk, ids)

    for i, row in enumerate(rows):
        if i < skip:
            continue
        chunk.append(row)
        if len(chunk) == size:
            yield made()
            first, chunk = first + size, []
    if chunk or not first:
        yield made()


# ---- asking


def _ask(options: argparse.Namespace, chunk: Chunk, form: Form) -> Answer:
    """The checked answer of one chunk, written in this form."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    own = ID in chunk.names
    writer.writerow(chunk.names if own else [ID, *chunk.names])
    writer.writerows(chunk.rows if own else ([key, *row] for key, row in zip(chunk.ids, chunk.rows, strict=True)))
    content, headers = _post(options, gzip.compress(text.getvalue().encode(), 1), chunk)
    try:
        answer = _checked(content, headers, chunk)
    except (ValueError, csv.Error) as error:
        raise Stop(6, f"{options.url} gave no answer to what was asked: {error}") from error
    return answer._replace(content=_in_form(content, len(_sent_columns(chunk)), form))


def _in_form(content: bytes, n_sent: int, form: Form) -> bytes:
    """An answer, which comes with commas and points, as the output is written; what was sent is as it was."""
    if form == Form():
        return content
    names, *rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    figures = [i for i, name in enumerate(names) if i >= n_sent and FIGURE.fullmatch(name)]
    for row in rows:
        for i in figures:
            row[i] = row[i].replace(".", form.decimal)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", delimiter=form.delimiter)
    writer.writerows([names, *rows])
    return ((BOM if form.bom else "") + text.getvalue()).encode()


def _sent_columns(chunk: Chunk) -> list[str]:
    """The columns that come back of a part: the service leaves out those without a name."""
    return [name for name in (chunk.names if ID in chunk.names else [ID, *chunk.names]) if name]


def _checked(content: bytes, headers: Any, chunk: Chunk) -> Answer:
    """The answer, if it is one to this chunk.

    Raises
    ------
    ValueError, csv.Error
        Saying what was expected and what came.
    """
    version = headers.get("X-Model-Version", "")
    if (kind := headers.get_content_type()) != "text/csv":
        raise ValueError(f"expected text/csv, got {kind}: is this the service, or a page before it?")
    if not version:
        raise ValueError("it names no model version: is this the service?")
    if not content.endswith(b"\n"):
        raise ValueError("it breaks off in the middle of a line")
    names, *rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    sent = _sent_columns(chunk)
    came = [name.removeprefix("'") for name in names[: len(sent)]]  # in front of what a spreadsheet would run
    added = {name.removeprefix("predicted_").removeprefix("predicted_") for name in names[len(sent) :]}
    if came != [name.removeprefix("'") for name in sent] or not {"label", "probability"} <= added:
        raise ValueError(f"expected the columns that were sent, label and probability; got {', '.join(names)[:200]}")
    if len(rows) != len(chunk.rows):
        raise ValueError(f"{len(chunk.rows)} rows were sent and {len(rows)} came back")
    place = sent.index(ID)
    for i, (row, key) in enumerate(zip(rows, chunk.ids, strict=True)):
        if len(row) != len(names) or row[place].removeprefix("'") != key.removeprefix("'"):
            raise ValueError(f"row {chunk.first + i + 1} came back as another one, or not whole")
    return Answer(content, names, version, _decision(headers.get("X-Decision", "")))


def _decision(header: str) -> str:
    """The sentence of X-Decision, which older services do not send."""
    try:
        return str(json.loads(header))
    except ValueError:
        return ""


def _rank_places(names: list[str]) -> list[int]:
    """Where the probability to rank by is; the input may have had a column of its name, so the last one counts."""
    return [i for i, name in enumerate(names) if name.removeprefix("predicted_") == RANKED_BY][-1:]


def _version(options: argparse.Namespace) -> str:
    """The version in service; "" where a service does not say."""
    request = urllib.request.Request(f"{options.url.rstrip('/')}/model")
    try:
        return str(_sent(options, request, None)[1].get("X-Model-Version", ""))
    except Stop as stop:
        if stop.code != 3:
            raise
        return ""  # what it has against the key or the path it says of the rows too


def _post(options: argparse.Namespace, body: bytes, chunk: Chunk) -> tuple[bytes, Any]:
    """Body and headers of the answer to a chunk."""
    headers = {"Content-Type": "text/csv", "Content-Encoding": "gzip", "Accept": "text/csv"}
    name = urllib.parse.quote(_sent_name(options))
    told = {"decimal": options.decimal, "dates": options.dates}
    said = "".join(f"&{key}={value}" for key, value in told.items() if value)
    request = urllib.request.Request(
        f"{options.url.rstrip('/')}/predict/file?format=csv&name={name}{said}",
        data=body,
        headers=headers,
        method="POST",
    )
    return _sent(options, request, chunk)


def _sent_name(options: argparse.Namespace) -> str:
    """What a part is called: its ending says how it is packed."""
    return str(options.file.name.split(".")[0]) + ".csv.gz"


def _sent(options: argparse.Namespace, request: urllib.request.Request, chunk: Chunk | None) -> tuple[bytes, Any]:
    """Body and headers of the answer, tried again where the reason may pass."""
    if options.key:
        request.add_header("Authorization", f"Bearer {options.key}")
    last = ""
    for attempt in range(options.retries + 1):
        wait = min(30.0, 0.25 * 2**attempt) * (0.5 + random.random() / 2)
        try:
            with urllib.request.urlopen(request, timeout=options.timeout) as response:
                return response.read(), response.headers
        except urllib.error.HTTPError as error:
            last, kind = _reason(error, chunk)
            last = _of_the_file(last, options, chunk)
            if error.code not in PASSING:
                raise (TooManyWords if kind == TOO_MANY_WORDS else Stop)(3, last) from error
            wait = _retry_after(error.headers.get("Retry-After", ""), wait)
        except (OSError, ValueError, http.client.HTTPException) as error:  # refused, reset, timed out, cut short
            last = f"{options.url} cannot be reached: {getattr(error, 'reason', error)}"
        if attempt < options.retries:
            time.sleep(wait)
    raise Stop(4, f"{last} (tried {options.retries + 1} times); the same command goes on from here")


def _reason(error: urllib.error.HTTPError, chunk: Chunk | None) -> tuple[str, str]:
    """The service's own words, with the places of this chunk told as rows of the file; and the problem's type."""
    try:
        problem = json.loads(error.read())
        detail, kind = str(problem.get("detail", problem)), str(problem.get("type", ""))
    except (ValueError, OSError, AttributeError):
        return f"HTTP {error.code} {error.reason}", ""
    if kind == DOUBTFUL_MARKS:
        detail = f"{detail}; give --decimal . or --decimal ,"
    lines = [fault["line"] for fault in problem.get("errors", []) if isinstance(fault.get("line"), int)]
    if chunk is None or not lines:
        return f"HTTP {error.code}: {detail}", kind
    return f"HTTP {error.code}: row {chunk.first + lines[0] - 1} of the file (in its part, {detail})", kind


def _of_the_file(said: str, options: argparse.Namespace, chunk: Chunk | None) -> str:
    """What is said of a part in words of the file that it is of: its name, and no column that was added here."""
    if chunk is None:
        return said
    said = said.replace(_sent_name(options), options.file.name)
    return said if ID in chunk.names else said.replace(f"'{ID}', ", "", 1)


def _retry_after(given: str, wait: float) -> float:
    """Seconds to wait: as `given` says, in seconds or as a date, up to a minute, and at least `wait`."""
    try:
        asked = float(given)
    except ValueError:
        try:
            asked = email.utils.parsedate_to_datetime(given).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return wait
    return min(60.0, asked) if asked > wait else wait


# ---- writing


class Journal:
    """The output as far as it is good: whole parts in OUTPUT.part, their number and length in OUTPUT.part.json."""

    def __init__(self, output: Path, digest: str, form: Form, *, restart: bool):
        self.output = output
        self.part = output.with_name(output.name + ".part")
        self.state = output.with_name(output.name + ".part.json")
        self.digest, self.form = digest, form
        self.rows, self.bytes, self.version = 0, 0, ""
        self._restart = restart
        self._names: list[str] = []
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> Journal:
        self.part.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self._locked()
        try:
            if not self._restart:
                self._resume()
            self._stream.truncate(self.bytes)  # what an interrupted write left after the last whole part
            self._stream.seek(self.bytes)
        except BaseException:
            self._stream.close()
            raise
        return self

    def _locked(self) -> IO[bytes]:
        """OUTPUT.part, open and held by this run alone."""
        while True:
            self.part.touch()
            stream = self.part.open("r+b")
            try:
                _hold(stream)
            except OSError:
                stream.close()
                raise Stop(2, f"another run writes {self.output} at this moment") from None
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(stream.fileno()), self.part.stat()):
                    return stream
            stream.close()  # that run has just ended, and given the file its name

    def __exit__(self, *_: object) -> None:
        if not self.rows:
            self.part.unlink(missing_ok=True)
        if self._stream is not None:
            self._stream.close()

    def add(self, answer: Answer, rows: int) -> None:
        """Append a part, and then say that it is good."""
        assert self._stream is not None
        content = answer.content
        if self.bytes:
            if answer.names != self._names:
                raise Stop(5, f"model version {answer.version} answers with other columns; --restart scores all anew")
            content = _after_header(content)
        self._names = answer.names
        self._stream.write(content)
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self.rows, self.bytes, self.version = self.rows + rows, self.bytes + len(content), answer.version
        temporary = self.state.with_name(self.state.name + ".new")
        state = {
            "file": self.digest, "rows": self.rows, "bytes": self.bytes, "version": self.version, "names": self._names,
            "form": self.form,
        }  # fmt: skip
        with temporary.open("w") as stream:
            json.dump(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, self.state)

    def forget(self) -> None:
        """Leave nothing of the output."""
        self.rows = 0
        self.state.unlink(missing_ok=True)

    def finish(self, *, rank: bool) -> None:
        """Give the output its name, its rows ordered and packed where that is asked for."""
        source = self.part
        if rank:
            source = self._ranked(*_rank_places(self._names))
        if self.output.suffix in OPENERS:
            packed = self.part.with_name(self.part.name + ".packed")
            with source.open("rb") as plain, OPENERS[self.output.suffix](packed, "wb") as out:
                shutil.copyfileobj(plain, out, 1 << 20)
            source = packed
        if os.name == "nt" and self._stream is not None:
            self._stream.close()  # an open file cannot be renamed there
        os.replace(source, self.output)
        for left in (self.part, self.part.with_name(self.part.name + ".ranked"), self.state):
            left.unlink(missing_ok=True)

    def _ranked(self, place: int) -> Path:
        """The part with its rows by the number at `place`, highest first, of equals the first; holds only places."""
        ranked = self.part.with_name(self.part.name + ".ranked")
        with self.part.open("rb") as stream, ranked.open("wb") as out:
            records = _records(stream)
            out.write(next(records))
            found = []
            for record in records:
                cells = next(csv.reader(io.StringIO(record.decode(), newline=""), delimiter=self.form.delimiter))
                found.append(
                    (-float(cells[place].replace(self.form.decimal, ".")), stream.tell() - len(record), len(record))
                )
            for _, start, size in sorted(found):
                stream.seek(start)
                out.write(stream.read(size))
        return ranked

    def _resume(self) -> None:
        try:
            state = json.loads(self.state.read_text())
            size = self.part.stat().st_size
        except (OSError, ValueError):
            return
        if state.get("file") != self.digest:
            raise Stop(2, f"{self.part} belongs to another input; --restart replaces it")
        if state.get("form", list(Form())) != list(self.form):
            raise Stop(2, f"{self.part} has another delimiter or decimal mark; --restart replaces it")
        if size >= state["bytes"]:
            self.rows, self.bytes, self.version = state["rows"], state["bytes"], state["version"]
            self._names = state["names"]


def _records(stream: IO[bytes]) -> Iterator[bytes]:
    """The records of a CSV, each with its end; a line within quotes goes on with the next."""
    record = b""
    while line := stream.readline():
        record += line
        if record.count(b'"') % 2 == 0:
            yield record
            record = b""


def _after_header(content: bytes) -> bytes:
    header = next(_records(io.BytesIO(content)))
    return content[len(header) :]


class Progress:
    """Rows done and rows a second, on standard error; one line that is written over on a terminal."""

    def __init__(self, quiet: bool, begun: int):
        self.quiet = quiet
        self.begun = begun
        self.started = self.shown = time.monotonic()
        self.terminal = sys.stderr.isatty()
        if begun and not quiet:
            print(f"going on after {begun} rows", file=sys.stderr)

    def show(self, rows: int) -> None:
        """At most twice a second on a terminal, every ten seconds elsewhere."""
        now = time.monotonic()
        if self.quiet or now - self.shown < (0.5 if self.terminal else 10.0):
            return
        self.shown = now
        rate = (rows - self.begun) / (now - self.started)
        print(f"{rows} rows, {rate:.0f} a second", file=sys.stderr, end="\r" if self.terminal else "\n", flush=True)

    def done(self, rows: int, version: str, output: Path, decision: str) -> None:
        """The last lines."""
        if not self.quiet:
            print(f"{rows} rows by model version {version} in {output}", file=sys.stderr)
            if decision:
                print(decision, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
