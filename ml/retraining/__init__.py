"""Retraining: which rows it learns from, when it pays, and what holds it back.

| module | what is in it |
|---|---|
| `blockers` | Blockers, what forbids a retraining at this moment: one under way, the cool-down, the breaker |
| `change_point` | The change point: when the champion began to fail, from its checks and its own labelled answers |
| `e_process` | The evidence against a champion, an e-process: what a bet on newer models would have won |
| `fresh_model_probe` | The fresh-model probe: would a model of newer rows do better than the champion? |
| `label_delay` | How late labels are, in rows: so late are rehearsals |
| `standing` | What the checks know of the champion: degraded, outdone by models of newer rows |
| `window_policy` | Which labelled production rows a retraining learns from: the window policy |
| `window_record` | How the windows of training rows did beside all rows, over the checks of all champions |
"""
