"""Who may call: API keys with scopes, and rate limits.

| module | what is in it |
|---|---|
| `__main__` | `python -m serving.auth`: make, list and revoke API keys |
| `keys` | API keys: made on the command line, kept as hashes, each with the scopes it opens |
| `limits` | What one request may cost: bytes of its body by route, JSON values, rows and cells |
"""
