"""The error tree. A message gives what was expected, what came, and the next step.

`Permanent` errors will come again on the same input (bad data, bad settings): Airflow does not
retry them. `Transient` ones may pass (a registry that is out of reach): Airflow retries them.
"""


class RefitError(Exception):
    """Base of every error Refit raises on purpose; the command line prints it without a trace."""


class Permanent(RefitError):
    """Raised when trying again with the same input must fail again."""


class Transient(RefitError):
    """Raised when the same call may succeed later."""


class SettingsError(Permanent):
    """Raised when refit.toml or a REFIT_* variable has an unknown key or a value of the wrong type."""


class DataError(Permanent):
    """Raised when a table cannot be used: names the file, and the line and column where known."""

    def __init__(self, message: str, *, file: str | None = None, line: int | None = None, column: str | None = None):
        place = ", ".join(
            part
            for part in (
                file,
                f"line {line}" if line is not None else None,
                f"column '{column}'" if column is not None else None,
            )
            if part
        )
        super().__init__(f"{place}: {message}" if place else message)
        self.file = file
        self.line = line
        self.column = column


class SchemaError(DataError):
    """Raised when a table or a row does not fit the schema that a model was trained with."""


class TrainingError(Permanent):
    """Raised when a fit cannot give a usable model: its loss is no longer a number, or its parameters make no sense."""


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


class StoreUnavailable(Transient):
    """Raised when the database of predictions, labels, checks and ledger cannot be reached."""
