"""The English templates, a module a room: code → template.

| module | what is in it |
|---|---|
| `card` | The model card |
| `drift` | Drift verdicts: what a check found, column by column and in performance |
| `evaluation` | What the rows of a slice share |
| `files` | What is wrong with a file or a table, and where |
| `gate` | The gate's verdicts and reasons |
| `release` | Registration, promotion and rollback: what was done, and why |
| `requests` | What is wrong with a request, and why one is not answered |
| `retraining` | Retraining: why a check asks for one or not, what forbids it, and which rows it learns from |
| `rows` | What is wrong or unusual in a row |
"""
