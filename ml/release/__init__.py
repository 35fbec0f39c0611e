"""Release: the shadow test before a promotion and the bake after it.

| module | what is in it |
|---|---|
| `bake` | The bake, the watch after a promotion |
| `replay_scoring` | Replay scoring: what another version would have answered to the traffic that was really served |
| `shadow_slot` | The shadow slot holds the challenger that waits |
| `shadow_test` | The shadow test: a challenger in shadow is judged on live rows, then promoted or refused |
| `watch` | Look after the release: a new champion that proves worse goes back, a challenger in shadow is decided on |
"""
