"""Who may call, and how much: API keys with scopes, rate limits, and what one request may cost.

| module | what is in it |
|---|---|
| `__main__` | `python -m serving.auth`: make, list and revoke API keys |
| `keys` | API keys: made on the command line, kept as hashes, each with the scopes it opens |
| `limits` | How often a caller may ask, and what one request may cost: body bytes, JSON values, rows and cells |
"""
