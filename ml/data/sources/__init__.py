"""The sources of raw tables, and the readers of what people bring.

| module | what is in it |
|---|---|
| `csv_diagnosis` | What Arrow refused of a CSV file, read record by record with Python's strict `csv` |
| `csv_header` | The first lines of a CSV file: where the header is, what separates, what the columns are called |
| `csv_reader` | The CSV reader: bounded memory, exact line numbers, Arrow's speed |
| `customers` | A generated churn table: named mixed-type columns, missing values, an id and a time |
| `decompress` | From a file's bytes to UTF-8 text, workbooks as CSV, with what is no text table turned away by name |
| `files` | Tables from files: CSV (packed or not), workbooks and Parquet, local or on any store that fsspec knows |
| `registry` | The sources by name, and reading the one that is configured |
| `sql` | Tables from any database that SQLAlchemy knows: one SELECT, in a transaction that only reads |
| `synthetic` | The default table: scikit-learn's make_classification, every parameter from `[synthetic]` |
| `workbook` | A workbook on standard input as CSV on standard output; run by its path, as a process |
"""
