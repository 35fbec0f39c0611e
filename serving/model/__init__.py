"""The served model: the champion's lookup, the follower, and the store that workers swap from.

| module | what is in it |
|---|---|
| `champion_lookup` | Champion lookup: which version is the champion? |
| `follower` | Follows the champion: registry → verified local cache → pointer file |
| `heartbeat` | The heartbeat: the follower registers this service in the database |
| `membership` | Membership: what a worker knows of the other services |
| `store` | The model store of a worker |
"""
