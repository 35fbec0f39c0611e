"""The English templates, a module a room: code → template.

| module | what is in it |
|---|---|
| `bundle` | What is wrong with a bundle: its files, its signature, its graph, its own examples |
| `card` | The model card |
| `drift` | Drift verdicts: what a check found, column by column and in performance |
| `evaluation` | What the rows of a slice share, and how an answer is made of probabilities |
| `gate` | The gate's verdicts and reasons |
| `ledger` | What `python -m ml verify` finds |
| `release` | Registration, promotion and rollback: what was done, and why |
| `retraining` | Retraining: why a check asks for one or not, what forbids it, and which rows it learns from |
| `settings` | What is wrong with the settings |
| `service` | What the service and the engine tell their callers, and whoever runs them |
| `tables` | What is told of tables and rows, and of the data that a model learns from |
| `training` | Why nothing could be learned: fits, searches, candidates, and the records of a run |
"""
