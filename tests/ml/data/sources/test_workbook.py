"""Workbooks: read as a CSV of the same table is, by a process that cannot take more than it may."""

from __future__ import annotations

import io
import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from ml.data.sources import decompress, files
from ml.data.sources.csv_reader import CsvReader, Options
from ml.errors import DataError
from ml.settings import from_values

ROWS: list[list[Any]] = [
    ["khách", "ngày", "phí", "tháng", "gọi", "có"],
    ["007", date(2026, 11, 2), 1339.75, 12, datetime(2026, 11, 2, 8, 30), True],
    ["=1+1", date(2026, 1, 31), None, 3, None, False],
]
CELLS = {
    "khách": ["007", "=1+1"],
    "ngày": ["2026-11-02", "2026-01-31"],
    "phí": ["1339.75", ""],
    "tháng": ["12", "3"],
    "gọi": ["2026-11-02T08:30:00", ""],
    "có": ["true", "false"],
}
SETTINGS = '<o:document-settings xmlns:o="urn:oasis:names:tc:opendocument:xmlns:office:1.0"/>'
MANIFEST = """<?xml version="1.0"?><m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">
 <m:file-entry m:full-path="/" m:media-type="application/vnd.oasis.opendocument.spreadsheet"/></m:manifest>"""
ODS = """<?xml version="1.0"?><office:document-content
 xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"
 xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"><office:body><office:spreadsheet>
 <table:table table:name="a">{rows}</table:table></office:spreadsheet></office:body></office:document-content>"""


def workbook(*sheets: list[list[Any]]) -> bytes:
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True, "strings_to_formulas": False})
    day = book.add_format({"num_format": "dd/mm/yyyy"})
    for rows in sheets:
        sheet = book.add_worksheet()
        for i, row in enumerate(rows):
            for j, value in enumerate(row):
                sheet.write(i, j, value, *([day] if isinstance(value, date) else []))
    book.close()
    return out.getvalue()


def opendocument(rows: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", MANIFEST)
        archive.writestr("content.xml", ODS.format(rows=rows))
        archive.writestr("settings.xml", SETTINGS)
    return out.getvalue()


def read(content: bytes, **options: Any) -> tuple[dict[str, list[str]], list[str]]:
    reader = CsvReader(io.BytesIO(content), "t.xlsx", Options(**options))
    (chunk,) = reader
    return chunk.table.to_pydict(), [str(finding.message) for finding in reader.report.findings]


def test_cells_are_what_a_csv_of_the_table_has() -> None:
    assert read(workbook(ROWS)) == (CELLS, [])


def test_numbers_are_written_with_the_mark_that_is_read() -> None:
    """A setting for CSV, as is the delimiter, does not spoil what a workbook says without doubt."""
    assert read(workbook(ROWS), decimal=",", delimiter=";")[0] == CELLS | {"phí": ["1339,75", ""]}


def test_lines_are_the_sheets_rows() -> None:
    content = workbook([[], ["a", "b"], [1, 2], [], [3, 4]])
    (chunk,) = CsvReader(io.BytesIO(content), "t.xlsx")
    assert chunk.table.to_pydict() == {"a": ["1", "3"], "b": ["2", "4"]}
    assert chunk.lines.tolist() == [3, 5]


def test_the_first_sheet_with_cells_is_read_and_told() -> None:
    table, told = read(workbook([], ROWS, [["other"], [1]]))
    assert table == CELLS
    assert told == ["of the 2 sheets with cells the first one, “Sheet2”, was read"]


def test_opendocument() -> None:
    cells = {
        "string": '<table:table-cell office:value-type="string"><text:p>{0}</text:p></table:table-cell>',
        "float": '<table:table-cell office:value-type="float" office:value="{0}"/>',
    }
    rows = "".join(
        f"<table:table-row>{''.join(cells[kind].format(value) for kind, value in row)}</table:table-row>"
        for row in ([("string", "a"), ("string", "b")], [("float", "1.5"), ("string", "x")])
    )
    assert read(opendocument(rows))[0] == {"a": ["1.5"], "b": ["x"]}


def test_training_reads_one(tmp_path: Path) -> None:
    (tmp_path / "khách.xlsx").write_bytes(workbook(ROWS))
    frame = files.read(from_values({"home": str(tmp_path), "data": {"path": str(tmp_path / "khách.xlsx")}}))
    assert frame.to_dict("list") == CELLS


def far() -> bytes:
    """A few kilobytes that ask for 16,384 × 1,048,576 cells."""
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True})
    sheet = book.add_worksheet()
    sheet.write(0, 0, "a")
    sheet.write(1_048_575, 16_383, 1)
    book.close()
    return out.getvalue()


def repeated() -> bytes:
    """The same in OpenDocument, by counts."""
    cell = '<table:table-cell office:value-type="string" table:number-columns-repeated="16384"><text:p>a</text:p>'
    row = f'<table:table-row table:number-rows-repeated="1048576">{cell}</table:table-cell></table:table-row>'
    return opendocument(row)


@pytest.mark.parametrize(("content", "code"), [(far, "files.workbook_too_large"), (repeated, "files.broken_workbook")])
def test_what_would_take_all_memory_is_refused(content: Any, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, which may end; calamine itself refuses the second."""
    monkeypatch.setattr(decompress, "WORKBOOK_BASE", 200_000_000)
    with pytest.raises(DataError) as refused:
        read(content(), max_bytes=1_000_000)
    assert refused.value.code == code


def test_one_that_is_too_long_as_csv_is_refused() -> None:
    with pytest.raises(DataError) as refused:
        read(workbook([["a"], *([["x" * 1_000]] * 200)]), max_bytes=100_000)
    assert refused.value.code == "files.workbook_too_large"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (workbook(ROWS)[:3_000] + workbook(ROWS)[-2_000:], "files.broken_workbook"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), "files.broken_workbook"),
        (workbook([]), "files.no_header_no_rows"),
        (b"PK\x03\x04 and no archive", "files.no_csv"),
    ],
    ids=["cut", "old, broken", "empty", "no archive"],
)
def test_what_is_no_table_is_refused_by_name(content: bytes, code: str) -> None:
    with pytest.raises(DataError) as refused:
        read(content)
    assert refused.value.code == code
