"""The model card: what the model is, what it was made from, how good it is and what it must not be used for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ml.decision import Decision
from ml.evaluation.bootstrap import Interval
from ml.evaluation.report import Evaluation
from ml.gate.rules import Verdict
from ml.models.base import Params

if TYPE_CHECKING:
    from ml.data.snapshot import Snapshot
    from ml.training.candidate import Candidate
    from ml.tuning import Trial

_SHOWN = 30  # columns of a table; the rest is in schema.json


class ModelMetrics(Evaluation, frozen=True, kw_only=True):
    """Content of metrics.json: the evaluation on the test rows, and what was trained on what.

    `validation_log_loss` is the winner's over held-out rows (nats), `baseline_log_loss` the best untuned baseline's,
    None where none was complete; `importance` maps a column to its mean absolute Shapley value in log-odds, and is
    empty where it was not measured.
    """

    rows_trained: int
    snapshot: str
    run_key: str
    family: str
    params: Params
    seed: int
    validation_log_loss: float
    baseline_log_loss: float | None
    importance: dict[str, float]


def render(
    snapshot: Snapshot, candidate: Candidate, decision: Decision, metrics: ModelMetrics, verdict: Verdict,
    trials: Sequence[Trial],
) -> str:  # fmt: skip
    """The card as Markdown (Mitchell et al. 2019, "Model Cards for Model Reporting")."""
    schema = snapshot.schema
    parts = [
        f"# {schema.target}: {candidate.spec.family}",
        f"**Verdict.** {verdict.sentence}",
        _section("Model", _model(candidate, decision)),
        _section("Data", _data(snapshot)),
        _section("How good it is", _scores(metrics)),
        _section("Where it is weakest", _slices(metrics)),
        _section("What it goes by", _importance(metrics.importance)),
        _section("Columns", _columns(schema.columns)),
        _section("How it was chosen", _search(metrics, trials)),
        _section(
            "Limits",
            "It was measured on held-out rows of the data above, and says nothing about others. Inputs outside of the "
            "ranges and levels below are scored and flagged. Reasons for single predictions are associations in the "
            "data, not causes. A column that stands for a protected group may be stood for by others.",
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"


def _model(candidate: Candidate, decision: Decision) -> str:
    cut = "the most probable class" if decision.threshold is None else f"threshold {decision.threshold:.3f}"
    lines = [
        f"- family: {candidate.spec.family}, seed {candidate.spec.seed}",
        f"- parameters learned: {candidate.model.describe().parameters}",
        f"- calibration: {decision.calibration.kind}; label: {cut}, chosen for {decision.objective}",
        f"- settings: `{json.dumps(candidate.spec.params, default=str)}`",
    ]
    return "\n".join(lines)


def _data(snapshot: Snapshot) -> str:
    manifest = snapshot.manifest
    lines = [
        f"- snapshot `{snapshot.id}`, {manifest.rows:,} rows, {len(snapshot.schema.columns)} columns",
        f"- parts: {', '.join(f'{name} {count:,}' for name, count in manifest.parts.items() if count)}",
        f"- classes: {', '.join(f'{label} {count:,}' for label, count in manifest.classes.items())}",
    ]
    if manifest.time_range:
        lines.append(f"- time: {manifest.time_range[0]} to {manifest.time_range[1]}")
    if manifest.labelled.given:
        lines.append(f"- labelled production rows: {manifest.labelled.given:,}")
    return "\n".join(lines)


def _scores(metrics: ModelMetrics) -> str:
    head = f"On {metrics.rows:,} test rows, with {metrics.confidence:.0%} bootstrap intervals.\n\n"
    rows = [f"| {name} | {_interval(measured)} |" for name, measured in metrics.metrics.items()]
    calibrated = (
        f"The calibration error is without its upward bias. p-value of “the probabilities are true”: "
        f"{metrics.calibration_p_value:.3f}; a small one speaks against them.\n\n"
    )
    return head + calibrated + "\n".join(["| metric | value |", "|---|---|", *rows])


def _interval(measured: Interval) -> str:
    if measured.value is None:
        return "undefined on these rows"
    if measured.low is None or measured.high is None:
        return f"{measured.value:.4f}"
    return f"{measured.value:.4f} ({measured.low:.4f} to {measured.high:.4f})"


def _slices(metrics: ModelMetrics) -> str:
    measured = [s for s in metrics.slices if s.metrics["log_loss"].value is not None]
    if not measured:
        return "No slice has enough rows to be measured by itself."
    measured.sort(key=lambda s: -(s.metrics["log_loss"].value or 0.0))
    rows = [
        f"| {_escaped(s.column)} | {_escaped(s.value)} | {s.rows:,} | {_interval(s.metrics['log_loss'])} |"
        for s in measured[:5]
    ]
    return "\n".join(["| column | rows with | rows | log-loss |", "|---|---|---|---|", *rows])


def _importance(found: dict[str, float]) -> str:
    if not found:
        return "Not measured: there are no test rows, no background rows, or very many columns."
    rows = [f"| {_escaped(name)} | {value:.3f} |" for name, value in list(found.items())[:_SHOWN]]
    head = (
        "How far each column moves the score of a test row from the average one: mean absolute Shapley value, in "
        "log-odds. It tells what the model uses, not what causes the outcome.\n\n"
    )
    more = f"\n\n… and {len(found) - _SHOWN} more, in `metrics.json`." if len(found) > _SHOWN else ""
    return head + "\n".join(["| column | importance |", "|---|---|", *rows]) + more


def _columns(columns: Sequence[Any]) -> str:
    rows = [f"| {_escaped(c.name)} | {c.kind} | {_range(c)} | {c.missing_share:.1%} |" for c in columns[:_SHOWN]]
    more = [f"\n… and {len(columns) - _SHOWN} more, in `schema.json`."] if len(columns) > _SHOWN else []
    return "\n".join(["| column | kind | seen in training | missing |", "|---|---|---|---|", *rows, *more])


def _range(column: Any) -> str:
    if column.kind == "number":
        return "–" if column.minimum is None else f"{column.minimum:.6g} to {column.maximum:.6g}"
    shown = ", ".join(_escaped(level) for level in column.categories[:5])
    return shown + (f" and {len(column.categories) - 5} more" if len(column.categories) > 5 else "")


def _search(metrics: ModelMetrics, trials: Sequence[Trial]) -> str:
    done = sum(trial.status == "ok" for trial in trials)
    baseline = metrics.baseline_log_loss  # None when no baseline was among the complete trials
    compared = "no untuned baseline was complete" if baseline is None else f"the best untuned baseline {baseline:.4f}"
    return (
        f"{len(trials)} trials ({done} complete) by held-out log-loss: the winner "
        f"{metrics.validation_log_loss:.4f}, {compared}. The test rows were not used to choose."
    )


def _escaped(text: str) -> str:
    """A customer's own text inside of a Markdown table."""
    return "".join("\\" + c if c in "\\|`*_<>[]#" else " " if c in "\r\n" else c for c in str(text))[:80]
