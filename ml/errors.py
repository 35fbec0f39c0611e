"""The error tree. A message gives what was expected, what came, and the next step.

`Permanent` errors will come again on the same input (bad data, bad settings): Airflow does not
retry them. `Transient` ones may pass (a registry that is out of reach): Airflow retries them.
"""

from __future__ import annotations

from ml.messages import Message, Text, message


class RefitError(Exception):
    """Base of every error Refit raises on purpose; the command line prints it without a trace.

    One that was raised with a message (`ml.messages`) has it as `message`, and its `code`.

    >>> error = DataError(message("gate.no_rows"), file="a.csv", line=3)
    >>> str(error), error.code
    ('a.csv, line 3: no labelled rows to judge on', 'gate.no_rows')
    """

    def __init__(self, *args: object):
        super().__init__(*map(str, args))
        self.message = args[0] if args and isinstance(args[0], Message) else None
        self.code = self.message.code if self.message else ""

    @property
    def explanation(self) -> Text:
        """The message, else the words: what another message quotes."""
        return self.message or str(self)


def explained(error: BaseException) -> Text:
    """What an error of any kind says: the message of one of ours, else its words or its name."""
    return error.explanation if isinstance(error, RefitError) else str(error) or type(error).__name__


class Permanent(RefitError):
    """Raised when trying again with the same input must fail again."""


class Transient(RefitError):
    """Raised when the same call may succeed later."""


class SettingsError(Permanent):
    """Raised when refit.toml or a REFIT_* variable has an unknown key or a value of the wrong type."""


class DataError(Permanent):
    """Raised when a table cannot be used: names the file, and the line and column where known."""

    def __init__(self, what: Text, *, file: str | None = None, line: int | None = None, column: str | None = None):
        place = [
            *([file] if file else []),
            *([message("files.line", n=line)] if line is not None else []),
            *([message("files.column", name=column)] if column is not None else []),
        ]
        super().__init__(message("files.at", place=place, what=what) if place else what)
        self.code = what.code if isinstance(what, Message) else ""
        self.file = file
        self.line = line
        self.column = column


class SchemaError(DataError):
    """Raised when a table or a row does not fit the schema that a model was trained with."""


class TrainingError(Permanent):
    """Raised when a fit cannot give a usable model: its loss is no longer a number, or its parameters make no sense."""


class EngineError(Permanent):
    """Raised when the workers of the engine would give other numbers, or cannot run this code."""


class EngineUnavailable(Transient):
    """Raised when the engine's scheduler cannot be reached or was lost, or has no workers."""


class BundleError(Permanent):
    """Raised when an artifact is incomplete, altered, or gives other numbers than its own examples."""


class RegistryError(Permanent):
    """Raised when the registry answers, but what was asked for is not there or not allowed."""


class RegistryUnavailable(Transient):
    """Raised when the registry or the tracking server cannot be reached."""


class PromotionError(Permanent):
    """Raised when a promotion could not be confirmed and the alias was put back."""


class ChampionChanged(PromotionError):
    """Raised when another version became champion since the challenger was judged: it must be judged again."""


class DiskFull(Transient):
    """Raised when there is no room to write: names the place. What was begun goes on once there is room."""


class StorageUnavailable(Transient):
    """Raised when the storage that machines share (`storage.url`) cannot be reached."""


class StorageDamaged(Permanent):
    """Raised when the storage that machines share lacks a file that it must have, or has another one in its place."""


class StoreUnavailable(Transient):
    """Raised when the database of predictions, labels, checks and ledger cannot be reached."""
