"""What is wrong with a file or a table, and where."""

from ml.messages.message import N_

TEMPLATES = {
    "files.at": "{place:, }: {what}",
    "files.line": N_("line {n}"),
    "files.column": N_("column '{name}'"),
}
