"""The service: a Flask application for gunicorn, a follower of the registry, and a log shipper.

Processes, one machine:

```
gunicorn master ─┬─ worker (Flask + ONNX Runtime) ── appends ──► var/serving/segments ── log shipper ──► database
                 └─ worker …     ▲ follows
                                 var/serving/current.json ◄── follower ◄── registry
```
A worker imports neither a database driver nor MLflow, pandas, scikit-learn or torch.

| module or room | what is in it |
|---|---|
| `api` | Blueprints of the JSON API, one file a concern |
| `app` | The Flask application: `gunicorn -c serving/gunicorn.conf.py 'serving.app:create_app()'` |
| `auth` | Who may call: API keys with scopes, and rate limits |
| `batch` | Batch scoring: a table of any length scored by a registered version, without the service |
| `gunicorn.conf.py` | gunicorn's configuration, from Refit's settings |
| `http` | HTTP: the gunicorn worker of the service, its connections, and the fast path |
| `ids` | Random ids, cheaply: the system's randomness is fetched for many at a time |
| `integrity` | Is everything still what was written? |
| `logs` | Logging as JSON lines on standard error: what a collector or `jq` reads |
| `metrics` | Prometheus metrics, right across workers |
| `model` | The served model: the champion's lookup, the follower, and the store that workers swap from |
| `pages` | The pages people see: `/`, `/models`, `/monitoring` |
| `prediction_log` | The prediction log: binary segments that workers append to, and the log shipper to the database |
| `problems` | Errors as `application/problem+json` (RFC 9457): a status, a title, and a detail that names the place |
| `processes` | What the processes beside the workers share: settings, log, one a machine, and an end when told to |
| `protocols` | Protocols of other servers, so that their clients work unchanged |
| `scoring` | Scoring: from a request's rows or an uploaded table to the answer |
| `service` | What a worker is made of: `app.extensions["refit"]` holds one `Service` |
| `status` | What a worker knows of the world outside of it: `status.json` for the pages, and slots that workers share |
"""
