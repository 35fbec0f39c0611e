"""Retraining: which rows it learns from, when it pays, and what holds it back.

| module | what is in it |
|---|---|
| `change_point` | When the champion began to fail, from its checks and its own labelled answers |
| `fresh_model_probe` | Would a model of newer rows do better than the champion? |
| `holds` | What forbids a retraining at this moment: one under way, the cool-down, the breaker |
| `window_policy` | Which labelled production rows a retraining learns from: the window policy |
"""
