"""What the pages and /metrics know of the world outside of a worker: `var/serving/status.json`.

| module | what is in it |
|---|---|
| `collector` | Collects `status.json`: ledger, versions, drift checks, and traffic with its accuracy in time slices |
| `reader` | What the pages and /metrics know of the world outside of a worker |
"""
