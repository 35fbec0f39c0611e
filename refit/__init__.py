"""Refit, installed by name: `pipx install` of the wheel gives the command `refit`.

| module | what it is |
|---|---|
| `__main__` | the command: its words, and the program behind each |
| `project` | `refit init`: a folder becomes a project |

The wheel holds the rest of the checkout below `refit/tree`, which goes on the path of what the command starts and of
nothing else: names as common as `ml` and `dags` do not stand in the user's site-packages.
"""
