"""The gate: the rules of promotion, the evidence that they are asked with, and the regression rows.

| module | what is in it |
|---|---|
| `evidence` | The gate's evidence: the rows that challenger and champion are both scored on |
| `fitted_rows` | The rows that a version was fitted on, as hashes: beside its bundle |
| `regression_rows` | The regression rows (golden set): held out since the first promotion and never trained on |
| `rules` | The gate's rules, champion or challenger: may this model replace the one that serves? |
"""
