"""Blueprints of the JSON API, one file a concern. `serving/app.py` registers them.

| module | what is in it |
|---|---|
| `explain` | `POST /explain`: why each row gets its score, and what would change the answer |
| `feedback` | `POST /feedback`: the true labels, when they become known, by prediction id |
| `files` | `POST /predict/file`: a table in, the same table with the prediction's columns out |
| `guard` | What stands in front of every route, Flask's and the fast one alike |
| `health` | Is the process alive, and can it answer? |
| `openapi` | `/openapi.json`, made from the answers' types, the served schema and what the routes say of themselves |
| `operations` | The operations of the API: each route says what it takes, answers and refuses, beside its scope |
| `predict` | `POST /predict` and `GET /model`; the answer is made once for the Flask route and for the fast path |
| `schemas` | The schemas of the service's JSON answers, as types: `/openapi.json` is made from them |
| `score_file` | Scoring an uploaded table, from its bytes to its written result |
"""
