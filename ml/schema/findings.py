"""Data-quality findings: what was noticed; printed by the command line, kept in the snapshot's manifest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from ml.messages import Text

Level = Literal["info", "warning"]


class Finding(msgspec.Struct, frozen=True):
    """One message about a table; `column` is "" where it concerns the whole table."""

    level: Level
    column: str
    message: Text

    def __str__(self) -> str:
        place = f"column '{self.column}': " if self.column else ""
        return f"{self.level}: {place}{self.message}"


class Report(msgspec.Struct):
    """Findings in the order in which they were made.

    >>> from ml.messages import message
    >>> report = Report()
    >>> report.warn(message("findings.no_value"), "tenure")
    >>> [str(finding) for finding in report.findings]
    ["warning: column 'tenure': no value in any row"]
    """

    findings: list[Finding] = []

    def add(self, finding: Finding) -> None:
        """Add a finding; one that is here already is not repeated."""
        if finding not in self.findings:
            self.findings.append(finding)

    def info(self, message: Text, column: str = "") -> None:
        """Add something good to know."""
        self.add(Finding("info", column, message))

    def warn(self, message: Text, column: str = "") -> None:
        """Add something that a person should look at."""
        self.add(Finding("warning", column, message))

    def extend(self, findings: Iterable[Finding]) -> None:
        """Add another report's findings."""
        for finding in findings:
            self.add(finding)

    @property
    def warnings(self) -> list[Finding]:
        """The findings of level `warning`."""
        return [finding for finding in self.findings if finding.level == "warning"]
