"""Exploration: what follows an answer, and what that makes of the labels that come.

Light: the service draws actions here, for each row that it answers.

| module | what is in it |
|---|---|
| `label_coverage` | Label coverage: whether the rows that have a label are a sample of the answered ones |
| `policy` | Actions: what follows an answer, by a policy with some exploration, and how likely each was |
| `weights` | Inverse-propensity weights: labelled rows that stand for all answered ones |
"""
