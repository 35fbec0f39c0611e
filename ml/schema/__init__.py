"""The schema: what a row is, how cells and rows are read against it, and what is wrong with those that do not fit.

| module | what is in it |
|---|---|
| `arrow_cells` | Cells to canonical values, a column at a time: float32 with NaN, or text with "" |
| `cells` | One cell: what counts as a number, what as a level, what float32 makes of it, and how a float32 is written |
| `coerce` | Coercion: a raw table's columns against a schema, with errors that name the line |
| `findings` | Data-quality findings: what was noticed; printed by the command line, kept in the snapshot's manifest |
| `frame_coerce` | A raw pandas table against a schema: the canonical frame, or an error that names the place |
| `frames` | Naming places in a frame, and checking that the columns of the settings are there |
| `rows` | Rows as the model takes them: validated against a schema, with what is unusual about each one flagged |
| `schema` | What a row is: named, typed columns, the classes, and the limits that a model was trained within |
| `validation_errors` | Validation errors: what is wrong with rows, by place, in words that are fit to be shown |
| `warnings` | Row warnings, what is unusual about a row that is scored all the same |
"""
