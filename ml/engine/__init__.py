"""The engine: work on a Dask cluster, for who searches and for who scores.

A cluster's workers share nothing with us but the code: what they need travels with each ask, and what they found comes
back as bytes.

| module | what is in it |
|---|---|
| `cluster` | A Dask cluster as its user sees it: asks go out, answers come back in any order |
| `remote` | What runs on a worker: an ask to files that were sent once, by the same code as the asker's |
"""
