"""Batch scoring: a table of any length scored by a registered version, without the service.

| module | what is in it |
|---|---|
| `command` | `python -m ml score`, known to `ml.cli` by its name alone |
| `plan` | what is scored by what, kept beside the parts so that a run goes on where it was |
| `query` | a query as a table: its rows, fetched once |
| `scorer` | from units of rows to parts of the output, on one or more processes, or on a Dask cluster |
| `units` | the rows of one part of the output, and as bytes for a worker elsewhere |
"""
