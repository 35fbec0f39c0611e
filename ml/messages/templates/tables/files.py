"""What is wrong with a file or a table, and where."""

from ml.messages.message import N_

TEMPLATES = {
    "files.at": "{place:, }: {what}",
    "files.line": N_("line {n}"),
    "files.row": N_("row {n}"),
    "files.column": N_("column '{name}'"),
    "files.no_header_no_rows": N_("the file has no header and no rows"),
    "files.header_unreadable": N_("the header cannot be read: {error}"),
    "files.header_has_nul": N_("the header has NUL bytes: not a text file"),
    "files.too_many_columns": N_("{n:,} columns are more than the limit of {limit:,} (data.max_columns)"),
    "files.header_doubles": N_(
        "two columns of one name: {columns:, }; give each its own name, or add the header if the file has none"
    ),
    "files.header_is_numbers": N_("expected a header with column names, got numbers ('{value}' …); add a header line"),
    "files.header_empty": N_("the header names no column"),
    "files.quotes_do_not_match": N_("the quotes of the record that begins here do not match ({error})"),
    "files.fields": N_("expected {expected} fields as in the header, got {got}"),
    "files.cell_too_large": N_("a cell of {size:,} bytes is over the limit of {limit:,} (data.max_cell_chars)"),
    "files.header_again": N_("the header comes a second time; remove this line"),
    "files.broken_packing": N_("broken compressed file: {error}"),
    "files.too_large_unpacked": N_(
        "larger than the limit of {limit:,} bytes, unpacked; raise data.max_bytes or send less"
    ),
    "files.empty": N_("the file is empty"),
    "files.empty_unpacked": N_("the file is empty, unpacked"),
    "files.packed_otherwise": N_("the content is {found}, but the name says {name}; rename it or pack it again"),
    "files.packed_as": N_("{kind}-packed"),
    "files.not_packed": N_("not packed"),
    "files.parquet_content": N_("the content is Parquet; give the file a name that ends in .parquet"),
    "files.no_csv": N_("expected a CSV table, got {kind}"),
    "files.packed_twice": N_("expected a CSV table, got a file that is packed twice"),
    "files.markup": N_("expected a CSV table, got HTML or XML"),
    "files.delimiter": N_("data.delimiter must be one character or \"tab\", got '{got}'"),
    "files.over_max_bytes": N_("{size:,} bytes, unpacked, are over data.max_bytes = {limit:,}"),
    "files.no_parquet": N_("not a readable Parquet file: {error}"),
    "files.no_such_file": N_("there is no such file; data.path is relative to {cwd}"),
    "files.no_such_file_but": N_("there is no such file; did you mean {near: or }? data.path is relative to {cwd}"),
    "files.no_such_folder": N_("there is no such file, nor the folder {folder}; data.path is relative to {cwd}"),
    "files.no_file": N_("is not a file; data.path names one: CSV, a workbook or Parquet"),
    "files.unreadable": N_("cannot be read: {error}"),
    "files.bad_path": N_("data.path: {error}"),
    "files.not_there": N_("there is no such file"),
    "files.no_column": N_("there is no such column"),
    "files.not_allowed": N_("not allowed: {error}"),
    "files.unreachable": N_("{place}: cannot be reached: {error}"),
    "files.sql_needs": N_('data.source = "sql" needs data.url (a SQLAlchemy URL) and data.query (a SELECT)'),
    "files.sql_no_select": N_("data.query must be one SELECT (or WITH … SELECT), got '{query}'"),
    "files.sql_refused": N_("data.query: {error}"),
    "files.sql_url": N_(
        "data.url: {error}; expected a SQLAlchemy URL such as postgresql+psycopg2://user@host/name or "
        "sqlite:////folder/file.db, with its driver installed"
    ),
    "files.no_database": N_("there is no such database file"),
    "files.sql_too_large": N_("the query gives more than {limit:,} bytes (data.max_bytes)"),
    "files.sql_no_columns": N_(
        "data.query selects no column; name the columns after SELECT, or write SELECT *; it is '{query}'"
    ),
    "files.sql_doubles": N_(
        "data.query gives two columns of one name: {columns:, }; give each its own name with AS, "
        "as in SELECT a.id AS a_id; it is '{query}'"
    ),
    "files.sql_no_rows": N_("data.query gives no rows"),
    "files.does_not_fit": N_("The table does not fit"),
    "files.fitting_table": N_("a table that fits the model"),
    "files.words_for_missing": N_("expected numbers, but every row has a word for missing"),
    "files.over_limit": N_("{size:,} bytes, unpacked, are over the limit of {limit:,}"),
    "files.columns_over_limit": N_("{n:,} columns are over the limit of {limit:,}"),
    "files.doubles": N_("two columns of one name: {columns:, }; give each its own name"),
    "files.no_columns": N_("the file has no columns"),
    "files.header_no_rows": N_("the file has a header but no rows"),
    "files.cell_over_limit": N_("a cell over data.max_cell_chars"),
    "files.texts_over_limit": N_("texts of more than {limit:,} bytes, unpacked"),
    "files.lacks_columns": N_("the model needs {n} columns and the table lacks {columns}; it has {found}"),
    "files.id_missing": N_("expected an id in every row, got an empty cell"),
    "files.plain_values": N_("expected plain values, got lists or groups of texts"),
    "files.record_without_end": N_("no end of this record in sight: is a quote not closed?"),
    "files.nul_byte": N_("a NUL byte: this is not a text file, or it is damaged"),
    "files.no_utf8": N_(
        'byte {byte} is no UTF-8; save the file as UTF-8, or set data.encoding (often "cp1252" or "latin-1")'
    ),
    "files.result_not_written": N_("the result cannot be written: {error}"),
    "files.unreadable_table": N_("the table cannot be read: {error}"),
    "files.names_no_utf8": N_("expected column names in UTF-8, got other bytes"),
    "files.no_encoding": N_("data.encoding: there is no encoding '{encoding}'"),
    "files.not_text": N_("not {encoding} text: {error}"),
    "files.is_zip": N_("a ZIP archive; unpack the one table in it"),
    "files.is_zip_empty": N_("an empty ZIP archive"),
    "files.is_png": N_("a PNG image"),
    "files.is_jpeg": N_("a JPEG image"),
    "files.is_gif": N_("a GIF image"),
    "files.is_pdf": N_("a PDF document"),
    "files.broken_workbook": N_("expected a workbook that can be read, got one that cannot: {error}"),
    "files.workbook_too_large": N_(
        "a workbook that takes too much memory or time, or is more than {limit} bytes as CSV; save its table as CSV"
    ),
    "files.is_hdf5": N_("an HDF5 file"),
    "files.is_arrow": N_("an Arrow file; save it as Parquet"),
    "files.is_sqlite": N_("an SQLite database; use the sql source with a query"),
    "files.is_seven_zip": N_("a 7z archive"),
    "files.is_rar": N_("a RAR archive"),
    "files.is_program": N_("a program"),
}
