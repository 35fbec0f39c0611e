"""The pages of the models: `/models`, `/models/N`, and two versions side by side.

| module | what is in it |
|---|---|
| `card` | The model card as HTML in the reader's language |
| `comparison` | Two versions side by side: parameters, columns, rows, metrics, and what the gate measured of both |
| `course` | The course report's table of results beside ours |
| `events` | Lines of the ledger in the reader's words |
| `overview` | `/models`: the champion, every version, the ledger, and the champion's charts |
| `quality` | Charts of how good a version is on its test rows |
| `search` | Charts of how a version was found: training curves, the search's trials, and what they tried |
| `version` | `/models/N`: how one version was made, measured and judged, refused and waiting ones too |
"""
