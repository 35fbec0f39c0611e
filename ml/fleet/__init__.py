"""The fleet: the services that live, each registered in the database by its follower, and what they agree on.

| module | what is in it |
|---|---|
| `confirmation` | Confirmation: waiting until the services that live serve a version |
| `rotation` | Rotation: which service must not answer, though it could |
| `services` | The services that live: each is a row that its follower renews |
| `shared_keys` | The API keys that all services take: rows in the database |
"""
