"""What the one command tells a person instead of a stack trace."""

from __future__ import annotations


class StackError(Exception):
    """Raised when the stack cannot be started, asked or stopped; the message says what to do."""


class RunFailed(Exception):
    """Raised when a DAG run ended badly; the message is the failed task's own error."""
