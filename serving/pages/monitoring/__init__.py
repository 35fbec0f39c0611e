"""The page `/monitoring`: is the model still good?

| module | what is in it |
|---|---|
| `charts` | Accuracy, traffic, verdicts and latency over one range of time |
| `drift` | Drift by column, and each drifted column before and after |
| `overview` | `/monitoring` and the reports of its checks |
| `time_range` | The range of time that all panels show, and what falls into it |
"""
