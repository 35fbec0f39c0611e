"""What is told of tables and rows, and of the data that a model learns from.

| module | what is in it |
|---|---|
| `data` | Why a table cannot be learned from, or does not fit what was learned from before |
| `exploration` | What labelled rows are, where answers decide who gets a label |
| `files` | What is wrong with a file or a table, and where |
| `findings` | What was noticed in a table that is learned from or scored all the same |
| `replay` | What came of a replay of one's own past, and what it needs |
| `rows` | What is wrong or unusual in a row |
"""
