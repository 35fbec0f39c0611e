#!/usr/bin/env python3
"""Score a table with a running Refit service: `python predict_client.py customers.csv --output scored.csv`.

Needs Python's standard library alone (and pyarrow for .parquet). Rows go in parts; a part that fails for a reason
that may pass is sent again with growing pauses; after an interruption the same command goes on where it stopped.

The output has the input's columns and prediction_id, label, probability, probability_<class>, warnings.
A row's prediction id is made from the file's content and the row's place, so a part that is sent twice is
logged once. Until all is done the rows are in OUTPUT.part, with OUTPUT.part.json saying how far it is good.

Exit codes: 0 done; 2 the command or the file is wrong; 3 the service refuses the rows, and says why;
4 the service cannot be reached or stays busy; 5 the model changed on the way (see --allow-mixed);
130 interrupted. After 4, 5 and 130 the same command goes on.
"""

from __future__ import annotations

import argparse
import bz2
import contextlib
import csv
import gzip
import hashlib
import http.client
import io
import json
import lzma
import os
import random
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
PASSING = {408, 425, 429, 500, 502, 503, 504}


class Stop(Exception):
    """Raised to end with a message and an exit code."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


class Chunk(NamedTuple):
    """Consecutive rows: `first` counts from 0; cells as text."""

    first: int
    rows: list[list[str]]


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Score a table with a running Refit service.")
    parser.add_argument("file", type=Path, help="CSV (.csv, .csv.gz, .csv.bz2, .csv.xz) or Parquet (.parquet)")
    parser.add_argument("--url", default=os.environ.get("REFIT_URL", "http://127.0.0.1:8000"), help="the service")
    parser.add_argument("--output", "-o", type=Path, help="default: FILE with -predictions before its ending, as CSV")
    parser.add_argument("--chunk", type=int, default=2_000, help="rows a request (default 2000)")
    parser.add_argument("--delimiter", default=",", help='of a CSV (default ","; "tab" for a tabulator)')
    parser.add_argument("--retries", type=int, default=8, help="of one part, with growing pauses (default 8)")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for one answer (default 60)")
    parser.add_argument("--key", default=os.environ.get("REFIT_API_KEY", ""), help="API key (default $REFIT_API_KEY)")
    parser.add_argument("--restart", action="store_true", help="start again where an earlier run was interrupted")
    parser.add_argument("--allow-mixed", action="store_true", help="go on when the model version changes on the way")
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
    digest = _digest(options.file)
    journal = Journal(output, digest, restart=options.restart)
    progress = Progress(options.quiet, journal.rows)
    with contextlib.ExitStack() as opened:
        names, rows = _table(options, opened)
        opened.enter_context(journal)
        for chunk in _chunks(rows, options.chunk, journal.rows):
            answer, version = _scored(options, digest, names, chunk)
            if journal.version not in ("", version) and not options.allow_mixed:
                raise Stop(
                    5, f"the model changed from version {journal.version} to {version} after {journal.rows} rows; "
                    "--restart scores all with one version, --allow-mixed goes on"
                )  # fmt: skip
            journal.add(answer, len(chunk.rows), version)
            progress.show(journal.rows)
        if not journal.rows:
            raise Stop(2, f"{options.file} has a header but no rows")
        journal.finish()
    progress.done(journal.rows, journal.version, output)


def _default_output(file: Path) -> Path:
    return file.with_name(f"{file.name.split('.')[0]}-predictions.csv")


# ---- reading


def _table(options: argparse.Namespace, opened: contextlib.ExitStack) -> tuple[list[str], Iterator[list[str]]]:
    """Column names and rows of text cells."""
    file: Path = options.file
    if file.suffix in (".parquet", ".pq"):
        return _parquet(file, opened)
    opener = OPENERS.get(file.suffix, open)
    delimiter = "\t" if options.delimiter == "tab" else options.delimiter
    stream = opened.enter_context(opener(file, "rt", encoding="utf-8-sig", newline=""))
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


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    return repr(value) if isinstance(value, float) else str(value)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:20]


def _chunks(rows: Iterator[list[str]], size: int, skip: int) -> Iterator[Chunk]:
    """Chunks of the rows after the first `skip`, which an earlier run has scored."""
    first, chunk = skip, []
    for i, row in enumerate(rows):
        if i < skip:
            continue
        chunk.append(row)
        if len(chunk) == size:
            yield Chunk(first, chunk)
            first, chunk = first + size, []
    if chunk:
        yield Chunk(first, chunk)


# ---- asking


def _scored(options: argparse.Namespace, digest: str, names: list[str], chunk: Chunk) -> tuple[bytes, str]:
    """The answer's CSV (header included) and the model version of one chunk."""
    ids = [] if "prediction_id" in names else ["prediction_id"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*ids, *names])
    for i, row in enumerate(chunk.rows, start=chunk.first):
        writer.writerow([*([f"{digest}-{i}"] if ids else []), *row])
    body = gzip.compress(text.getvalue().encode(), 1)
    return _ask(options, body, chunk)


