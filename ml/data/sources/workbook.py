"""A workbook on standard input as CSV on standard output; run by its path, as a process.

What calamine reads: .xlsx, .xlsb, .xls and .ods.

By itself, since one of a few kilobytes can ask for any memory (a cell in the last row and column), and calamine ends
the process that has no more. Needs the standard library and python-calamine alone.

Arguments: decimal mark; bytes of memory; bytes of CSV. The last line of standard error is JSON: what was read (`sheet`
and how many `sheets` have cells), or `error`.
"""

from __future__ import annotations

import csv
import datetime
import io
import json
import resource
import sys
from typing import IO, Any

CPU_S = 120  # our choice


def convert(source: IO[bytes], out: IO[str], decimal: str = ".") -> dict[str, Any]:
    """Write the first sheet that has cells as CSV: a row a line, those without cells empty; what was read.

    Parameters
    ----------
    source
        The workbook's bytes.
    out
        Gets the CSV.
    decimal
        The decimal mark to write numbers with: what the reader of the CSV is told to expect.
    """
    import python_calamine

    book = python_calamine.CalamineWorkbook.from_filelike(source)
    sheets = [book.get_sheet_by_name(name) for name in book.sheet_names]
    filled = [sheet for sheet in sheets if sheet.height and sheet.width]
    writer = csv.writer(out, lineterminator="\n")
    for row in filled[0].iter_rows() if filled else ():
        cells = [text(value, decimal) for value in row]
        writer.writerow(cells if any(cells) else [])
    return {"sheet": filled[0].name if filled else "", "sheets": len(filled)}


def text(value: Any, decimal: str = ".") -> str:
    """A cell as a CSV of the same table has it: whole numbers without a point, dates as ISO 8601 has them.

    >>> text(3.0), text(0.25, ","), text(True), text(datetime.date(2026, 11, 2))
    ('3', '0,25', 'true', '2026-11-02')
    """
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value).replace(".", decimal)
        case datetime.datetime():
            return (value.date() if value.time() == datetime.time() else value).isoformat()
        case datetime.date() | datetime.time():
            return value.isoformat()
        case _:
            return str(value)


def main(decimal: str, memory: str, most: str) -> None:
    """Convert within the limits.

    Parameters
    ----------
    decimal
        As of `convert`.
    memory, most
        Bytes that the process may take, and that it may write, in decimal digits.
    """
    for limit, value in (("AS", int(memory)), ("FSIZE", int(most)), ("CPU", CPU_S), ("CORE", 0)):
        resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (value, value))
    try:
        with io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="") as out:
            told = convert(io.BytesIO(sys.stdin.buffer.read()), out, decimal)
    except (OSError, MemoryError):  # a limit was met: the exit code says so
        raise
    except Exception as error:
        told = {"error": str(error) or type(error).__name__}
    print(json.dumps(told), file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
