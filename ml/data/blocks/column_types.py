"""One type for a column whose parts have several: what a database answers differs from one batch to the next."""

from __future__ import annotations

import pyarrow as pa

from ml.schema import arrow_cells


def of_one_schema(tables: list[pa.Table]) -> pa.Table:
    """Tables of the same columns as one, each column of one type."""
    if len({table.schema for table in tables}) == 1:
        return pa.concat_tables(tables)
    columns = zip(*(table.columns for table in tables), strict=True)
    return pa.table([joined([c for part in parts for c in part.chunks]) for parts in columns], tables[0].column_names)


def without_null_types(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with columns that hold nothing in the type that a schema has for them."""
    kinds = [
        other.type if pa.types.is_null(own.type) else own.type
        for own, other in zip(table.schema, schema, strict=True)
    ]  # fmt: skip
    return table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))))


def joined(chunks: list[pa.Array]) -> pa.ChunkedArray:
    """Chunks as one array, of a type that all of them have, or as the text that they have in common."""
    kinds = [kind for kind in dict.fromkeys(chunk.type for chunk in chunks) if not pa.types.is_null(kind)]
    if len(kinds) > 1:
        kinds = [_common(kinds)]
    if not kinds:
        return pa.chunked_array(chunks, pa.null())
    return pa.chunked_array([_cast(chunk, kinds[0]) for chunk in chunks], kinds[0])


def _common(kinds: list[pa.DataType]) -> pa.DataType:
    types = pa.types
    if all(types.is_decimal(kind) for kind in kinds):
        fields = [pa.schema([("", kind)]) for kind in kinds]
        return pa.unify_schemas(fields, promote_options="permissive").field(0).type
    if all(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) for kind in kinds):
        return pa.float64()
    if all(types.is_timestamp(kind) and kind.tz for kind in kinds):
        return pa.timestamp("us", "UTC")
    return pa.large_string()


def _cast(chunk: pa.Array, kind: pa.DataType) -> pa.Array:
    if chunk.type == kind:
        return chunk
    if kind == pa.large_string() and not arrow_cells.is_text(chunk):
        return pa.array([None if cell is None else str(cell) for cell in chunk.to_pylist()], kind)
    return chunk.cast(kind, safe=False)
