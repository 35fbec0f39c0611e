"""The served model: the champion's lookup, the follower, and the store that workers swap from.

| module | what is in it |
|---|---|
| `champion_lookup` | Which version is the champion? |
| `follower` | Follows the champion: registry → verified local cache → pointer file |
| `store` | The model a worker serves: follows the pointer file, loads beside the one in service, swaps one reference |
"""
