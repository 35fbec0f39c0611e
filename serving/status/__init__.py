"""What the pages and /metrics know of the world outside of a worker: `var/serving/status.json`.

| module | what is in it |
|---|---|
| `collector` | The collector of `status.json` |
| `integrity` | Integrity: is everything still what was written? |
| `reader` | What the pages and /metrics know of the world outside of a worker |
| `verify` | `python -m ml verify`, known to `ml.cli` by its name alone |
"""
