"""Release: the shadow test before a promotion and the bake after it.

| module | what is in it |
|---|---|
| `bake` | The watch after a promotion: a new champion that proves worse than its predecessor goes back by itself |
| `replay_scoring` | Shadow scoring: what another version would have answered to the traffic that was really served |
| `shadow_slot` | The challenger that waits in shadow |
| `shadow_test` | The watch before a promotion |
| `watch` | Look after the release: a new champion that proves worse goes back, a challenger in shadow is decided on |
"""
