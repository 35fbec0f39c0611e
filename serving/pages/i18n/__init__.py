"""The reader's language: numbers and times, and messages of the library.

| module | what is in it |
|---|---|
| `formats` | Numbers, times, verdicts and errors as words of the reader's language |
| `glossary` | What the figures of a model mean |
| `translation` | Messages in the reader's language: verdicts, reasons, ledger lines, faults, the model card |
| `validation` | What is wrong with a row or a file, told to a person: the place, what was expected, what came |
"""
