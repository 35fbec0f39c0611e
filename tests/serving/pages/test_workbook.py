"""A result's workbook: what is a number there, and what stays a text."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path
from typing import Any

import pytest
import python_calamine
from flask.testing import FlaskClient

from serving.pages import workbook
from serving.scoring.upload import Dialect

VIETNAMESE = Dialect(";", ",", thousands=".")


def written(path: Path, content: str, dialect: Dialect, numbers: int = 0) -> list[list[Any]]:
    """The rows of the workbook below its header."""
    path.write_text(content, encoding="utf-8")
    out = io.BytesIO()
    workbook.as_workbook(path, out, dialect, numbers)
    _, *rows = (
        python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(out.getvalue())).get_sheet_by_index(0).to_python()
    )
    return [list(row) for row in rows]


@pytest.mark.parametrize(
    ("dialect", "cells", "expected"),
    [
        (VIETNAMESE, ["1.239,54", "115,4", "1.234", "17", "-2.000"], [1239.54, 115.4, 1234, 17, -2000]),
        (Dialect(";", ",", thousands=" "), ["1 239,54", "1\N{NO-BREAK SPACE}234", "17"], [1239.54, 1234, 17]),
        (Dialect(";", ".", thousands=","), ["1,239.54", "115.4", "1,234"], [1239.54, 115.4, 1234]),
        (VIETNAMESE, ["1.239,54", "n/a", "007"], [1239.54, "n/a", "007"]),
    ],
    ids=["points", "blanks", "commas", "words"],
)
def test_a_column_of_the_model_is_of_numbers(
    tmp_path: Path, dialect: Dialect, cells: list[str], expected: list[Any]
) -> None:
    """However its thousands are written, so that a sum leaves none out."""
    content = "\n".join(["id;x", *(f"a;{cell}" for cell in cells)]) + "\n"
    rows = written(tmp_path / "r", content.replace(";", dialect.delimiter), dialect, numbers=0b10)
    assert [row[1] for row in rows] == expected


@pytest.mark.parametrize(
    ("dialect", "cells", "expected"),
    [
        (VIETNAMESE, ["1.239,54", "115,4", "1.234"], [1239.54, 115.4, 1234]),
        (VIETNAMESE, ["1.234", "999"], ["1.234", "999"]),
        (VIETNAMESE, ["1.234.567", "999"], ["1.234.567", "999"]),
        (VIETNAMESE, ["1.239,54", "999", "see above"], ["1.239,54", "999", "see above"]),
        (VIETNAMESE, ["1,5", "999"], [1.5, 999]),
        (Dialect(";"), ["1.230", "999"], ["1.230", "999"]),
        (Dialect(), ["1.230", "999"], [1.23, 999]),
        (Dialect(";"), ["1.239,54", "115,4"], [1239.54, 115.4]),
        (Dialect(";"), ["1,5", "2", "30,25"], [1.5, 2, 30.25]),
        (Dialect(";"), ["1,5", "2", "see above"], ["1,5", "2", "see above"]),
        (VIETNAMESE, ["1.5", "2"], [1.5, 2]),
        (Dialect(), ["0.004070162773132324", "1"], [0.004070162773132324, 1]),
    ],
    ids=[
        "amounts",
        "ids",
        "long ids",
        "words",
        "no thousands",
        "ids of no known mark",
        "plain",
        "another mark",
        "decimal commas alone",
        "decimal commas and words",
        "decimal points alone",
        "as small as a probability may be",
    ],
)
def test_another_column_is_of_numbers_or_of_texts(
    tmp_path: Path, dialect: Dialect, cells: list[str], expected: list[Any]
) -> None:
    """Of numbers with marks where its own cells leave no doubt; an id stays as it is written."""
    content = "\n".join(["id;x", *(f"a;{cell}" for cell in cells)]) + "\n"
    assert [row[1] for row in written(tmp_path / "r", content.replace(";", dialect.delimiter), dialect)] == expected


def test_a_result_without_rows_is_a_header(tmp_path: Path) -> None:
    assert written(tmp_path / "r", "id,x\n", Dialect()) == []


def test_the_page_knows_the_marks_and_the_models_columns(client: FlaskClient) -> None:
    """`1.234` is a thousand in a column of the model, by another column's cells, and an id beside it."""
    rows = ["id;n0;n1;c0", "1.234;1.239,54;1.234;red", "2.345;115,4;17;green", "3;-2,5;1;red"]
    content = "\n".join(rows).encode()
    page = client.post("/file", data={"file": (io.BytesIO(content), "rows.csv")}).text
    (link,) = re.findall(r'href="(/file/[^"]+[.]xlsx[^"]*)"', page)
    with client.get(html.unescape(link)) as answer:
        sheet = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(answer.data)).get_sheet_by_index(0)
    head, *cells = sheet.to_python()
    columns = dict(zip(map(str, head), zip(*cells, strict=True), strict=True))
    assert set(columns["n0"]) == {1239.54, 115.4, -2.5}
    assert set(columns["n1"]) == {1234, 17, 1}
    assert set(columns["id"]) == {"1.234", "2.345", "3"}
    assert {type(value) for value in columns["positive_probability"]} == {float}


@pytest.mark.parametrize("wrong", ["thousands=x", "numbers=-1", "decimal=,&thousands=,", "numbers=", "delimiter=a"])
def test_an_address_that_is_not_ours_is_not_found(client: FlaskClient, wrong: str) -> None:
    content = b"id,n0,n1,c0\n1,2,3,red\n"
    page = client.post("/file", data={"file": (io.BytesIO(content), "rows.csv")}).text
    (link,) = re.findall(r'href="(/file/[^"?]+[.]xlsx)', page)
    assert client.get(f"{link}?{wrong}").status_code == 404
