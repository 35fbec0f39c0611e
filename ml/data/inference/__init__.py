"""Schema inference: what the columns of a raw table are.

| module | what is in it |
|---|---|
| `column_heuristics` | Is this column an identifier, a date, or a code? |
| `date_order` | Whether a table writes its dates with the day or the month first, by its own cells |
| `infer` | What the columns of a raw table are: kinds, classes, and what is left out and why |
| `kinds` | The kind of one raw column: number, category, or left out with a reason |
| `labels` | The target column: from what people write to classes and codes |
| `leaks` | Suspected leaks: a column that alone separates the classes is more often the answer than luck |
| `number_marks` | Number marks: the decimal mark of a table and its mark between thousands, by its own cells |
| `profiles` | What the schema tells about each column's values: range, levels, missing share, an example |
"""
