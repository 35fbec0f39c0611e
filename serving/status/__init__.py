"""What a worker knows of the world outside of it: `status.json` for the pages, and slots that workers share.

| module | what is in it |
|---|---|
| `collector` | The collector of `status.json` |
| `reader` | What the pages and /metrics know of the world outside of a worker |
| `slots` | Shared slots: what each process of a service publishes and any of them reads, in memory that no disk backs |
| `version_files` | What a registered version tells of itself: the JSON side files of its bundle, without the model |
| `version_keeper` | The keeper of the versions' side files: copies them once a version from the registry |
"""
