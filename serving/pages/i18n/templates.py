"""The sentences that the library writes, as templates: `{name}` stands for what was filled in.

Each is followed to the letter from the module that is named above it, and a test reads those modules: a sentence
that is new or worded anew there fails until it is here, with its translation. What the names mean:
`reasons` is a list joined by "; ", and `reason`, `error` and `now` are sentences again; everything else is a value.
"""

from __future__ import annotations


def N_(text: str) -> str:
    """Mark for the catalogue of translations; the text itself stays as it is."""
    return text


# ml/schema/rows.py, ml/schema/warnings.py, ml/schema/validation.py: what is wrong or unusual in a row.
ROWS = (
    N_("{value} is outside of {low} to {high}, the range in training"),
    N_("'{value}' was not seen in training"),
    N_("'{value}' is no number: taken as missing"),
    N_("a finite number or null"),
    N_("a text or null"),
    N_("an object of column: value"),
    N_("a number, or null where it is missing"),
    N_("a category, or null where it is missing"),
    N_("a number"),
    N_("no such column"),
    N_("no such column in the row"),
    N_("an unknown column"),
    N_("one of the model's columns"),
    N_("one of the model's columns (did you mean {columns}?)"),
    N_("columns of one length"),
    N_("lengths {lengths}"),
    N_("the text '{value}'"),
    N_("the number {value}"),
    N_("the boolean {value}"),
    N_("a number too large for a double"),
    N_("null"),
    N_("one of {values}"),
)

# ml/data/sources (csv_reader, csv_header, csv_diagnosis, decompress), serving/scoring/upload.py: what is wrong with an
# uploaded file.
FILES = (
    N_("Rows do not fit the model"),
    N_("The table does not fit"),
    N_("{file}, line {line}, column '{column}': {error}"),
    N_("{file}, line {line}: {error}"),
    N_("{file}, column '{column}': {error}"),
    N_("the file is empty"),
    N_("the file is empty, unpacked"),
    N_("the file has no header and no rows"),
    N_("the file has a header but no rows"),
    N_("the content is {found}, but the name says {said}; rename it or pack it again"),
    N_("the content is Parquet; give the file a name that ends in .parquet"),
    N_("expected a CSV table, got a file that is packed twice"),
    N_("expected a CSV table, got JSON"),
    N_("expected a CSV table, got HTML or XML"),
    N_("expected a CSV table, got {kind}"),
    N_("a ZIP archive or an Excel workbook; save the one table in it as CSV"),
    N_("an empty ZIP archive"),
    N_("a PNG image"),
    N_("a JPEG image"),
    N_("a GIF image"),
    N_("a PDF document"),
    N_("an old Excel or Word document; save the table as CSV"),
    N_("an HDF5 file"),
    N_("an Arrow file; save it as Parquet"),
    N_("an SQLite database; use the sql source with a query"),
    N_("a 7z archive"),
    N_("a RAR archive"),
    N_("a program"),
    N_("not packed"),
    N_("larger than the limit of {limit} bytes, unpacked; raise data.max_bytes or send less"),
    N_("texts of more than {limit} bytes, unpacked"),
    N_("expected plain values, got lists or groups of texts"),
    N_("a cell over data.max_cell_chars"),
    N_("{size} bytes, unpacked, are over the limit of {limit}"),
    N_("broken compressed file: {error}"),
    N_("not {encoding} text: {error}"),
    N_("not a readable Parquet file: {error}"),
    N_("the header has NUL bytes: not a text file"),
    N_("{n} columns are more than the limit of {limit} (data.max_columns)"),
    N_("{n} columns are over the limit of {limit}"),
    N_("two columns of one name: {columns}; give each its own name, or add the header if the file has none"),
    N_("two columns of one name: {columns}; give each its own name"),
    N_("two columns of one name"),
    N_("expected a header with column names, got numbers ('{value}' …); add a header line"),
    N_("the header names no column"),
    N_("the header cannot be read: {error}"),
    N_("the header comes a second time; remove this line"),
    N_("a cell of {size} bytes is over the limit of {limit} (data.max_cell_chars)"),
    N_("a NUL byte: this is not a text file, or it is damaged"),
    N_('byte {byte} is no UTF-8; save the file as UTF-8, or set data.encoding (often "cp1252" or "latin-1")'),
    N_("expected {n} fields as in the header, got {got}"),
    N_("no end of this record in sight: is a quote not closed?"),
    N_("the quotes of the record that begins here do not match ({error})"),
    N_("expected numbers, but every row has a word for missing"),
    N_("the model needs {n} columns and the table lacks {columns}; it has {found}"),
    N_("columns that the model does not know are ignored: {columns}"),
    N_("expected an id in every row, got an empty cell"),
    N_("the table cannot be read: {error}"),
    N_("expected column names in UTF-8, got other bytes"),
)

# serving: why a request is not answered.
SERVICE = (
    N_("there is no model to answer with: no version has been promoted yet"),
    N_("there is no model to answer with: version {version} was refused: {error}"),
    N_("the prediction log cannot take the answer: {error}"),
    N_("the label cannot be written: {error}"),
    N_("the disk is full: send it again when there is room"),
    N_("{error}: nothing was lost; try again in a moment"),
    N_("a fault of the service, which is in its log; the request may be sent again"),
    N_("rows[{row}]: the model gives no finite probability for it; nothing was answered"),
    N_("Bad Request"),
    N_("Not Found"),
    N_("Method Not Allowed"),
    N_("Service Unavailable"),
    N_("Unprocessable Entity"),
    N_("Unprocessable Content"),
    N_("Request Entity Too Large"),
    N_("Content Too Large"),
    N_("Internal Server Error"),
)
