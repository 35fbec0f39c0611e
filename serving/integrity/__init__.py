"""Is everything still what was written? Bundles, segments and the ledger against hashes, chains and signatures.

| module | what is in it |
|---|---|
| `checks` | Integrity: is everything still what was written? |
| `command` | `python -m ml verify`, known to `ml.cli` by its name alone |
"""
