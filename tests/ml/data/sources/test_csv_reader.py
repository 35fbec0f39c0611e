"""The strict CSV reader: the same cells as Python's csv, exact lines, bounded blocks."""

import bz2
import csv
import gzip
import io
import lzma
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.data.sources.csv_reader import CsvReader, Options
from ml.errors import DataError

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


def read(content: bytes, name: str = "t.csv", **options: object) -> tuple[list[list[str]], list[int]]:
    """Rows and their lines."""
    rows: list[list[str]] = []
    lines: list[int] = []
    for chunk in CsvReader(io.BytesIO(content), name, Options(**options)):  # type: ignore[arg-type]
        rows += [list(row) for row in zip(*chunk.table.to_pydict().values(), strict=True)]
        lines += chunk.lines.tolist()
    return rows, lines


@given(
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=20),
    block=st.integers(20, 200),
    end=st.sampled_from(["\n", "\r\n"]),
    delimiter=st.sampled_from(",;\t|"),
)
@settings(deadline=None, max_examples=60)
def test_quoted_tables_come_back_cell_for_cell(rows: list[list[str]], block: int, end: str, delimiter: str) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([["a", "b", "c"], *rows])
    got, _ = read(text.getvalue().encode(), block_bytes=block, delimiter=delimiter)
    assert got == rows


def by_python(content: bytes) -> tuple[list[list[str]], list[int]] | None:
    """The same by Python's csv over the whole file; None where that finds something wrong."""
    reader = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return (rows[1:], lines[1:]) if len(rows) > 1 else None
        except csv.Error:
            return None
        if row:
            if len(row) != 2 or (row == ["h", "b"] and rows):
                return None
            rows.append(row)
            lines.append(line)


@given(st.text(st.sampled_from('"",\n\r\n1é '), max_size=40), st.integers(3, 60))
@settings(deadline=None, max_examples=400)
def test_any_signs_are_read_as_python_reads_them_or_refused(text: str, block: int) -> None:
    """Quotes, line ends and delimiters anywhere, cut into blocks anywhere."""
    content = f"h,b\n1,2\n{text}".encode()
    expected = by_python(content)
    try:
        got = read(content, block_bytes=block, delimiter=",")
    except DataError:
        assert expected is None
    else:
        assert got == expected


@given(st.lists(st.sampled_from(["1", "-2.5", "", "NA", "1e3", "x", '5"', '"q"', "é"]), min_size=1, max_size=30))
@settings(deadline=None, max_examples=60)
def test_numbers_come_as_numbers_or_as_the_text_that_they_are(cells: list[str]) -> None:
    content = "a,b\n" + "".join(f"{cell},{cell}\n" for cell in cells)
    options = Options(numbers=frozenset("a"), missing_markers=("", "NA"), block_bytes=16, delimiter=",")
    tables = [chunk.table for chunk in CsvReader(io.BytesIO(content.encode()), "t.csv", options)]
    a = [cell for table in tables for cell in table["a"].to_pylist()]
    b = [cell for table in tables for cell in table["b"].to_pylist()]
    assert b == [cell.strip('"') if cell.startswith('"') else cell for cell in cells]
    for number, cell in zip(a, b, strict=True):
        if number is None:
            assert cell in ("", "NA")
        else:
            assert number == (cell if isinstance(number, str) else float(cell))


@given(st.integers(1, 40), st.integers(8, 60))
@settings(deadline=None, max_examples=40)
def test_lines_are_physical_whatever_the_block_size(bad: int, block: int) -> None:
    """A quoted line break before the short row moves its line by one."""
    records = [f"{i},x" for i in range(50)]
    records[bad - 1] = '0,"two\nlines"'
    records[bad + 2] = "only one field"
    with pytest.raises(DataError) as caught:
        read(("a,b\n" + "\n".join(records) + "\n").encode(), block_bytes=block)
    assert caught.value.line == bad + 5


def test_blank_lines_are_skipped_and_counted() -> None:
    assert read(b"a,b\n1,2\n\n3,4\n") == ([["1", "2"], ["3", "4"]], [2, 4])


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'a,b\n1,2\n"3,4\n5,6\n', 3),
        (b'a,b\n1,2\n"3,4\n5,6\n"7,8\n', 3),
        (b'a,b\n1,"2"x\n3,4\n', 2),
        (b"a,b\n1,2\n3,4\xff\n", 3),
        (b"a,b\n1,2\n3,\xc3", 3),
        (b"a,b\n1,2\na,b\n", 3),
        (b"a,b\n1,2\n3,4\na, b\n5,6,7\n", 4),
        (b"a,b\n1,\0\n", 2),
    ],
    ids=[
        *("unclosed", "two unclosed", "after the quote", "not UTF-8", "cut character", "header again"),
        *("header again, padded, before a longer record", "NUL"),
    ],
)
def test_the_line_is_named(content: bytes, line: int) -> None:
    with pytest.raises(DataError) as caught:
        read(content)
    assert (caught.value.line, caught.value.file) == (line, "t.csv")


def test_a_quote_inside_an_unquoted_field_is_text() -> None:
    """5" is five inches, not the start of a quoted field."""
    assert read(b'a,b\n5" pipe,x\n"q ""uoted""",y\n') == ([['5" pipe', "x"], ['q "uoted"', "y"]], [2, 3])


