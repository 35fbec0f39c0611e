"""What was found in a table, for people: rows, classes, columns used and left out and why, doubts, what changes it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence

import msgspec

from ml.commands import spoken
from ml.data.manifest import Manifest
from ml.messages import Message, code_of, message
from ml.schema.findings import Finding
from ml.schema.schema import Schema
from ml.settings import Data
from ml.settings.options import CHOICE_OF_DATA

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
ANEW = ("--schema", "infer", "--policy", "always")  # a table of other columns, to take the champion's place
COLUMN = ""  # stands for the name of the finding's column
# What a person may answer to a finding, as an option of the command that reads the table, and what it is given.
ANSWERS = {
    "findings.dates": ("--time", COLUMN),
    "findings.dates_doubtful": ("--dates", "day-first"),
    "findings.maybe_row_numbers": ("--id", COLUMN),
    "findings.row_numbers": ("--id", COLUMN),
    "findings.leak_kept": ("--exclude", COLUMN),
}


def found(manifest: Manifest, schema: Schema, data: Data) -> tuple[Message, ...]:
    """The lines, in the order of reading; each is whole by itself."""
    lines = [
        message("data.found_rows", rows=manifest.rows, target=schema.target, classes=_classes(manifest)),
        message("data.found_columns", n=len(schema.columns), names=_names([c.name for c in schema.columns])),
    ]
    if aside := [name for name in (*schema.id_columns, schema.time_column, schema.weight_column) if name]:
        lines.append(message("data.found_aside", names=_names(aside)))
    return (*lines, *noticed(manifest, data))


def noticed(manifest: Manifest, data: Data, *, escape: Callable[[str], str] = str) -> tuple[Message, ...]:
    """What was left out, doubts and notes, a line each, and the commands that change it.

    Parameters
    ----------
    data
        The settings that the table was read by.
    escape
        Done to the texts of others: names of columns, and commands.
    """
    ordered = sorted(manifest.report, key=_rank)
    lines = [_line(finding, escape) for finding in ordered[:SHOWN]]
    if more := len(ordered[SHOWN:]):
        lines.append(message("data.found_more", n=more))
    return (*lines, *_commands(ordered, data, escape))


def sampled(manifest: Manifest, most: int) -> Message | None:
    """That learners read a sample of the table; None where they read all of it, `most` rows a part or fewer."""
    parts = {name: manifest.parts[name] for name in ("train", "validation") if manifest.parts[name] > most > 0}
    if not parts:
        return None
    named = [message("data.sampled_part", n=most, part=name, rows=rows) for name, rows in parts.items()]
    return message("data.sampled", parts=named)


def _line(finding: Finding, escape: Callable[[str], str]) -> Message:
    """A finding as a line that says what it is: left out, a doubt, or a note."""
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


def _commands(findings: Sequence[Finding], data: Data, escape: Callable[[str], str]) -> Iterator[Message]:
    """At most one a kind of answer: the command with which the table is read otherwise."""
    told: set[str] = set()
    for finding in findings:
        option, value = _answer(finding)
        if option and option not in told:
            told.add(option)
            asked = [*(_asked(data, option) if data.path else []), option, value or finding.column]
            command = spoken(shlex.join(["./run_pipeline.sh", *asked, *ANEW]))
            yield message("data.found_command", column=escape(finding.column), command=escape(command))


def _answer(finding: Finding) -> tuple[str, str]:
    """An option and its value, COLUMN for the finding's own; "" where nothing is to be answered."""
    said = finding.message
    if isinstance(said, Message) and said.code == "findings.free_text" and said.values["n"] == said.values["rows"]:
        return "--id", COLUMN  # all different: they may name the rows
    return ANSWERS.get(code_of(said), ("", ""))


def _asked(data: Data, answer: str) -> Iterator[str]:
    """The options that name this table as it was named now, but for what the answer's option says otherwise."""
    from ml.data.sources import files  # pandas

    shown = msgspec.structs.replace(data, path=files.without_password(data.path))
    for option in CHOICE_OF_DATA:
        if option.stack == answer and option.kind != "texts":
            continue
        value = getattr(shown, option.settings[0].removeprefix("data."))
        for one in value if option.kind == "texts" else [value] if value else []:
            yield from (option.stack, one)
