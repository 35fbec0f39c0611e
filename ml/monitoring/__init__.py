"""Monitoring: is the champion still what it was judged to be, and how do things stand?

| module | what is in it |
|---|---|
| `check` | the drift check: champion and prediction log in, verdict out |
| `retraining_decision` | the decision on a verdict: is a retraining asked for, and who is told |
| `status` | how things stand, from the database alone: light to import |
| `histograms` | the columns that drifted, reference and window in the same bins |
| `evidently_report` | Evidently's page of a check; the only importer of Evidently |
| `report_files` | the files of the checks' reports, here and on the storage that machines share |
| `mlflow_figures` | the figures of the checks as curves in MLflow |
"""
