"""What each stage of the pipeline does; `ml.pipeline.pipeline` calls them and keeps their records
(`ml.pipeline.stages.records`).

| module | what is in it |
|---|---|
| `evaluate` | evaluate: fit the winner, make its bundle, measure it on the test part, once, and judge it |
| `generate` | generate: a snapshot of the source and of the labelled production rows |
| `records` | What the stages hand each other: one frozen record a stage, kept as `var/runs/<run_key>/<stage>.json` |
| `release` | register, promote, rollback: from a judged bundle to the version that serves |
| `train` | train: the logistic grid and the baseline of every family, each with its curves, on the validation part |
| `tune` | tune: the search over all families, its trials as nested runs, its outcome kept for `evaluate` |
"""
