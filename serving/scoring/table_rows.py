"""Table rows: an upload's Arrow tables encoded as canonical rows, and the words found where numbers belong."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ml.errors import DataError
from ml.messages import message
from ml.schema import arrow_cells
from ml.schema.coerce import read_numbers, written_numbers
from ml.schema.rows import RowReader, Rows
from ml.schema.schema import Column
from ml.schema.validation_errors import MAX_ERRORS, ValidationError, Words, shown
from ml.schema.warnings import RowWarning, RowWarnings, word
from serving.scoring.json_rows import ID_KEY, Ids, checked_ids


class TableEncoder:
    """Encodes the tables of one upload; `words` counts over all of them.

    Parameters
    ----------
    reader
        Of the schema to fit.
    name
        File name, with which messages begin.
    as_numbers
        Whether the number columns were read as numbers; a column that came as text all the same had words in it, and
        is given back as numbers.
    """

    def __init__(self, reader: RowReader, name: str, *, as_numbers: bool):
        self.reader, self.name, self.as_numbers = reader, name, as_numbers
        self.words = Words(reader.schema.max_bad_share)

    def encoded(self, table: pa.Table, lines: npt.NDArray[np.int64] | None, first: int = 0) -> tuple[Rows, pa.Table]:
        """The rows, and the table with its number columns as numbers where they are read so.

        A word's place is told by its line, from `lines` (one a row, from 1), or by its row, counted from `first`.
        """
        numbers = np.empty((table.num_rows, len(self.reader.number_columns)))
        warnings: RowWarnings = {}
        typed = table
        for j, column in enumerate(self.reader.number_columns):
            cells = arrow_cells.flat(table[column.name])
            numbers[:, j], bad = read_numbers(cells, column, self.reader.schema)
            if self.as_numbers and arrow_cells.is_text(cells) and column.kind == "number" and not column.unit:
                place = table.column_names.index(column.name)
                typed = typed.set_column(place, column.name, pa.array(numbers[:, j], from_pandas=True))
            if bad.any():
                self._note_words(column, cells, bad, int((~np.isnan(numbers[:, j])).sum()), lines, first)
                warning_of: dict[str, RowWarning] = {}  # one flag a word, however often it comes
                for i in np.flatnonzero(bad).tolist():
                    text = shown(cells[i].as_py())
                    warnings.setdefault(i, []).append(
                        warning_of.get(text) or warning_of.setdefault(text, word(column.name, text))
                    )
            else:
                self.words.add(column.name, int((~np.isnan(numbers[:, j])).sum()), 0, [], refused=False)
        coded = [self._coded(table[c.name]) for c in self.reader.category_columns]
        who = {name: table[name].to_pylist() for name in self.reader.schema.id_columns if name in table.column_names}
        return self.reader.identified(self.reader.encoded(numbers, coded, warnings), who), typed

    def has_value(self, rows: Rows, table: pa.Table) -> npt.NDArray[np.bool_]:
        """Which number columns have a number, or say in a usual way (empty, NaN, infinite) that they have none."""
        present: npt.NDArray[np.bool_] = np.logical_not(np.isnan(rows.numbers).all(axis=0))
        for j in np.flatnonzero(~present).tolist():
            column = self.reader.number_columns[j]
            cells = table[column.name]
            if column.missing_share > 0.5 or not (self.as_numbers or arrow_cells.is_text(arrow_cells.flat(cells))):
                present[j] = True
            if present[j] or self.as_numbers:
                continue
            words = {str(word or "").strip().lstrip("+-").casefold() for word in pc.unique(cells).to_pylist()}
            present[j] = bool(words & {"", "nan", "inf", "infinity"})
        return present

    def ids(self, table: pa.Table) -> Ids | None:
        """Ids that the caller gave in a column of their own, which is none of the schema's."""
        if ID_KEY not in table.column_names or any(c.name == ID_KEY for c in self.reader.schema.columns):
            return None
        given = arrow_cells.texts(table[ID_KEY]).to_pylist()
        if "" in given:
            raise DataError(message("files.id_missing"), file=self.name, column=ID_KEY)
        return checked_ids(given, len(given))

    def _note_words(
        self,
        column: Column,
        cells: pa.Array,
        bad: npt.NDArray[np.bool_],
        numbers: int,
        lines: npt.NDArray[np.int64] | None,
        first: int,
    ) -> None:
        name, is_date = column.name, column.kind == "date"
        lost = written_numbers(cells, bad, column.kind)
        errors = [
            ValidationError(
                None if lines is not None else first + i,
                name,
                message("rows.a_date" if is_date else "rows.number"),
                f"'{shown(cells[i].as_py())}'",
                int(lines[i]) if lines is not None else None,
            )
            for i in np.flatnonzero(lost if lost.any() else bad)[:MAX_ERRORS].tolist()
        ]
        self.words.add(name, numbers, int(bad.sum()), errors, refused=bool(lost.any()))

    def _coded(self, cells: pa.ChunkedArray) -> tuple[list[str | None], npt.NDArray[np.int64]]:
        levels, indices = arrow_cells.coded(cells, markers=self.reader.schema.missing_markers)
        return levels.to_pylist(), indices.to_numpy(zero_copy_only=False).astype(np.int64)
