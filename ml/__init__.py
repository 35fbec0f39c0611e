"""Refit's library: everything between a customer's table and a judged, servable model.

Runs without Airflow and without Flask. Importing it has no side effect and costs nothing:
heavy libraries are imported inside the functions that need them.

| room | what is in it |
|---|---|
| `commands` | The commands as they are typed here: a checkout's, or `refit` |
| `messages` | Messages: every sentence for people, by code |
| `errors` | The error tree |
| `http` | Get and post JSON with the standard library |
| `settings` | Settings: what can be set (`sections`), and where it is read from (`loading`) |
| `alerts` | Telling people: each alert goes to the log, to `var/logs/alerts.jsonl`, and to a webhook where one is set |
| `schema` | The schema: what a row is, how cells and rows are read against it |
| `storage` | Where things are kept: files that are written whole, locks between processes, and the database |
| `engine` | The engine: work on a Dask cluster, for who searches and for who scores |
| `decision` | From a model's scores to what is answered: calibrated probabilities, then a label |
| `exploration` | Exploration: what follows an answer, and what that makes of the labels that come |
| `data` | From a source to an immutable, split snapshot |
| `tracking` | MLflow: where it is (`connection`), and the runs that the pipeline logs there (`runs`) |
| `evaluation` | How good a model is, how far its probabilities can be believed, and where to cut them |
| `explain` | Explanations: Shapley values of the raw columns, and counterfactuals |
| `models` | The model families |
| `predictions` | The prediction log: what was answered, the labels that came later, and windows that join both |
| `training` | Training one candidate, and the grid of the course |
| `bundle` | The bundle: one registered version as files, its hashes, and its form as an MLflow model |
| `tuning` | hyperopt's TPE over all model families: reproducible, resumable, parallel |
| `fleet` | The fleet: the services that live, each registered in the database by its follower |
| `registry` | The model registry: versions, the aliases `champion` and `previous`, promotion and the way back |
| `charts` | Charts: data to SVG, once, for MLflow, the bundle, the pages and the demonstration |
| `gate` | The gate: the rules of promotion, the evidence that they are asked with, and the regression rows |
| `drift` | Drift: how far the champion's inputs, answers and performance have moved from what it was judged on |
| `origin` | What started a run: who, why, and the drift verdict where one asked for it |
| `release` | Release: the shadow test before a promotion and the bake after it |
| `retraining` | Retraining: which rows it learns from, when it pays, and what holds it back |
| `monitoring` | Monitoring: the drift check and its decision, how things stand, and the reports of both |
| `pipeline` | The pipeline: its stages, the workspace of a run, and its progress |
| `replay` | Replay: what the loop would have done over a table of one's own past |
| `cli` | `python -m ml`: the pipeline, its stages, and the registry by hand |
| `__main__` | Entry point of `python -m ml` |
"""
