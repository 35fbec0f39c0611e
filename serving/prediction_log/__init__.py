"""The prediction log: binary segments that workers append to, and the log shipper to the database.

| module | what is in it |
|---|---|
| `records` | The records: what stands in a segment of the prediction log, and how |
| `repair` | Repair of the segments that the log shipper put aside |
| `retention` | Retention: what is past its days is deleted, by a clock that is not believed at once |
| `segments` | Reading the prediction log's segments: whole records |
| `shipper` | The log shipper: moves the prediction log from segments into the database |
| `writer` | The prediction log, worker's side: append-only binary segments that a log shipper takes into the database |
"""
