"""Units: the rows of one part of the output, cut from a table, and as bytes for a worker elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from ml.schema.rows import Rows
from serving.batch.plan import Plan
from serving.scoring.file_writers import warning_texts
from serving.scoring.upload import Part


class Unit(NamedTuple):
    """Some rows of the table.

    Their number, the place of the first, the rows as the model takes them, the columns that go through, and what is
    unusual in each row as text.
    """

    number: int
    first: int
    rows: Rows
    kept: pa.Table
    warnings: pa.Array


class _Head(msgspec.Struct, frozen=True):
    number: int
    first: int
    numbers: int  # columns


def cut(parts: Iterable[Part], plan: Plan) -> Iterator[Unit]:
    """Parts of the reader cut into units of the plan's size: the same ones in every run."""
    waiting: list[tuple[Rows, pa.Table]] = []
    number = first = held = 0
    for part in parts:
        place, n = 0, len(part.rows)
        while place < n:
            take = min(plan.unit_rows - held, n - place)
            kept = part.table.slice(place, take).select(plan.columns)
            waiting.append((part.rows.part(place, place + take), kept))
            held, place = held + take, place + take
            if held == plan.unit_rows:
                yield _joined(number, first, waiting)
                number, first, held, waiting = number + 1, first + held, 0, []
    if held:
        yield _joined(number, first, waiting)


def _joined(number: int, first: int, parts: Sequence[tuple[Rows, pa.Table]]) -> Unit:
    rows = Rows(
        np.concatenate([part.numbers for part, _ in parts]), np.concatenate([part.categories for part, _ in parts])
    )
    kept = pa.concat_tables([kept for _, kept in parts], promote_options="permissive")
    return Unit(number, first, rows, kept, pa.concat_arrays([warning_texts(part) for part, _ in parts]))


def to_bytes(unit: Unit) -> bytes:
    """As Arrow's stream, which `from_bytes` reads back."""
    numbers, categories = unit.rows.numbers, unit.rows.categories
    columns = {f"kept {name}": column for name, column in zip(unit.kept.column_names, unit.kept.columns, strict=True)}
    columns |= {f"number {j}": pa.array(numbers[:, j]) for j in range(numbers.shape[1])}
    columns |= {f"category {j}": pa.array(categories[:, j], pa.string()) for j in range(categories.shape[1])}
    head = _Head(unit.number, unit.first, numbers.shape[1])
    table = pa.table({**columns, "warnings": unit.warnings}).replace_schema_metadata(
        {"unit": msgspec.json.encode(head)}
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def from_bytes(content: bytes) -> Unit:
    """The unit of `to_bytes`."""
    with pa.ipc.open_stream(content) as stream:
        table = stream.read_all()
    head = msgspec.json.decode(table.schema.metadata[b"unit"], type=_Head)
    n, names = table.num_rows, table.column_names
    kept = [name for name in names if name.startswith("kept ")]
    texts = [name for name in names if name.startswith("category ")]
    numbers = np.empty((n, head.numbers), np.float32)
    for j in range(head.numbers):
        numbers[:, j] = table[f"number {j}"].to_numpy()
    categories = np.empty((n, len(texts)), object)
    for j, name in enumerate(texts):
        categories[:, j] = table[name].to_numpy()
    through = table.select(kept).rename_columns([name.removeprefix("kept ") for name in kept])
    through = through.replace_schema_metadata(None)
    warnings = table["warnings"].combine_chunks()
    return Unit(head.number, head.first, Rows(numbers, categories), through, warnings)
