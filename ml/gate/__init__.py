"""The gate: the rules of promotion, the evidence that they are asked with, and the regression rows.

| module | what is in it |
|---|---|
| `evidence` | The rows that a challenger and the champion are both judged on, and the verdict over them |
| `regression_rows` | The golden rows: a fixed held-out set |
| `rules` | Champion or challenger: may this model replace the one that serves? |
"""
