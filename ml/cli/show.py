"""What commands print: progress on a terminal's stderr, results on stdout."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from ml.commands import spoken
from ml.storage.files import to_json

if TYPE_CHECKING:
    from ml.pipeline.stages.records import EvaluationRecord, SnapshotRecord, StageRecord, TrainingRecord, TuningRecord
    from ml.settings import Settings


def result(value: Any, *, as_json: bool, text: str) -> None:
    """The result of a command: JSON for machines, or a text for people."""
    click.echo(to_json(value).decode() if as_json else spoken(text))


def mlflow_line(settings: Settings, address: str) -> str:
    """Where a run is in MLflow's pages; where no server of theirs shows it, also what opens them.

    Parameters
    ----------
    address
        Of the run's page.
    """
    from ml import tracking

    line = f"MLflow    {address}"
    if settings.registry.public_url or tracking.uri(settings).startswith("http"):
        return line
    own_store = "a server of MLflow's on registry.tracking_uri"  # which may hold a password
    opens = own_store if settings.registry.tracking_uri else "./mlflow_ui.sh or ./run_pipeline.sh --start"
    return spoken(f"{line}\n          no server shows it there yet: {opens} does")


class Bar:
    """A progress bar a stage, on a terminal only. Give `bar.update` to the pipeline."""

    def __init__(self, *, hidden: bool = False) -> None:
        self._hidden = hidden or not sys.stderr.isatty()
        self._stage = ""
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def update(self, stage: str, done: int, total: int, note: str) -> None:
        """Called by the pipeline after each step.

        Parameters
        ----------
        done, total
            Steps of the stage; a new total begins a new bar.
        note
            Behind the bar: what the step is, or the best score yet.
        """
        if self._hidden:
            return
        if stage != self._stage or (self._bar is not None and self._bar.total != total):
            from tqdm import tqdm

            self.close()
            self._stage = stage
            self._bar = tqdm(total=total, desc=stage.ljust(9), leave=False, dynamic_ncols=True, file=sys.stderr)
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def stage_line(found: StageRecord) -> str:
    """One line on what a stage did."""
    return f"{found.stage_name().ljust(9)} {found.seconds:6.1f} s  {_says(found)}"


def _says(found: StageRecord) -> str:
    from ml.pipeline.stages import records

    match found:
        case records.SnapshotRecord():
            return _generated(found)
        case records.TrainingRecord():
            return _trained(found)
        case records.TuningRecord():
            return _tuned(found)
        case records.RegistrationRecord():
            return f"version {found.version}"
        case records.EvaluationRecord() | records.PromotionRecord():
            return found.sentence
    raise AssertionError(found)  # there is no other stage


def found_in(snapshot: SnapshotRecord) -> str:
    """What was found in the table, a line each."""
    return "\n".join(f"  {line}" for line in snapshot.found)


def metrics_of(found: EvaluationRecord) -> str:
    """The test metrics, a line each, with what they have without skill and at 1/2; then how an answer is made."""
    lines = [f"  {name.ljust(10)} {_beside(found, name)}" for name in found.metrics]
    return "\n".join([*lines, *(f"  {sentence}" for sentence in found.told)])


def _beside(found: EvaluationRecord, name: str) -> str:
    value = found.metrics[name]
    columns = (("without skill", found.no_skill), ("at ½", found.at_half))
    beside = [f"{head} {values[name]:.4f}" for head, values in columns if name in values]
    return "   ".join(["undefined" if value is None else f"{value:.4f}", *beside])


def grid_text(found: TrainingRecord) -> str:
    """The logistic grid beside the report's five rows."""
    from ml.training import course_grid

    if not found.grid:
        return ""
    head = "Logistic regression, accuracy on the validation rows"
    if not found.beside_report:
        return f"\n{head}:\n{course_grid.table(found.grid, beside_report=False)}\n"
    sentence = course_grid.comparison(found.grid, found.validation_rows)
    return f"\n{head}, beside the course report's five rows:\n{course_grid.table(found.grid)}\n{sentence}\n"


def _generated(found: SnapshotRecord) -> str:
    parts = ", ".join(f"{name} {count:,}" for name, count in found.parts.items() if count)
    return f"snapshot {found.snapshot}: {found.rows:,} rows × {found.columns} columns ({parts})"


def _trained(found: TrainingRecord) -> str:
    fitted = [(loss, c.family) for c in found.candidates if (loss := c.scores.get("log_loss")) is not None]
    failed = len(found.candidates) - len(fitted)
    head = f"{len(fitted)} candidates fitted{f', {failed} could not be' if failed else ''}"
    if not fitted:
        return head
    loss, family = min(fitted)
    return f"{head}; best {family}, validation log-loss {loss:.4f}"


def _tuned(found: TuningRecord) -> str:
    members = ", ".join(f"{member.weight:.0%} {member.family}" for member in found.members)
    kind = f"a blend ({members})" if len(found.members) > 1 else found.best.family
    counts = {"pruned": found.pruned, "failed": found.failed}
    odd = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    baseline = "no baseline was complete"
    if found.baseline_loss is not None:
        baseline = f"best baseline {found.baseline_loss:.4f}"
    return (
        f"{found.trials} trials{f' ({odd})' if odd else ''}: {kind}, held-out log-loss {found.best_loss:.4f} "
        f"({baseline})"
    )
