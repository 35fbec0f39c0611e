"""Tables larger than memory: columns on disk, read one at a time or a block of rows at a time.

| module | what is in it |
|---|---|
| `column_types` | One type for a column whose parts have several |
| `copies` | Rows that are copies of others, counted by hashes |
| `disk_table` | A table whose columns lie on disk; stands where a frame stands that is read by columns or blocks |
| `gathering` | Takes a table as a reader gives it, and puts it on the disk where it is large |
| `parts` | A snapshot's Parquet files: written block by block, each of rows of one part, and read back |
"""
