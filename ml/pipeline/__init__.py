"""The pipeline: its stages, the workspace of a run, and its progress.

| module | what is in it |
|---|---|
| `first_champion` | What is said of a run that ends without a champion: the decision, and what a first one would need |
| `final_fit` | The final fit: what is served is the recipe that was judged, with the rows that judged it |
| `model_card` | The model card: what the model is, what it was made from |
| `pipeline` | The whole loop as plain calls: what the DAG does, without Airflow |
| `progress` | How far a run's stage is, written where another process can read it: `var/runs/<run_key>/progress.json` |
| `retention` | Old runs, and the snapshots that nothing needs, are deleted |
| `run_key` | The run key: the name of a run's workspace, from whatever the caller calls its run |
| `shared_trials` | Finished trials where machines share no disk: each is kept while the search goes on |
| `stages` | What each stage of the pipeline does |
| `workspace` | A run's workspace `var/runs/<run_key>`: a stage is done once its result is recorded, and not before |
"""
