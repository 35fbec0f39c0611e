"""Training one candidate, and the grid of the course.

| module | what is in it |
|---|---|
| `candidate` | Fit one candidate, with its curves; save it and load it back |
| `course_grid` | The logistic-regression grid of the course report, beside the report's own five rows |
"""