def _ask(options: argparse.Namespace, body: bytes, chunk: Chunk) -> tuple[bytes, str]:
    headers = {"Content-Type": "text/csv", "Content-Encoding": "gzip", "Accept": "text/csv"}
    if options.key:
        headers["Authorization"] = f"Bearer {options.key}"
    name = urllib.parse.quote(options.file.name.split(".")[0] + ".csv.gz")
    request = urllib.request.Request(
        f"{options.url.rstrip('/')}/predict/file?format=csv&name={name}", data=body, headers=headers, method="POST"
    )
    last = ""
    for attempt in range(options.retries + 1):
        wait = min(30.0, 0.25 * 2**attempt) * (0.5 + random.random() / 2)
        try:
            with urllib.request.urlopen(request, timeout=options.timeout) as response:
                return response.read(), response.headers.get("X-Model-Version", "")
        except urllib.error.HTTPError as error:
            last = _reason(error, chunk)
            if error.code not in PASSING:
                raise Stop(3, last) from error
            wait = _retry_after(error, wait)
        except (OSError, ValueError, http.client.HTTPException) as error:  # refused, reset, timed out, cut short
            last = f"{options.url} cannot be reached: {getattr(error, 'reason', error)}"
        if attempt < options.retries:
            time.sleep(wait)
    raise Stop(4, f"{last} (tried {options.retries + 1} times); the same command goes on from here")


def _reason(error: urllib.error.HTTPError, chunk: Chunk) -> str:
    """The service's own words, with the places of this chunk told as rows of the file."""
    try:
        problem = json.loads(error.read())
        detail = str(problem.get("detail", problem))
    except (ValueError, OSError, AttributeError):
        return f"HTTP {error.code} {error.reason}"
    lines = [fault["line"] for fault in problem.get("errors", []) if isinstance(fault.get("line"), int)]
    if not lines:
        return f"HTTP {error.code}: {detail}"
    return f"HTTP {error.code}: row {chunk.first + lines[0] - 1} of the file (in its part, {detail})"


def _retry_after(error: urllib.error.HTTPError, wait: float) -> float:
    try:
        return max(wait, min(60.0, float(error.headers.get("Retry-After", 0))))
    except (TypeError, ValueError):
        return wait


# ---- writing


class Journal:
    """The output as far as it is good: whole parts in OUTPUT.part, their number and length in OUTPUT.part.json."""

    def __init__(self, output: Path, digest: str, *, restart: bool):
        self.output = output
        self.part = output.with_name(output.name + ".part")
        self.state = output.with_name(output.name + ".part.json")
        self.digest = digest
        self.rows, self.bytes, self.version = 0, 0, ""
        if not restart:
            self._resume()
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> Journal:
        self.part.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self.part.open("r+b" if self.rows else "wb")
        self._stream.truncate(self.bytes)  # what an interrupted write left after the last whole part
        self._stream.seek(self.bytes)
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()
        if not self.rows:
            self.part.unlink(missing_ok=True)

    def add(self, answer: bytes, rows: int, version: str) -> None:
        """Append a part, and then say that it is good."""
        assert self._stream is not None
        if self.rows:
            answer = answer.partition(b"\n")[2]  # the header is there already
        self._stream.write(answer)
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self.rows, self.bytes, self.version = self.rows + rows, self.bytes + len(answer), version
        temporary = self.state.with_name(self.state.name + ".new")
        state = {"file": self.digest, "rows": self.rows, "bytes": self.bytes, "version": version}
        with temporary.open("w") as stream:
            json.dump(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, self.state)

    def finish(self) -> None:
        """Give the output its name."""
        assert self._stream is not None
        self._stream.close()
        if self.output.suffix in OPENERS:
            packed = self.part.with_name(self.part.name + ".packed")
            with self.part.open("rb") as plain, OPENERS[self.output.suffix](packed, "wb") as out:
                while block := plain.read(1 << 20):
                    out.write(block)
            os.replace(packed, self.part)
        os.replace(self.part, self.output)
        self.state.unlink(missing_ok=True)

    def _resume(self) -> None:
        try:
            state = json.loads(self.state.read_text())
            size = self.part.stat().st_size
        except (OSError, ValueError):
            return
        if state.get("file") != self.digest:
            raise Stop(2, f"{self.part} belongs to another input; --restart replaces it")
        if size >= state["bytes"]:
            self.rows, self.bytes, self.version = state["rows"], state["bytes"], state["version"]


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

    def done(self, rows: int, version: str, output: Path) -> None:
        """The last line."""
        if not self.quiet:
            print(f"{rows} rows by model version {version} in {output}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
