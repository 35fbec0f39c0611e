"""The charts of the pages.

| module | what is in it |
|---|---|
| `grids` | Charts with names along both sides: the confusion matrix, and values of several things beside one another |
| `quality` | Charts of how good the served version is on its test rows |
| `search` | Charts of how the served version was found: training curves, the search's trials, and what they tried |
| `svg` | Charts as SVG drawn by the server: no script, no inline style, colours from the page's own CSS |
"""
