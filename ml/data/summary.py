"""What was found in a table, for people: rows, classes, columns used and left out and why, doubts, what changes it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence

from ml.commands import spoken
from ml.data.manifest import Manifest
from ml.messages import Message, code_of, message
from ml.schema.findings import Finding
from ml.schema.schema import Schema
from ml.settings import Data

SHOWN = 20  # names of columns, and findings
MOST_CLASSES = 10  # that are named, the commonest first
LEFT_OUT = frozenset(
    f"findings.{name}"
    for name in (
        "leak_left_out",
        "no_value_left_out",
        "constant",
        "constant_text",
        "row_numbers",
        "dates_doubtful",
        "dates_unread",
        "times",
        "free_text",
        "decorated",
    )
)
# What a person may answer to a finding, as an option of the command that reads the table.
ANSWERS = {
    "findings.dates": "--time",
    "findings.dates_doubtful": "--time",
    "findings.maybe_row_numbers": "--id",
    "findings.row_numbers": "--id",
    "findings.leak_kept": "--exclude",
}


def found(manifest: Manifest, schema: Schema, data: Data) -> tuple[Message, ...]:
    """The lines, in the order of reading; each is whole by itself."""
    lines = [
        message("data.found_rows", rows=manifest.rows, target=schema.target, classes=_classes(manifest)),
        message("data.found_columns", n=len(schema.columns), names=_names([c.name for c in schema.columns])),
    ]
    if aside := [name for name in (*schema.id_columns, schema.time_column, schema.weight_column) if name]:
        lines.append(message("data.found_aside", names=_names(aside)))
    ordered = sorted(manifest.report, key=_rank)
    lines += [line(finding) for finding in ordered[:SHOWN]]
    if more := len(ordered[SHOWN:]):
        lines.append(message("data.found_more", n=more))
    return (*lines, *_commands(ordered, data))


def line(finding: Finding, escape: Callable[[str], str] = str) -> Message:
    """A finding as a line that says what it is: left out, a doubt, or a note. `escape` is done to its column's name."""
    column, what = escape(finding.column), finding.message
    if _rank(finding) == 0:
        return message("data.found_left_out", column=column, why=what)
    is_note = finding.level == "info"
    if column:
        return message("data.found_note_of" if is_note else "data.found_doubt_of", column=column, what=what)
    return message("data.found_note" if is_note else "data.found_doubt", what=what)


def _rank(finding: Finding) -> int:
    """What was left out first, then doubts, then notes."""
    return 0 if code_of(finding.message) in LEFT_OUT else 2 if finding.level == "info" else 1


def _classes(manifest: Manifest) -> list[Message]:
    total = sum(manifest.classes.values())
    common = sorted(manifest.classes.items(), key=lambda pair: -pair[1])
    named = [
        message("data.found_class", label=label, n=count, share=count / max(total, 1))
        for label, count in common[:MOST_CLASSES]
    ]
    if more := len(common) - len(named):
        named.append(message("data.found_more_classes", n=more))
    return named


def _names(names: Sequence[str]) -> Message:
    shown = list(names[:SHOWN])
    if more := len(names) - len(shown):
        return message("data.found_names_and_more", names=shown, n=more)
    return message("data.found_names", names=shown)


def _commands(findings: Sequence[Finding], data: Data) -> Iterator[Message]:
    """At most one a kind of answer: the command with which the table is read otherwise."""
    told: set[str] = set()
    for finding in findings:
        option = ANSWERS.get(code_of(finding.message), "")
        if option and option not in told:
            told.add(option)
            asked = [*(_asked(data) if data.path else []), option, finding.column]
            command = spoken(shlex.join(["./run_pipeline.sh", *asked, "--schema", "infer"]))
            yield message("data.found_command", column=finding.column, command=command)


def _asked(data: Data) -> Iterator[str]:
    """The options that name this table as it was named now."""
    once = {"--data": data.path, "--target": data.target, "--positive": data.positive_label, "--time": data.time_column}
    yield from (word for option, value in once.items() if value for word in (option, value))
    several = {"--id": data.id_columns, "--exclude": data.exclude}
    yield from (word for option, values in several.items() for value in values for word in (option, value))
