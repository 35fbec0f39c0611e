"""The first lines of a CSV file: where the header is, what separates, what the columns are called."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

from ml.errors import DataError
from ml.messages import message
from ml.schema.findings import Report

DELIMITERS = ",;\t|"
_NAMES = {",": "findings.comma", ";": "findings.semicolon", "\t": "findings.tab", "|": "findings.bar"}
_SAMPLE_LINES = 50  # that the delimiter is found on; our choice
_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")


class Head(NamedTuple):
    """`size` bytes and `lines` lines up to and with the header; `names` has "" for unnamed columns."""

    delimiter: str
    names: tuple[str, ...]
    raw: bytes
    size: int
    lines: int


def read_head(block: bytes, file: str | None, *, delimiter: str, max_columns: int, report: Report) -> Head:
    """Find the header in the first block of a file, which begins with whole lines of UTF-8.

    Parameters
    ----------
    block
        The file's first bytes, whole lines.
    file
        With which messages begin.
    delimiter
        One character; "" finds it.
    max_columns
        More are an error.
    report
        Gets lines before the header that were passed over.

    Raises
    ------
    DataError
        There is no header, or it has doubles or too many columns.
    """
    skipped, lines, declared = _preamble(block, delimiter, report)
    text = block[skipped : skipped + 4_000_000].decode("utf-8", errors="replace")
    if not text.strip():
        raise DataError(message("files.no_header_no_rows"), file=file)
    delimiter = delimiter or declared or _sniff(text)
    header, length = _first_record(text, delimiter, file, lines + 1)
    names = tuple(name.strip() for name in header)
    _check(names, delimiter, file, lines + 1, max_columns)
    if any(name != padded for name, padded in zip(names, header, strict=True)):
        report.info(message("findings.spaces"))
    if delimiter != ",":
        name = message(_NAMES[delimiter]) if delimiter in _NAMES else repr(delimiter)
        report.info(message("findings.delimiter", name=name))
    raw = text[:length].encode()
    return Head(delimiter, names, raw.rstrip(b"\r\n"), skipped + len(raw), lines + _count_lines(raw))


def _count_lines(raw: bytes) -> int:
    return raw.count(b"\n") or raw.count(b"\r") or 1


def _preamble(block: bytes, delimiter: str, report: Report) -> tuple[int, int, str]:
    """(bytes, lines, declared delimiter) of Excel's `sep=` line, comments and blank lines at the top."""
    size = lines = comments = 0
    declared = ""
    top = block[:1_000_000].splitlines(keepends=True)
    for i, line in enumerate(top):
        content = line.strip()
        if content.startswith(b"#"):
            following = next((later for later in top[i + 1 :] if later.strip()), b"")
            if _is_header(content, following.strip(), delimiter or declared):
                report.info(message("findings.header_with_hash"))
                break
            comments += 1
        elif content[:4].lower() == b"sep=" and len(content) <= 5 and not declared:
            declared = content[4:].decode("latin-1") or "\t"
        elif content or b"\t" in line:
            break
        size, lines = size + len(line), lines + 1
    if comments:
        several = message("findings.comment_lines", n=comments)
        report.info(several if comments > 1 else message("findings.comment_line"))
    return size, lines, declared


def _is_header(line: bytes, following: bytes, delimiter: str) -> bool:
    """Whether a line that begins with # names the columns of the one after it.

    It has as many fields, and that line has a cell which names no column (empty or a number) or no space is behind
    the #. A sentence with a comma in it, over a header of two columns, stays a comment.
    """
    for mark in delimiter or DELIMITERS:
        names, cells = (_fields(text, mark) for text in (line, following))
        if len(names) == len(cells) > 1:
            is_data = any(not cell.strip() or _NUMBER.match(cell.strip()) for cell in cells)
            return is_data or not line.startswith(b"# ")
    return False


def _fields(line: bytes, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line.decode("utf-8", errors="replace")], delimiter=delimiter), [])
    except csv.Error:
        return []


def _sniff(text: str) -> str:
    """The delimiter under which most of the first lines have as many fields as the header."""
    sample = "".join(itertools.islice(_split(text), _SAMPLE_LINES + 1))
    best, best_score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        try:
            counts = [len(row) for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter) if row]
        except csv.Error:
            continue
        if counts and counts[0] > 1:
            score = (sum(count == counts[0] for count in counts) / len(counts), counts[0])
            if score > best_score:
                best, best_score = delimiter, score
    return best


def _first_record(text: str, delimiter: str, file: str | None, line: int) -> tuple[list[str], int]:
    """The fields of the first record and its length in characters, line end included."""
    pieces: list[str] = []
    reader = csv.reader(_noted(_split(text), pieces), delimiter=delimiter, strict=True)
    try:
        header = next(reader)
    except (csv.Error, StopIteration) as error:
        raise DataError(message("files.header_unreadable", error=str(error)), file=file, line=line) from error
    return header, sum(map(len, pieces))


def _noted(lines: Iterator[str], into: list[str]) -> Iterator[str]:
    for line in lines:
        into.append(line)
        yield line


def _split(text: str) -> Iterator[str]:
    """The lines, one at a time. Not splitlines: it also splits at form feeds and Unicode's line separators."""
    end = "\n" if "\n" in text else "\r"
    start = 0
    while start < len(text):
        stop = text.find(end, start) + 1 or len(text)
        yield text[start:stop]
        start = stop


def _check(names: tuple[str, ...], delimiter: str, file: str | None, line: int, max_columns: int) -> None:
    if any("\0" in name for name in names):
        raise DataError(message("files.header_has_nul"), file=file, line=line)
    if len(names) > max_columns:
        raise DataError(message("files.too_many_columns", n=len(names), limit=max_columns), file=file, line=line)
    named = [name for name in names if name]
    seen = set(named)
    if len(seen) < len(named):
        doubles = sorted({name for name in named if named.count(name) > 1})
        examples = [f"'{name[:60]}'" for name in doubles[:5]]
        raise DataError(message("files.header_doubles", columns=examples), file=file, line=line)
    counting = [str(i) for i in range(len(named))]
    if named and named != counting and all(_NUMBER.match(name) for name in named):
        raise DataError(message("files.header_is_numbers", value=named[0]), file=file, line=line)
    if not named:
        raise DataError(message("files.header_empty"), file=file, line=line)
