"""What the pages and /metrics know of the world outside of a worker: `var/serving/status.json`.

| module | what is in it |
|---|---|
| `collector` | The collector of `status.json` |
| `reader` | What the pages and /metrics know of the world outside of a worker |
"""