def test_one_odd_block_leaves_the_others_to_arrow() -> None:
    """Only its own rows have no place in the file's bytes."""
    content = b"a,b\n" + b"1,2\n" * 20 + b'5" pipe,x\n' + b"3,4\n" * 20
    chunks = list(CsvReader(io.BytesIO(content), "t.csv", Options(block_bytes=16, delimiter=",")))
    assert sum(len(chunk.lines) for chunk in chunks) == 41
    assert sum(chunk.records is None for chunk in chunks) <= 2


@pytest.mark.parametrize("odd", [b"", b'5" pipe,x\n'], ids=["as a rule", "in an odd block"])
def test_a_long_cell_is_refused_with_its_column(odd: bytes) -> None:
    with pytest.raises(DataError, match="a cell of 200,000 bytes is over the limit") as caught:
        read(b"a,b\n" + odd + b"1," + b"x" * 200_000 + b"\n")
    assert (caught.value.line, caught.value.column) == (3 if odd else 2, "b")


def test_a_long_record_of_short_cells_is_read() -> None:
    assert read(b"a,b\n" + b"x" * 90_000 + b"," + b"y" * 90_000 + b"\n")[1] == [2]


def test_the_slow_way_checks_as_strictly() -> None:
    with pytest.raises(DataError) as caught:
        read(b'a,b\n5" pipe,x\n1,2,3\n')
    assert caught.value.line == 3


@pytest.mark.parametrize(
    ("packer", "ending"),
    [(gzip.compress, ".gz"), (bz2.compress, ".bz2"), (lzma.compress, ".xz")],
    ids=["gzip", "bz2", "xz"],
)
def test_packed_tables_are_read_and_cut_short_ones_refused(packer: object, ending: str) -> None:
    packed = packer(b"a,b\n" + b"1,2\n" * 1000)  # type: ignore[operator]
    assert len(read(packed, "t.csv" + ending)[0]) == 1000
    with pytest.raises(DataError, match="broken compressed file"):
        read(packed[:-20], "t.csv" + ending)


def test_zstd_is_read() -> None:
    packed = pa.compress(b"a,b\n1,2\n", codec="zstd", asbytes=True)
    assert read(packed, "t.csv.zst")[0] == [["1", "2"]]


def test_a_bomb_stops_at_the_limit() -> None:
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 500_000)
    with pytest.raises(DataError, match="1,000,000 bytes"):
        read(packed, "t.csv.gz", max_bytes=1_000_000, block_bytes=50_000)


@pytest.mark.parametrize("text", ["\n", "\n\n\n", "# only a comment\n", ",,\n1,2,3\n", "1,2\n3,4\n"])
def test_a_file_without_a_header_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        read(text.encode())


@pytest.mark.parametrize(
    ("top", "names", "line"),
    [
        (b"#,age\n1,2\n", ("#", "age"), 2),
        (b"#name,age\nx,y\n", ("#name", "age"), 2),
        (b"#;age\n1;2\n", ("#", "age"), 2),
        (b"# a,b\n1,2\n", ("# a", "b"), 2),
        (b"# made in May\n\n#,age\n1,2\n", ("#", "age"), 4),
        (b"# made in May\na,b\n1,2\n", ("a", "b"), 3),
        (b"# made in May, by hand\na,b\n1,2\n", ("a", "b"), 3),
        (b"# one, two\n# three, four\na,b\n1,2\n", ("a", "b"), 4),
        (b"#\na,b\n1,2\n", ("a", "b"), 3),
    ],
)
def test_a_header_may_begin_with_a_hash(top: bytes, names: tuple[str, ...], line: int) -> None:
    """It is one where the line below has as many cells; else it is a comment."""
    reader = CsvReader(io.BytesIO(top), "t.csv")
    assert reader.names == names
    assert [chunk.lines.tolist() for chunk in reader] == [[line]]


def test_an_unclosed_quote_does_not_fill_the_memory() -> None:
    with pytest.raises(DataError) as caught:
        read(b'a,b\n1,2\n"x' + b",y\n" * 1_000_000, block_bytes=1_000)
    assert caught.value.line == 3


def test_one_column_and_no_delimiter() -> None:
    assert read(b"a\n1\n2\n") == ([["1"], ["2"]], [2, 3])


def test_a_stream_that_gives_little_at_a_time() -> None:
    class Drip(io.RawIOBase):
        def __init__(self) -> None:
            self.rest = io.BytesIO(b"a,b\n" + b"1,2\n" * 100)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            part = self.rest.read(min(3, len(buffer)))
            buffer[: len(part)] = part
            return len(part)

    chunks = list(CsvReader(Drip(), "t.csv", Options(block_bytes=16)))  # type: ignore[arg-type]
    assert np.concatenate([chunk.lines for chunk in chunks]).tolist() == list(range(2, 102))


def test_reading_imports_nothing_heavy() -> None:
    """A service worker reads uploads with these modules."""
    code = (
        "import sys, ml.data.sources.csv_reader, ml.schema.coerce, ml.schema.schema, ml.schema.rows;"
        "heavy = {'pandas', 'sklearn', 'torch', 'sqlalchemy', 'mlflow'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
