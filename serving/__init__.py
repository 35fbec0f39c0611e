"""The service: a Flask application for gunicorn, a follower of the registry, and a mover of the prediction log.

Processes, one machine:

```
gunicorn master ─┬─ worker (Flask + ONNX Runtime) ── appends ──► var/serving/segments ── mover ──► database
                 └─ worker …     ▲ follows
                                 var/serving/current.json ◄── follower ◄── registry
```
A worker imports neither a database driver nor MLflow, pandas, scikit-learn or torch.
"""
