"""Where things are kept: files that are written whole, locks between processes, and the database.

| module | what is in it |
|---|---|
| `clock` | The clock that decides: the machine's, as long as it has not leapt |
| `database` | The database of predictions, labels, checks and ledger: SQLite in WAL mode, or PostgreSQL by settings |
| `file_systems` | Arrow file systems by address: a folder, `file:///…`, `s3://bucket/prefix` |
| `files` | Atomic writes: a kill, a full disk or a power cut leaves the old content or the new, never half |
| `locks` | One at a time: a lock over processes, freed by the system when its holder dies |
| `shared` | What machines share, on `storage.url`: files by their hash, and named sets of them |
| `secrets` | Generated secrets under `var/secrets`, readable by the owner alone |
"""
