"""What is told of tables and rows, and of the data that a model learns from.

| module | what is in it |
|---|---|
| `files` | What is wrong with a file or a table, and where |
| `rows` | What is wrong or unusual in a row |
"""
