"""Scoring: from a request's rows or an uploaded table to the answer.

| module | what is in it |
|---|---|
| `bodies` | Request bodies as their client wrote them: unpacked where Content-Encoding says that they are packed |
| `csv_lines` | CSV lines: an upload's records as they came, ready for further cells behind them |
| `file_names` | What an uploaded table is called, and what it is where it has no name |
| `file_writers` | File writers: what came, with the prediction's columns added, as CSV or Parquet |
| `json_rows` | JSON rows, request bodies read strictly: JSON without duplicate keys, and the rows of `POST /predict` |
| `parquet_tables` | Parquet tables: an uploaded Parquet file in batches, within the limits of an upload |
| `responses` | Response encoding: scored rows as the JSON that `POST /predict` and `/predict/file` answer with |
| `score` | From rows to an answer: the one way that every protocol of the service scores |
| `table_rows` | Table rows: an upload's Arrow tables encoded as canonical rows, and the words among its numbers |
| `upload` | The upload reader: uploaded tables, read strictly and in parts |
"""
