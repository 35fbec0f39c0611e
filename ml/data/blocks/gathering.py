"""Takes a table as a reader gives it, and puts it on the disk where it is large."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

from ml.data.blocks import column_types, disk_table
from ml.data.blocks.disk_table import DiskTable, Place, Scratch, Segment

BATCH_ROWS = 100_000  # written at once: each batch costs a reader some microseconds a column; our choice


class Gathering:
    """Takes what a reader gives, table after table of the same columns: in memory, and on disk once it is much.

    A column may change its type from one table to the next, as a database's answers do. What is open is closed by
    `finish`, or at the end of the `with`.

    Parameters
    ----------
    scratch
        Where more than `BLOCK_ROWS` rows go; None: they stay in memory.
    """

    def __init__(self, scratch: Scratch | None) -> None:
        self._scratch, self._tables, self.rows = scratch, list[pa.Table](), 0
        self._segments = list[Segment]()  # files that are closed, or open with what was written to it
        self._open: Any = None
        self._schema: pa.Schema | None = None

    def add(self, table: pa.Table) -> None:
        """Take some rows."""
        self.rows += table.num_rows
        self._tables.append(table)
        on_disk = self._scratch is not None and self.rows > disk_table.BLOCK_ROWS
        if on_disk and sum(map(len, self._tables)) >= BATCH_ROWS:
            self._write(self._scratch)

    def _write(self, scratch: Any) -> None:
        table = _plain(column_types.of_one_schema(self._tables)).combine_chunks()
        self._tables.clear()
        if self._schema is not None and table.schema != self._schema:
            table = column_types.without_null_types(table, self._schema)
        if table.schema != self._schema:
            self._close()
            file = scratch.folder() / f"rows-{len(self._segments)}.arrow"
            self._open, self._schema = pa.ipc.new_file(str(file), table.schema), table.schema
            self._segments.append(Segment(tuple(Place(file, i) for i in range(table.num_columns)), 0))
        self._open.write_table(table)
        self._segments[-1] = self._segments[-1]._replace(rows=self._segments[-1].rows + len(table))

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def __enter__(self) -> Gathering:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def finish(self, index: pd.Index | None = None, attrs: dict[str, Any] | None = None) -> Any:
        """All rows: a frame, or a `DiskTable` where they were much.

        Parameters
        ----------
        index
            (n_rows,) of the table; None: numbers from 0.
        attrs
            Of the table.
        """
        if self._scratch is None or self.rows <= disk_table.BLOCK_ROWS:
            frame = column_types.of_one_schema(self._tables).to_pandas()
            if index is not None:
                frame.index = index
            frame.attrs |= attrs or {}
            return frame
        if self._tables:
            self._write(self._scratch)
        self._close()
        names = self._schema.names if self._schema is not None else []
        return DiskTable(self._scratch.folder(), names, tuple(self._segments), index=index, attrs=dict(attrs or {}))


def _plain(table: pa.Table) -> pa.Table:
    """Without dictionaries, which a file in the IPC format may not change from batch to batch."""
    for i, column in enumerate(table.columns):
        if pa.types.is_dictionary(column.type):
            table = table.set_column(i, table.field(i).name, column.cast(column.type.value_type))
    return table
