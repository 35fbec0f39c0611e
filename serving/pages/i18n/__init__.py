"""The reader's language: numbers and times, and sentences of the library.

| module | what is in it |
|---|---|
| `formats` | Numbers, times, verdicts and errors as words of the reader's language |
| `templates` | The sentences that the library writes, as templates: `{name}` stands for what was filled in |
| `translation` | Sentences of the library in the reader's language: verdicts, reasons, faults, the model card |
| `validation` | What is wrong with a row or a file, told to a person: the place, what was expected, what came |
"""
