"""Whom a row is about, as every entrance reads it: the same identity as in training."""

from __future__ import annotations

import io
import json

import msgspec
import pandas as pd
import pytest

from ml.data import row_metadata
from ml.data.sources import csv_reader
from ml.schema.rows import RowReader
from ml.schema.schema import Schema
from ml.settings import Serving, Settings
from serving.protocols import lenient_rows
from serving.scoring.json_rows import PredictBody
from serving.scoring.upload import Upload
from tests.serving import tiny

IDS = ["7", " 8", "n-9"]
SCHEMA: Schema = msgspec.structs.replace(tiny.schema(), id_columns=("customer",), ignored=("customer", "target"))


@pytest.fixture
def trained() -> list[str]:
    """What the snapshot keeps of the same three."""
    return row_metadata.identifiers(pd.DataFrame({"customer": IDS}), SCHEMA).tolist()


@pytest.mark.parametrize("slowly", [False, True])
def test_json_rows_say_whom_they_are_about(trained: list[str], slowly: bool) -> None:
    reader = PredictBody(RowReader(SCHEMA), max_rows=10, max_values=1_000)
    body = json.dumps({"rows": [tiny.row() | {"customer": who} for who in [7, *IDS[1:]]]}).encode()
    rows, _ = reader._slowly(body) if slowly else reader.read(body)
    assert list(rows.who) == trained
    assert list(rows.part(1, 3).who) == trained[1:]
    assert reader.read(json.dumps({"rows": [tiny.row()]}).encode())[0].who == ()


def test_files_and_frames_say_whom_they_are_about(trained: list[str]) -> None:
    frame = pd.DataFrame([tiny.row() for _ in IDS]).assign(customer=IDS)
    options = csv_reader.Options(max_bytes=10_000, max_columns=10, max_cell_chars=100)
    content = io.BytesIO(frame.to_csv(index=False).encode())
    upload = Upload(content, "t.csv", RowReader(SCHEMA), settings=Settings(serving=Serving()), options=options)
    assert [who for part in upload for who in part.rows.who] == trained
    assert list(lenient_rows.rows(RowReader(SCHEMA), frame.to_dict("list"), 3).who) == trained
