"""Replay: what the loop would have done over a table of one's own past, in process, without a stack.

| module | what is in it |
|---|---|
| `comparison` | one replay from the settings: the loop and its alternatives |
| `history` | the table in time order, in windows, and when the labels of each had come |
| `loop` | the loop over the windows: answer, check, retrain, judge, replace |
| `on_cluster` | the same on a Dask cluster: the loop on one worker, its alternatives on the others |
| `strategies` | its alternatives: never, on a schedule, after every window |
| `report` | what came of each, as a record, a text, a page and a picture |
"""
